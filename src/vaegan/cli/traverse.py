"""``vaegan traverse``: one code dimension at a time, the most used first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from .pictures import (
    DataPictureOptions,
    choose_images,
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
    from torch import Tensor

    from ..models import Model

_log = logging.getLogger("vaegan")


class Options(DataPictureOptions):
    """Show what each code dimension does: a row for each, the one with the highest mean KL first.

    All other dimensions stay as they are in the code of an image, or 0.
    """

    num: PositiveInt = 10
    """Dimensions."""
    steps: Annotated[int, Field(ge=2)] = 9
    """Values of each dimension."""
    reach: PositiveFloat = 3.0
    """Values go from minus this to this; the prior's standard deviation is 1."""
    around: Literal["image", "origin"] = "image"
    """Where the other dimensions stay: an image chosen by the seed, or 0."""
    images: PositiveInt = 2000
    """Images, at most, over which the KL is the mean."""


defaults = run_defaults


def run(options: Options) -> None:
    """Write the sheet and say where it is."""
    import torch

    from ..latent.paths import traverse
    from ..report.sheet import write_sheet

    out, overwrite = output_of(options, "traverse.png")
    model = load_model(options)
    dimensions, kl = _dimensions(options, model)
    values = torch.linspace(-options.reach, options.reach, options.steps)
    start, c = _start(options, model)
    codes = traverse(start, dimensions[: options.num], values)
    told = None if c is None else c.expand(codes.shape[0] * codes.shape[1], -1)
    flat = decode_to_bytes(model, codes.flatten(0, 1), options.batch_size, told)
    rows = [f"z{d}  KL {nats:.2f}" for d, nats in zip(dimensions.tolist(), kl.tolist(), strict=True)][: options.num]
    columns = [f"{value:+.3g}" if value else "0" for value in values.tolist()]
    write_sheet(out, flat.reshape(*codes.shape[:2], *flat.shape[1:]), columns, rows, codes=codes, overwrite=overwrite)
    say_where(len(rows), "dimensions", out)
    used = int((kl > 0.01).sum())
    _log.info("KL %.2f nats per image, %d of %d dimensions above 0.01", float(kl.sum()), used, len(kl))


def _dimensions(options: Options, model: Model) -> tuple[Tensor, Tensor]:
    """Return all dimensions and their KL, highest first.

    Raises:
        UserError: if the encoder gives no distribution.
    """
    import torch

    from ..latent.paths import order_by_kl

    x = torch.zeros(1, *model.image_shape)
    model.posterior(x, condition=model.condition_in_turn(1))  # says what is missing, if anything is
    data = open_images(options, model)
    images = some_of(data.test if options.split == "test" else data.train, options.images, options.seed)
    mu, logvar = encode_to_codes(model, images, options.batch_size)
    assert logvar is not None
    return order_by_kl(mu, logvar)


def _start(options: Options, model: Model) -> tuple[Tensor, Tensor | None]:
    """Return the code `(Z,)` to start from, and the condition `(1, A)` of the same image, if the model takes any."""
    import torch

    images, chosen, x = choose_images(options, model, 1)
    c = model.condition_of(images, chosen)
    return torch.zeros(model.latent_dim) if options.around == "origin" else model.encode(x, condition=c)[0], c
