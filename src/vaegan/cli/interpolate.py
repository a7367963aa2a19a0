"""``vaegan interpolate``: paths between images or codes, decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from .pictures import (
    DataPictureOptions,
    choose_images,
    data_of_run,
    decode_to_bytes,
    load_model,
    output_of,
    say_where,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..models import Model


class Options(DataPictureOptions):
    """Walk between codes and show what lies on the way: a row for each path, or a film there and back (.gif)."""

    num: PositiveInt = 8
    """Paths."""
    steps: Annotated[int, Field(ge=2)] = 10
    """Images on each path, both ends included."""
    how: Literal["linear", "spherical"] = "linear"
    """'linear' goes straight, 'spherical' turns at constant speed and keeps the length of the codes."""
    between: Literal["images", "codes"] | None = None
    """Ends of the paths: images of the data or random codes; images if not set and there is an encoder."""


def defaults(options: Options) -> Options:
    """Return options with the run's own data settings."""
    return Options(run=options.run, data=data_of_run(options))


def run(options: Options) -> None:
    """Write the paths and say where they are."""
    import numpy as np

    from ..latent.interpolate import interpolate
    from ..report.output import write_images

    out, overwrite = output_of(options, "interpolate.png")
    model = load_model(options)
    ends = _ends(options, model)
    num = len(ends) // 2
    codes = interpolate(ends[:num], ends[num : 2 * num], options.steps, options.how)
    flat = decode_to_bytes(model, codes.flatten(0, 1), options.batch_size)
    images = flat.reshape(options.steps, num, *flat.shape[1:])
    if out.suffix.lower() == ".gif":
        images = np.concatenate([images, images[-2:0:-1]])
    write_images(out, images, codes=codes, overwrite=overwrite)
    say_where(num, "paths", out)


def _ends(options: Options, model: Model) -> Tensor:
    """Return codes `(2 N, Z)`: the first N are where the paths start, the others where they end."""
    if options.between == "codes" or (options.between is None and model.encoder is None):
        return model.sample_codes(2 * options.num, options.seed)
    _, _, x = choose_images(options, model, 2 * options.num)
    return model.encode(x, batch_size=options.batch_size)
