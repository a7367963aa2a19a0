"""``vaegan interpolate``: paths between images or codes, decoded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from .pictures import DataPictureOptions, choose_images, decode_to_bytes, load_model, output_of, run_defaults, say_where

if TYPE_CHECKING:
    from torch import Tensor

    from ..latent.paths import How
    from ..models import Model

_log = logging.getLogger("vaegan")


class Options(DataPictureOptions):
    """Walk between codes and show what lies on the way: a row for each path, or a film there and back (.gif).

    Tells how smooth the paths are in their images: detour is the length over the straight way between both ends (a
    cross-fade has 1), the largest step is in units of the mean one (1 is constant speed).
    """

    num: PositiveInt = 8
    """Paths, a row each; a square between four has --steps of them, and there are as many squares as it takes."""
    steps: Annotated[int, Field(ge=2)] = 10
    """Images on each path (and on each side of a square), both ends included."""
    how: Literal["linear", "spherical"] = "linear"
    """'linear' goes straight, 'spherical' turns at constant speed and keeps the length of the codes."""
    between: Literal["images", "codes", "four"] | None = None
    """Images of the data, random codes, or squares between four images; images if not set and there is an encoder."""


defaults = run_defaults


def run(options: Options) -> None:
    """Write the paths, say where they are and how smooth."""
    import numpy as np
    import torch

    from ..latent.paths import smoothness
    from ..report.output import write_images

    out, overwrite = output_of(options, "interpolate.png")
    model = load_model(options)
    ends, told = _ends(options, model)
    codes = _paths(options, ends, options.how)
    c = None if told is None else _paths(options, told, "linear").flatten(0, 1)
    flat = decode_to_bytes(model, codes.flatten(0, 1), options.batch_size, c)
    images = flat.reshape(*codes.shape[:2], *flat.shape[1:])
    found = smoothness(torch.from_numpy(images))
    if out.suffix.lower() == ".gif":
        images = np.concatenate([images, images[-2:0:-1]])
    write_images(out, images, codes=codes, overwrite=overwrite)
    say_where(images.shape[1], "paths", out)
    detour, largest = (float(values.mean()) for values in (found.detour, found.largest))
    _log.info("smoothness: detour %.2f, largest step %.2f of the mean", detour, largest)


def _paths(options: Options, ends: Tensor, how: How) -> Tensor:
    """Return codes `(T, N, Z)` of N paths between ends `(B, Z)`; of a square each row is one, square below square."""
    from ..latent.paths import interpolate, interpolate_square

    if options.between == "four":
        num = len(ends) // 4
        square = interpolate_square(ends[: 4 * num].reshape(4, num, -1), options.steps, how)
        return square.permute(1, 2, 0, 3).flatten(1, 2)
    num = len(ends) // 2
    return interpolate(ends[:num], ends[num : 2 * num], options.steps, how)


def _ends(options: Options, model: Model) -> tuple[Tensor, Tensor | None]:
    """Return codes `(B, Z)` of images (fewer, if there are not so many), or random ones; and what goes along with them.

    The conditions `(B, A)` of a conditional model are walked between as well, always straight.
    """
    num = 4 * -(-options.num // options.steps) if options.between == "four" else 2 * options.num
    if options.between == "codes" or (options.between is None and model.encoder is None):
        return model.sample_codes(num, options.seed), model.condition_in_turn(num)
    images, chosen, x = choose_images(options, model, num)
    c = model.condition_of(images, chosen)
    return model.encode(x, condition=c, batch_size=options.batch_size), c
