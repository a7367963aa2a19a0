"""Codes of many images: bytes in, codes out, a batch of floats at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batches import to_unit

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
    mu, logvar = zip(*encode_batches(model, images, condition=condition, batch_size=batch_size), strict=True)
    return torch.cat(mu), None if logvar[0] is None else torch.cat(logvar)
