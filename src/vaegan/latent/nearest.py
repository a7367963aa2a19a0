"""Is a sample new, or a copy? Its nearest neighbours among the images that were trained on.

The distance is the root of the mean squared difference over dimensions, in pixels (0 to 1) or in codes. It means
little by itself, so held-out images are the measure: they are new for sure, and samples that lie as far from the
training images as they do are no copies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

_SPARE = 8


def find_nearest(queries: Tensor, references: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Find the k nearest references of each query.

    Args:
        queries: `(Q, ...)`, bytes (which count as 0 to 1) or floats.
        references: chunks `(n, ...)` of the same kind, one after another; only one is looked at at a time.
        k: neighbours; fewer, if there are not so many references.

    Returns:
        Distances `(Q, k)`, nearest first, and int64 indices `(Q, k)` into all references.
    """
    q = _rows(queries)
    distances, indices = q.new_empty(len(q), 0), torch.empty(len(q), 0, dtype=torch.long, device=q.device)
    seen = 0
    for chunk in references:
        rows = _rows(chunk).to(q.device)
        new, number = _nearest_in(q, rows, min(k, len(rows)))
        distances, indices = torch.cat([distances, new], dim=1), torch.cat([indices, number + seen], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        distances, indices = distances[:, :k], indices.gather(1, order[:, :k])
        seen += len(rows)
    return distances, indices


@dataclass(frozen=True)
class Novelty:
    """How far samples lie from the training images, measured by how far held-out images do.

    Attributes:
        samples: median distance of a sample to the nearest training image.
        held_out: median distance of a held-out image to it.
        nearer: share of samples nearer than all but 5 % of the held-out images; about 0.05 if both lie alike, more
            the more is copied.
    """

    samples: float
    held_out: float
    nearer: float


def novelty(samples: Tensor, held_out: Tensor) -> Novelty:
    """Compare the distances of samples `(Q,)` to their nearest training image with those of held-out images `(H,)`."""
    bound = held_out.double().quantile(0.05)
    share = (samples.double() < bound).double().mean()
    return Novelty(float(samples.double().quantile(0.5)), float(held_out.double().quantile(0.5)), float(share))


def _nearest_in(q: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find candidates by |a|^2 - 2ab + |b|^2, which is quick but loses digits, and rank them by |a - b|."""
    quick = rows.square().sum(1) - 2 * q @ rows.T
    candidates = quick.topk(min(k + _SPARE, len(rows)), dim=1, largest=False).indices.sort(dim=1).values
    exact = torch.stack([(rows[of] - one).square().mean(1).sqrt() for one, of in zip(q, candidates, strict=True)])
    distances, order = exact.sort(dim=1, stable=True)
    return distances[:, :k], candidates.gather(1, order[:, :k])


def _rows(x: Tensor) -> Tensor:
    return x.flatten(1).float() / 255 if x.dtype == torch.uint8 else x.flatten(1).float()
