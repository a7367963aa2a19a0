"""One code dimension at a time: what does it do?

A dimension that the encoder does not use has q(z_d|x) = N(0, 1) for every image and KL 0; the mean KL of a dimension
over images tells how much it says, so the ones with most are looked at first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..losses import kl_per_dimension


def order_by_kl(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """Return the dimensions, the most used first, and the mean KL of each.

    Args:
        mu: `(N, Z)`.
        logvar: `(N, Z)`.

    Returns:
        int64 `(Z,)`, and nats per image `(Z,)` in the same order.
    """
    kl, order = kl_per_dimension(mu, logvar).mean(0).sort(descending=True, stable=True)
    return order, kl


def traverse(z: Tensor, dimensions: Sequence[int] | Tensor, values: Sequence[float] | Tensor) -> Tensor:
    """Return codes `(D, V, Z)`: `z` `(Z,)` with dimension d of D set to each of V values."""
    rows = torch.as_tensor(dimensions, device=z.device)
    codes = z.repeat(len(rows), len(values), 1)
    settings = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    codes[torch.arange(len(rows), device=z.device), :, rows] = settings
    return codes
