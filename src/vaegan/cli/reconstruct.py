"""``vaegan reconstruct``: x beside x_tilde = Dec(mu(x))."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

from pydantic import PositiveInt

from ..errors import UserError
from .options import Arg
from .pictures import (
    DataPictureOptions,
    decode_to_bytes,
    encode_to_codes,
    load_model,
    open_images,
    output_of,
    run_defaults,
    say_where,
    some_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..data.dataset import ImageSet
    from ..models import Model

_log = logging.getLogger("vaegan")
_SHOWN = 64


class Options(DataPictureOptions):
    """Show originals beside their reconstructions: by default held-out images of the data the run was trained on."""

    num: Annotated[PositiveInt | None, Arg(default="64, and all images into .npz or a folder")] = None  # type: ignore[assignment]  # wider than the base on purpose
    """How many, chosen by the seed."""
    triptych: bool = False
    """A .png of three blocks: originals, their reconstructions, and as many new images."""


defaults = run_defaults


def run(options: Options) -> None:
    """Write originals and reconstructions and say where they are."""
    from ..report.output import write_images

    out, overwrite = output_of(options, "triptych.png" if options.triptych else "reconstruct.png")
    if options.triptych and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: a triptych is one picture; end its name in .png")
    model = load_model(options)
    data = open_images(options, model)
    images = data.test if options.split == "test" else data.train
    holds_all = out.suffix.lower() not in (".png", ".gif")
    if options.num is not None and len(images) < options.num:
        _log.warning("there are only %d %s images, not %d", len(images), options.split, options.num)
    images = some_of(images, options.num or (len(images) if holds_all else _SHOWN), options.seed)
    codes, _ = encode_to_codes(model, images, options.batch_size)
    x_tilde = decode_to_bytes(model, codes, options.batch_size, model.condition_of(images))
    if options.triptych:
        _write_triptych(options, out, model, images, x_tilde)
        return
    write_images(
        out,
        x_tilde,
        originals=images.images,
        codes=codes,
        labels=images.labels,
        names=images.names,
        overwrite=overwrite,
    )
    say_where(len(images), "originals and reconstructions", out)


def _write_triptych(options: Options, out: Path, model: Model, images: ImageSet, x_tilde: NDArray[np.uint8]) -> None:
    from ..report.output import write_picture
    from ..report.triptych import triptych

    codes = model.sample_codes(len(images), options.seed)
    generations = decode_to_bytes(model, codes, options.batch_size, model.condition_of(images))
    write_picture(out, triptych(images.images, x_tilde, generations))
    say_where(len(images), "originals, reconstructions and new images each", out)
