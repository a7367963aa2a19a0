"""The nearest of many: exact neighbours of images, features or codes, a block at a time.

The distance is the root of the mean squared difference over dimensions, so that it is on the scale of a single value.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_SPARE = 8
_BLOCK = 2**24  # numbers of a block's table of distances, and of its candidates


def find_nearest(queries: Tensor, references: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Find the k nearest references of each query.

    Args:
        queries: `(Q, ...)`, bytes (which count as 0 to 1) or floats.
        references: chunks `(n, ...)` of the same kind, one after another; only one is looked at at a time.
        k: neighbours; fewer, if there are not so many references.

    Returns:
        Distances `(Q, k)`, nearest first, and int64 indices `(Q, k)` into all references.
    """
    distances = torch.empty(len(queries), 0, device=queries.device)
    indices = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    seen = 0
    for chunk in references:
        new, number = _nearest_in(queries, _rows(chunk).to(queries.device), min(k, len(chunk)))
        distances, indices = torch.cat([distances, new], dim=1), torch.cat([indices, number + seen], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        distances, indices = distances[:, :k], indices.gather(1, order[:, :k])
        seen += len(chunk)
    return distances, indices


def _nearest_in(queries: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest rows, found a block of queries at a time, so that memory stays flat."""
    num_candidates = min(k + _SPARE, len(rows))
    block = max(1, _BLOCK // max(len(rows), num_candidates * rows.shape[1]))
    centre = rows.mean(0)  # what all have in common would take digits from what they differ in
    rows = rows - centre
    lengths = rows.square().sum(1)
    parts = torch.split(queries, block)
    found = [_nearest_to(_rows(part) - centre, rows, lengths, k, num_candidates) for part in parts]
    distances, indices = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(indices)


def _nearest_to(q: Tensor, rows: Tensor, lengths: Tensor, k: int, num_candidates: int) -> tuple[Tensor, Tensor]:
    """Find candidates by |a|^2 - 2ab + |b|^2, which is quick but loses digits, and rank them by |a - b|."""
    quick = torch.addmm(lengths, q, rows.T, alpha=-2)
    candidates = quick.topk(num_candidates, dim=1, largest=False).indices.sort(dim=1).values
    exact = (rows[candidates] - q[:, None]).square().mean(2).sqrt()
    distances, order = exact.sort(dim=1, stable=True)
    return distances[:, :k], candidates.gather(1, order[:, :k])


def _rows(x: Tensor) -> Tensor:
    return x.flatten(1).float() / 255 if x.dtype == torch.uint8 else x.flatten(1).float()
