r"""Codes of many images: bytes in, codes out, a batch of floats at a time; and their scale.

A diffusion model wants latents of standard deviation 1. It is trained on s z with the scale factor

    s = 1 / std(z),    z ~ q(z|x), one draw for each of some training images, all dimensions of all codes together

(Rombach et al., arXiv:2112.10752, appendix G: "rescaling the latents"), and its samples are divided by s before they
are decoded: `Model.latents`, `Model.decode_latents`.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..models import Model
from ..models.inference import at_once
from ..models.tiles import encode_tiles, is_in_tiles
from ..pixels import Numbers
from ..progress import Watch, paced


def encode_batches(
    model: Model, images: Numbers, *, condition: Tensor | None = None, batch_size: int = 256
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield mu and logvar (None of a plain autoencoder), each `(b, Z)` on the CPU, of one batch after another.

    Of images of another size than the model's they are `(b, C, h, w)`. A model with tiles reads large ones in tiles.

    Args:
        model: has an encoder.
        images: numbers `(N, H, W, C)` in the format `model.pixels`; may be a memory map.
        condition: of each image, `(N, A)`, for a conditional model.
        batch_size: images at a time.

    Raises:
        UserError: if there is no encoder or the images do not fit.
    """
    size = images.shape[1:3]
    step = at_once(size, batch_size)
    for start in range(0, len(images), step):
        batch = slice(start, start + step)

        def read(rows: slice, columns: slice, batch: slice = batch) -> Tensor:
            return model.pixels.to_unit(torch.from_numpy(np.array(images[batch, rows, columns])))

        if is_in_tiles(model, size):
            outputs = encode_tiles(model, read, size, batch_size)
        else:
            c = None if condition is None else condition[batch]
            outputs = model.encoder_outputs(read(slice(None), slice(None)), condition=c, batch_size=batch_size)
        mu, *logvar = (t.cpu() for t in outputs)
        yield mu, logvar[0] if logvar else None


def encode_images(
    model: Model, images: Numbers, *, condition: Tensor | None = None, batch_size: int = 256, watch: Watch = paced
) -> tuple[Tensor, Tensor | None]:
    """Return mu and logvar (None of a plain autoencoder), each `(N, Z)`; arguments as `encode_batches`.

    Each batch is copied to its place at once: small tensors that stay would fragment the memory between the large
    ones that come and go, and the process would grow with the number of images.
    """
    batches = encode_batches(model, images, condition=condition, batch_size=batch_size)
    num, step = len(images), at_once(images.shape[1:3], batch_size)
    if not num:  # the shapes are those of any image
        blank = np.zeros((1, *images.shape[1:]), images.dtype)
        c = None if condition is None else condition.new_zeros(1, *condition.shape[1:])
        mean, log_variance = encode_images(model, blank, condition=c, batch_size=batch_size)
        return mean[:0], None if log_variance is None else log_variance[:0]
    wholes: list[Tensor | None] = []
    start = 0
    for parts in watch(batches, -(-num // step), "encoding"):
        wholes = wholes or [None if part is None else part.new_empty(num, *part.shape[1:]) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            if whole is not None and part is not None:
                whole[start : start + len(part)] = part
        start += len(parts[0])
    mu, logvar = wholes
    assert mu is not None
    return mu, logvar


def drawn_codes(
    model: Model, images: ImageSet, chosen: NDArray[np.int64], seed: int, batch_size: int
) -> Iterator[Tensor]:
    """Yield a draw from q(z|x), `(b, Z)` on the CPU, of one batch of the chosen images after another."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(chosen), batch_size):
        batch = chosen[start : start + batch_size]
        x, c = images.unit(batch), model.condition_of(images, batch)
        mu, *logvar = (t.cpu() for t in model.encoder_outputs(x, condition=c, batch_size=batch_size))
        yield mu + (0.5 * logvar[0]).exp() * torch.randn(mu.shape, generator=generator) if logvar else mu


def scale_factor(model: Model, images: ImageSet, *, seed: int = 0, num: int = 512, batch_size: int = 256) -> float:
    """Return the scale factor s of a model's codes, for ``model.info["scale_factor"]``.

    Args:
        model: has an encoder.
        images: its training images.
        seed: of the choice of images and of the draws.
        num: images, at most.
        batch_size: images encoded at a time.

    Raises:
        UserError: if there is no encoder, the images do not fit, or the codes are all the same or not finite.
    """
    chosen = some_rows(len(images), num, seed)
    std = float(torch.cat(list(drawn_codes(model, images, chosen, seed, batch_size))).double().std())
    if not 0.0 < std < float("inf"):
        raise UserError(
            f"the codes have standard deviation {std:g}: nothing can scale them to 1; train the model further"
        )
    return 1.0 / std
