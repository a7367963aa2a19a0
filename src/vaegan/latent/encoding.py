"""Codes of many images: bytes in, codes out, a batch of floats at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..pixels import to_unit

if TYPE_CHECKING:
    from ..models import Model


def encode_batches(
    model: Model, images: NDArray[np.uint8], *, condition: Tensor | None = None, batch_size: int = 256
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield mu and logvar (None of a plain autoencoder), each `(b, Z)` on the CPU, of one batch after another.

    Args:
        model: has an encoder.
        images: uint8 `(N, H, W, C)` as the model wants them; may be a memory map.
        condition: what is known about each, `(N, A)`, for a conditional model.
        batch_size: images at a time.

    Raises:
        UserError: if there is no encoder or the images do not fit.
    """
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        x = to_unit(torch.from_numpy(np.array(images[batch])))
        c = None if condition is None else condition[batch]
        if model.kind == "ae":
            yield model.encode(x, condition=c, batch_size=batch_size).cpu(), None
        else:
            mu, logvar = model.posterior(x, condition=c, batch_size=batch_size)
            yield mu.cpu(), logvar.cpu()


def encode_images(
    model: Model, images: NDArray[np.uint8], *, condition: Tensor | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor | None]:
    """Return mu and logvar (None of a plain autoencoder), each `(N, Z)`; arguments as `encode_batches`."""
    return joined(encode_batches(model, images, condition=condition, batch_size=batch_size), len(images))


def joined(batches: Iterable[tuple[Tensor, Tensor | None]], num: int) -> tuple[Tensor, Tensor | None]:
    """Return what `encode_batches` yields of `num` images as a whole.

    Each batch goes to its place at once: small tensors kept from batch to batch would lie scattered between the large
    ones that come and go, and memory would grow with the number of images.
    """
    wholes: list[Tensor | None] = []
    start = 0
    for parts in batches:
        wholes = wholes or [None if part is None else part.new_empty(num, part.shape[1]) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            if whole is not None and part is not None:
                whole[start : start + len(part)] = part
        start += len(parts[0])
    mu, logvar = wholes
    assert mu is not None
    return mu, logvar
