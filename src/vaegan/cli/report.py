"""``vaegan report``: one run as one self-contained HTML page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PositiveInt

from ..config import Config
from ..errors import UserError
from .options import Arg
from .pictures import DataPictureOptions, data_of_run, load_model, open_images, run_defaults

if TYPE_CHECKING:
    from ..data.dataset import ImageData
    from ..models import Model
    from ..pages import Facts, Section

_log = logging.getLogger("vaegan")
_KINDS = {
    "ae": "Autoencoder",
    "vae": "VAE",
    "gan": "GAN",
    "vae-dis-l": "VAE with a discriminator's layer as metric",
    "vaegan": "VAE/GAN",
}


class Options(DataPictureOptions):
    """Write one page about a run: settings, losses, snapshots, and what its model has learned.

    The page is one file that needs no network: it can be mailed and opens by a double click. What is missing, such as
    attributes in the data, is said in its place.
    """

    out: Annotated[Path | None, Arg("FILE.html", default="RUN/report.html")] = None
    """The page."""
    num: PositiveInt = 2000
    """Images, at most, behind clusters, map, traversals and attribute vectors."""
    k: PositiveInt | None = None
    """Clusters; as many as there are labels if not set, and 10 without labels."""


defaults = run_defaults


def run(options: Options) -> None:
    """Collect, write, say what is missing."""
    from ..files import write_text
    from ..pages import (
        health_section,
        losses_section,
        render_page,
        scores_section,
        settings_section,
        snapshots_section,
        timing_section,
    )
    from ..training.run_folder import RunFolder
    from .report_look import Look
    from .report_sections import model_sections

    out = _out(options)
    folder = RunFolder(Path(options.run))
    config = folder.config if folder.config_path.is_file() else None
    records = list(folder.records())
    has_model = config is None or (folder.path / "model").is_dir()
    model = load_model(options) if has_model else None
    data, reason = _open(options, model)
    sections = [
        *([settings_section(config)] if config else []),
        losses_section(records),
        *([scores] if (scores := scores_section(records)) else []),
        health_section(records),
        snapshots_section(folder.path, records),
        *model_sections(Look(options, model, data, reason, options.k)),
        timing_section(records, config, model.info.get("device") if model else None),
    ]
    page = render_page(_title(options), _lead(config, model, records), _facts(config, model), sections)
    write_text(out, page)
    _say_what_is_missing(sections)
    _log.info("report of %.1f MB: %s", len(page.encode()) / 1e6, out)


def _out(options: Options) -> Path:
    """Return where the page goes.

    Raises:
        UserError: if it is no page's name, or there is one that was not allowed to be replaced.
    """
    if options.out is None:
        return (Path(options.run) if Path(options.run).is_dir() else Path()) / "report.html"
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {options.out}: the report is a page; end its name in .html")
    if options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} exists; choose another name or allow it to be replaced (--overwrite)")
    return options.out


def _open(options: Options, model: Model | None) -> tuple[ImageData | None, str]:
    """Return the data, or why there is none; a run may have come from another machine, without its images.

    Raises:
        UserError: if the user named the data and it cannot be opened.
    """
    if model is None:
        return None, ""
    try:
        return open_images(options, model), ""
    except UserError as error:
        if options.data != data_of_run(options):
            raise
        _log.warning("%s", error)
        return None, "The images that it was trained on are not here; --data names where they are."


def _title(options: Options) -> str:
    return Path(options.run).resolve().name if Path(options.run).exists() else options.run


def _lead(config: Config | None, model: Model | None, records: Sequence[dict[str, Any]]) -> str:
    from ..pages.run_sections import shown

    about = config.model if config else model
    assert about is not None, "what is neither a run nor a model was refused before"
    words = _KINDS[about.kind] + (f" on {shown(config.data.source)}" if config else "")
    if not records:
        return f"{words}."
    last = records[-1]
    return f"{words}: {last['images']:,} images seen in {last['epoch']:.4g} epochs."


def _facts(config: Config | None, model: Model | None) -> Facts:
    from ..pages import Facts

    pairs = []
    if config:
        pairs += [("recipe", config.recipe), ("network", config.model.network), ("seed", str(config.seed))]
    if model:
        channels, height, width = model.image_shape
        pairs += [
            ("images", f"{width} × {height}, {'grey' if channels == 1 else 'colour'}"),
            ("dimensions of z", str(model.latent_dim)),
            *((f"{name} parameters", f"{_num_parameters(part):,}") for name, part in model.parts.items()),
        ]
    return Facts(pairs)


def _num_parameters(part: Any) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _say_what_is_missing(sections: Sequence[Section]) -> None:
    for section in sections:
        if all(block.kind == "note" for block in section.blocks):
            _log.info("without %s: %s", section.title.lower(), " ".join(getattr(b, "text", "") for b in section.blocks))
