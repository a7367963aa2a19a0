"""``vaegan reconstruct``: x beside x_tilde = Dec(mu(x))."""

from typing import Annotated

from ..errors import UserError
from ..settings import Count
from .common import (
    DataPictureOptions,
    TileSide,
    chosen_images,
    open_run,
    output_of,
    say_where,
    write_and_say,
)
from .options import Arg

_NUM_IN_A_PICTURE = 64


class Options(DataPictureOptions):
    """Show originals beside their reconstructions: by default held-out images of the data the run was trained on.

    A model whose codes are maps takes any --data.size whose sides are multiples of its downsampling factor (4 for
    kl-f4); other models take only their own size.
    """

    num: Annotated[Count | None, Arg(default="64, and all images into .npz or a folder")] = None  # type: ignore[assignment]  # wider than the base on purpose
    """How many, chosen by the seed."""
    tile: TileSide = None
    triptych: bool = False
    """A .png of three blocks: originals, their reconstructions, and an equal number of samples."""


def run(options: Options) -> None:
    """Write originals and reconstructions and say where they are."""
    from ..report.grid import write_picture
    from ..views.reconstructions import reconstructions, triptych_of

    out, overwrite = output_of(options, "triptych.png" if options.triptych else "reconstruct.png")
    is_picture = out.suffix.lower() in (".png", ".gif")
    if options.triptych and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: a triptych is one picture; end its name in .png")
    opened = open_run(options, any_size=not options.triptych)
    if options.num:
        images = chosen_images(options, opened, options.num)
    else:
        images = opened.images(options.split, _NUM_IN_A_PICTURE if is_picture else None, options.seed)
    if options.triptych:
        write_picture(out, triptych_of(opened, images, options.seed))
        say_where(len(images), "originals, reconstructions and samples", out)
        return
    write_and_say(reconstructions(opened, images), out, overwrite, len(images), "originals and reconstructions")
