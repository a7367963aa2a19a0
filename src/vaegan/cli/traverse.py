"""``vaegan traverse``: one code dimension at a time, the most used first."""

from typing import Literal

from ..errors import UserError
from ..progress import log
from ..settings import KINDS, Count, PositiveFloat, Steps
from .common import DataPictureOptions, open_run, output_of, refuse_data, write_and_say


class Options(DataPictureOptions):
    """Show the effect of each code dimension: one row each, the highest mean KL first.

    All other dimensions are fixed at the code of an image, or at 0. Of a GAN, which has no encoder, the dimension that
    changes images most comes first (with --center origin).
    """

    num: Count = 10
    """Dimensions."""
    steps: Steps = 9
    """Number of values for each dimension."""
    range: PositiveFloat = 3.0
    """Values run from -range to range; the prior's standard deviation is 1."""
    center: Literal["image", "origin"] = "image"
    """Where the other dimensions are held: at the code of an image chosen by the seed, or at 0."""
    images: Count = 2000
    """Maximum number of images over which the KL is averaged."""


def run(options: Options) -> None:
    """Write the sheet and say where it is."""
    from ..views.traversals import traversals

    out, overwrite = output_of(options, "traverse.png")
    opened = open_run(options)
    from_origin, images, start = options.center == "origin", None, None
    if opened.model().encoder is not None:
        images, start = (opened.images(options.split, num, options.seed) for num in (options.images, 1))
    elif not from_origin:
        phrase = KINDS[opened.model().kind].phrase
        raise UserError(f"this model is {phrase} and has no encoder, so no image has a code; add --center origin")
    else:
        refuse_data(options, "this model has no encoder, so no image has a code")
    view = traversals(opened, images, options.num, options.steps, options.range, start, from_origin=from_origin)
    write_and_say(view, out, overwrite, len(view.images), "dimensions")
    log.info("%s", ", ".join(f"{name}: {value}" for name, value in view.facts))
