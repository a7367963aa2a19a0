"""``vaegan nearest``: are samples copies of training images?"""

from typing import Literal

from ..metrics.figures import info_of
from ..settings import Count
from .common import DataPictureOptions, open_run, output_of, write_and_say
from .console import show, show_table

_TITLES = {
    "samples": "nearest_sample",
    "held_out": "nearest_held_out",
    "nearer": "copies_nearer",
    "farther": "copies_farther",
    "c_t": "copies_score",
}
"""Figure of `metrics.memorisation` -> the one whose title it has in the table."""


class Options(DataPictureOptions):
    """Show samples beside their nearest training images, in pixels and, if there is an encoder, in codes.

    Distances are root mean square. Held-out images are the baseline: the memorisation rate is the share of samples
    nearer to the training images than 95 % of the held-out images, about 0.05 without memorisation; the AUC is the
    probability that a sample is farther away than a held-out image, about 0.5 without memorisation. The score is how
    far the AUC lies from 0.5, in standard deviations: below -3 indicates memorisation.
    """

    num: Count = 64
    """Number of samples to measure."""
    show: Count = 8
    """Samples in the picture, nearest to a training image (in pixels) first."""
    k: Count = 4
    """Neighbours shown for each sample."""
    held_out: Count = 256
    """Maximum number of held-out images to measure."""
    split: Literal["test", "train"] = "train"
    """Images to search for neighbours; the other split is the baseline."""


def run(options: Options) -> None:
    """Write the sheet and the distances, print the figures."""
    from ..files import check_free, write_json
    from ..views.nearest_images import nearest_images

    out, overwrite = output_of(options, "nearest.png")
    report = out.with_name(f"{out.stem}-distances.json")
    check_free(report, overwrite)
    opened = open_run(options)
    references = opened.images(options.split)
    held_out = opened.images("test" if options.split == "train" else "train", options.held_out, options.seed)
    view, measured = nearest_images(
        opened, references, held_out, num=options.num, num_rows=options.show, k=options.k, seed=options.seed
    )
    write_and_say(view, out, overwrite, len(view.images), "samples and neighbours")
    write_json(report, measured)
    spaces = measured["figures"]
    rows = [[info_of(title).title, *(f"{spaces[s][name]:.3g}" for s in spaces)] for name, title in _TITLES.items()]
    show_table(["metric", *(f"in {space}" for space in spaces)], rows)
    show(f"{measured['conclusion']}.")
