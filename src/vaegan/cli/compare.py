"""``vaegan compare``: several runs side by side, as one HTML page and one JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveInt

from ..config import DataSettings, Settings
from ..errors import UserError
from . import log
from .compare_runs import measure, open_data_of, open_runs, shared_data
from .evaluate import Extractor
from .options import Arg
from .table import print_table

if TYPE_CHECKING:
    from ..evaluation.comparison import ComparedModel, FigureGroup

_log = logging.getLogger("vaegan")


class Options(Settings):
    """Compare runs or saved models of any kinds: the same figures, originals and seeds for all, on one page.

    Prints a table (* is best), writes a page that needs no network, and JSON beside it. Runs of equal settings but for
    the seed are one model: its figures are means over seeds with intervals of 95 %, and their spread. The best of a
    figure is marked only where its interval overlaps with no other. A run's own evaluation.json is used where it was
    made with the same images, extractor, count and seed.
    """

    runs: Annotated[tuple[str, ...], Arg("RUN RUN ...", positional=True)] = ()
    """Run folders, folders of saved models, or ids of models on the hub."""
    out: Annotated[Path, Arg("FILE.html")] = Path("comparison.html")
    """The page; the JSON goes beside it."""
    overwrite: bool = False
    """Replace what is there."""
    markdown: Annotated[str | None, Arg("FILE.md")] = None
    """Write the table that is printed as Markdown, for a README; '-' prints that and nothing else."""
    num: PositiveInt = 10_000
    """Samples, held-out images and training images, at most."""
    prior: str = "all"
    """Prior to sample from: a name such as 'normal', several with commas, or 'all'."""
    extractor: Extractor | None = None
    """What images are compared by; 'classifier' where labels or attributes are known, else 'rotations'."""
    weights: Path | None = None
    """File with the weights of the extractors inception and dinov2."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of samples, choice of images and resampling."""
    device: str = "cpu"
    """'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best there is."""
    batch_size: PositiveInt = 256
    """Images computed at a time."""
    data: DataSettings = DataSettings(source="")


def defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data settings that the runs share."""
    return {"data": shared_data(given.get("runs", ()))[0]}


def run(options: Options) -> None:
    """Open, measure, compare, write."""
    from ..evaluation.comparison import as_json, compare
    from ..files import write_json, write_text
    from ..metrics.extractors.features import open_extractor
    from ..training.device import pick_device
    from ..training.siblings import group_siblings
    from .compare_page import Showing

    out = _outputs(options)
    if options.markdown == "-":
        _log.setLevel(logging.WARNING)
    runs = open_runs(options.runs, options.device)
    if not options.data.source:
        raise UserError(f"{shared_data(options.runs)[1]}; name images for all with --data SOURCE")
    data = open_data_of(runs, options.data)
    cache, device = options.data.cache, pick_device(options.device)
    extractor = open_extractor(options.extractor, data, cache=cache, weights=options.weights, device=device)
    groups = [[runs[i] for i in group] for group in group_siblings([(run.config, run.stage) for run in runs])]
    models = measure(
        groups,
        data,
        extractor,
        prior=options.prior,
        num=options.num,
        seed=options.seed,
        batch_size=options.batch_size,
        cache=cache,
    )
    figures = compare(models)
    page = Showing(groups, models, figures, data, options.seed, options.batch_size).page()
    write_text(out, page)
    write_json(out.with_suffix(".json"), as_json(models, figures))
    _print(options, figures, models)
    _log.info("%d runs of %d models: %s and %s", len(runs), len(models), out, out.with_suffix(".json").name)


def _outputs(options: Options) -> Path:
    """Return where the page goes.

    Raises:
        UserError: if it is no page's name, or something is there that was not allowed to be replaced.
    """
    out = options.out
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: the comparison is a page; end its name in .html")
    files = [out, out.with_suffix(".json")]
    if options.markdown not in (None, "-"):
        files.append(Path(str(options.markdown)))
    for file in files:
        if file.exists() and not options.overwrite:
            raise UserError(f"{file} exists; choose another name or allow it to be replaced (--overwrite)")
    return out


def _print(options: Options, figures: list[FigureGroup], models: list[ComparedModel]) -> None:
    """Print the table of the main figures, or write it as Markdown."""
    from ..files import write_text
    from ..pages.comparison_tables import markdown_of, short_table

    if options.markdown not in (None, "-"):
        write_text(Path(str(options.markdown)), markdown_of(figures, models))
    if not log.is_first_process():
        return
    if options.markdown == "-":
        print(markdown_of(figures, models), end="")
    else:
        print_table(*short_table(figures, models))
