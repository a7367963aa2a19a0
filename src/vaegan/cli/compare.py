"""``vaegan compare``: several runs side by side, as one HTML page and one JSON."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import UserError
from ..files import expanded
from ..progress import log
from ..runs.trained_on import shared_data
from ..settings import Count, DataSettings, Seed
from .common import BatchSize, Device, RunNames, ShownBands
from .console import show, show_table
from .evaluate import MetricOptions
from .options import Arg

if TYPE_CHECKING:
    from ..runs.compared_runs import Comparison


class Options(MetricOptions):
    """Compare runs or saved models of any kind on one page: the same metrics, originals and seeds for all.

    Prints a table (* marks a clear winner) and which model reconstructs best, image by image, and writes a
    self-contained page, with JSON beside it. Models of different sizes are compared at --data.size, or at the
    smallest size that all of them accept. Runs whose settings differ only in the seed are one model: its metrics are
    means over seeds with 95 % intervals, and their spread. A clear winner is a model whose interval overlaps with no
    other. A run's own evaluation.json is reused if weights, images, extractor, count and seed are the same.
    """

    runs: RunNames = ()
    out: Annotated[Path, Arg("FILE.html")] = Path("comparison.html")
    """The page; the JSON goes beside it."""
    overwrite: bool = False
    """Replace what exists at --out."""
    markdown: Annotated[str | None, Arg("FILE.md")] = None
    """Write the printed table as Markdown, for a README; '-' prints Markdown and nothing else."""
    num: Count = 10_000
    """Maximum number of samples, of held-out images and of training images."""
    seed: Seed = 0
    """Seed of samples, choice of images and resampling."""
    device: Device = "cpu"
    batch_size: BatchSize = 256
    bands: ShownBands = ()
    data: DataSettings = DataSettings(source="")

    @classmethod
    def defaults(cls, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data settings that the runs share."""
        return {"data": shared_data(explicit.get("runs", ()))[0]}


def run(options: Options) -> None:
    """Open, measure, write."""
    out = _outputs(options)  # before slow imports

    from ..files import write_json, write_text
    from ..pages.comparison_page import comparison_page
    from ..runs.compared_runs import common_priors, compare_runs, open_runs
    from ..training.device import pick_device

    if options.markdown == "-":
        log.setLevel(logging.WARNING)
    device, cache = pick_device(options.device), options.data.cache
    runs = open_runs(options.runs, options.data, device=device, batch_size=options.batch_size, bands=options.bands)
    if not options.data.source:
        raise UserError(f"{shared_data(options.runs)[1]}; name images for all with --data SOURCE")
    priors = common_priors(runs, options.prior)  # before a network is trained
    extractor, published = options.networks(runs[0].data(), device=device, cache=cache, bands=runs[0].shown.bands)
    shared: dict[str, Any] = {"num": options.num, "seed": options.seed, "cache": cache, "published": published}
    comparison = compare_runs(runs, extractor, priors=priors, **shared)
    write_json(out.with_suffix(".json"), comparison.as_json())  # first: it took long to measure
    write_text(out, comparison_page(comparison, options.seed))
    _show_or_write(options, comparison)
    num = len(comparison.models)
    models = f"{num} model{'s' if num > 1 else ''}"
    log.info("%d runs of %s: %s and %s", len(runs), models, out, out.with_suffix(".json").name)


def _outputs(options: Options) -> Path:
    """Return where the page goes; UserError if it is no page's name, or exists and may not be replaced."""
    from ..files import check_free

    out = options.out
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: the comparison is a page; end its name in .html")
    pages, markdown = (out, out.with_suffix(".json")), _markdown_file(options)
    if any(file.absolute() == page.absolute() for file in markdown for page in pages):
        raise UserError(f"--markdown {markdown[0]}: the page or its JSON is written there; choose another name")
    for file in (*pages, *markdown):
        check_free(file, options.overwrite)
    return out


def _markdown_file(options: Options) -> list[Path]:
    return [] if options.markdown in (None, "-") else [expanded(str(options.markdown))]


def _show_or_write(options: Options, comparison: "Comparison") -> None:
    """Print the short table, or write it as Markdown."""
    from ..files import write_text
    from ..pages.comparison_tables import markdown_of, short_table, verdict_of

    models, groups = comparison.models, comparison.groups
    markdown = markdown_of(groups, models) + (f"\n{comparison.answer}\n" if comparison.answer else "")
    for file in _markdown_file(options):
        write_text(file, markdown)
    if options.markdown == "-":
        show(markdown, end="")
    else:
        show_table(*short_table(groups, models))
        show("\n".join(filter(None, (verdict_of(groups, models), comparison.answer))))
