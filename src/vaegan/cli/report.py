"""``vaegan report``: one run as one self-contained HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ..errors import UserError
from ..progress import log
from ..runs.trained_on import data_of_run
from ..settings import Count
from .common import DataPictureOptions, open_run, place_of
from .options import Arg

if TYPE_CHECKING:
    from ..runs.opened import OpenedRun


class Options(DataPictureOptions):
    """Write one page about a run: settings, losses, snapshots, and what its model has learned.

    The page is one self-contained file, easy to share. Sections that cannot be shown, for example for lack of
    attributes, are listed with the reason under "Not shown".
    """

    out: Annotated[Path | None, Arg("FILE.html", default="RUN/report.html")] = None
    """The page."""
    num: Count = 2000
    """Maximum number of images for clusters, map, traversals and attribute vectors."""
    split: Literal["test", "train"] = "test"
    """Held-out images ('test') or training images ('train')."""
    k: Count | None = None
    """Number of clusters; default: the number of labels, at most 50, or 10 without labels."""


def run(options: Options) -> None:
    """Write the page, say what is missing."""
    from ..files import check_free, write_text
    from ..pages.run_page import Subject, run_page
    from ..runs.run_folder import REPORT

    out, overwrite = place_of(options, REPORT)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: the report is a page; end its name in .html")
    check_free(out, overwrite)
    opened = open_run(options)
    reason = _no_images(options, opened)
    page, sections = run_page(Subject(opened, options.split, options.num, options.seed, options.k, reason))
    write_text(out, page)
    for section in sections:
        if section.missing:
            log.info("section %s left out: %s", section.title, section.missing)
    log.info("report of %.1f MB: %s", out.stat().st_size / 1e6, out)


def _no_images(options: Options, opened: "OpenedRun") -> str:
    """Return why there are no images, '' if there are; UserError if the user named data that cannot be opened."""
    if not opened.has_model:
        return "there is no model yet"
    try:
        opened.data()
    except UserError as error:
        if options.data != data_of_run(options.run):
            raise
        log.warning("%s", error)
        return "its training images are not available; name them with --data"
    return ""
