"""Is a sample new, or a copy of a training image? Compared with held-out images, which are certainly new.

A distance d to the nearest training image (`find_nearest`, in pixels, features or codes) means little by itself.
Samples that lie as far from the training images as held-out images do are not copies; samples that lie nearer are.
That a sample should not be too near to the data is the idea of authenticity (Alaa et al., arXiv:2102.08921); that
held-out images say how near is too near that of Meehan et al. (arXiv:2004.05675), whose statistic C_T this is.
Functions take distances, one per image, so they work in any space.

`find_nearest` is exact and works a block at a time. Its distance is the root of the mean squared difference over
dimensions, so that it is on the scale of a single value.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..pixels import WHITE

_CHANCE = 0.00135  # of three standard deviations to one side, as a score of -3 is


def memorisation(samples: Tensor, held_out: Tensor) -> dict[str, float]:
    """Compare the distances of samples `(Q,)` to their nearest training image with those of held-out images `(H,)`.

    The results are the medians of both (``samples``, ``held_out``), the share of `are_nearer` (``nearer``), the mean of
    `placements` (``farther``), and `copying_score` (``c_t``).
    """
    samples, held_out = samples.double(), held_out.double()
    return {
        "samples": float(samples.quantile(0.5)),
        "held_out": float(held_out.quantile(0.5)),
        "nearer": float(are_nearer(samples, held_out).double().mean()),
        "farther": float(placements(samples, held_out).mean()),
        "c_t": copying_score(samples, held_out),
    }


def are_nearer(samples: Tensor, held_out: Tensor) -> Tensor:
    """Return whether each sample is nearer than all but 5 % of the held-out images, bool `(Q,)`.

    The mean is 0.05 if both are equally far, higher if training images are copied.
    """
    return samples < held_out.double().quantile(0.05)


def placements(samples: Tensor, held_out: Tensor) -> Tensor:
    """Return for each sample the share of held-out images that are nearer to the training images, `(Q,)`.

    A tie counts half. The mean is the area under the ROC curve of a classifier of samples by distance: 0.5 if both are
    equally far, lower if samples are copies, higher if they are unlike any image.
    """
    ordered = held_out.sort().values
    nearer = torch.searchsorted(ordered, samples) + torch.searchsorted(ordered, samples, right=True)
    return nearer.double() / (2 * len(held_out))


def copying_score(samples: Tensor, held_out: Tensor) -> float:
    """C_T in one cell: the Mann-Whitney statistic of distances in standard deviations (Meehan et al., section 3).

    U counts the pairs in which the sample is farther; by chance its mean is Q H / 2 and its variance
    Q H (Q + H + 1) / 12. The result is below 0 if samples lie nearer (copies), above 0 if farther (underfitting).
    """
    num_samples, num_held_out = len(samples), len(held_out)
    pairs = num_samples * num_held_out
    u = pairs * float(placements(samples, held_out).mean())
    return (u - pairs / 2) / math.sqrt(pairs * (num_samples + num_held_out + 1) / 12)


def in_words(nearer: float, c_t: float, num_samples: int, num_held_out: int, *, blurred: bool = False) -> str:
    """Say whether samples are copies: chance gives their rate or score in about one of a thousand cases.

    Where neither would tell even if all samples were exact copies, there are too few images.
    If samples are like held-out images, the number of them that are nearer than the r-th nearest of H held-out images
    has a beta-binomial distribution with parameters r and H + 1 - r. Blurred samples lie nearer to all images, copies
    or not, so that nothing follows from it.
    """
    from scipy.stats import betabinom

    rank = math.ceil(0.05 * (num_held_out - 1)) + 1  # the first held-out image at or above the quantile of `are_nearer`
    most = betabinom.isf(_CHANCE, num_samples, rank, num_held_out + 1 - rank)
    if copying_score(torch.zeros(num_samples), torch.ones(num_held_out)) >= -3 and num_samples <= most:
        return "too few images to tell whether samples are copies"
    if c_t < -3 or round(nearer * num_samples) > most:
        why = "as blurred samples do even without memorisation" if blurred else "a sign of memorisation"
        return f"samples lie nearer to training images than held-out images do, {why}"
    farther = ": samples lie farther from training images than held-out images do"
    return "no sign of memorisation" + (farther if c_t > 3 else "")


_SPARE = 8
_BLOCK = 2**24  # numbers of a block's table of distances, and of its candidates


def find_nearest(queries: Tensor, references: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Return distances and indices, each `(Q, k)`, of the k nearest references (or all, if fewer), the nearest first.

    Queries `(Q, ...)` and chunks of references `(n, ...)` are bytes (which count as 0 to 1) or floats. Only one chunk
    is in use at a time; indices count through all of them.
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
    """Return the k nearest rows, a block of queries at a time, so that memory stays bounded."""
    num_candidates = min(k + _SPARE, len(rows))
    block = max(1, _BLOCK // max(len(rows), num_candidates * rows.shape[1]))
    centre = rows.mean(0)  # what all have in common would take digits from what they differ in
    rows = rows - centre
    lengths = rows.square().sum(1)
    parts = torch.split(queries, block)
    nearest = [_nearest_to(_rows(part) - centre, rows, lengths, k, num_candidates) for part in parts]
    distances, indices = zip(*nearest, strict=True)
    return torch.cat(distances), torch.cat(indices)


def _nearest_to(q: Tensor, rows: Tensor, lengths: Tensor, k: int, num_candidates: int) -> tuple[Tensor, Tensor]:
    """Find candidates by |a|^2 - 2ab + |b|^2, which is quick but loses digits, and rank them by |a - b|."""
    quick = torch.addmm(lengths, q, rows.T, alpha=-2)
    candidates = quick.topk(num_candidates, dim=1, largest=False).indices.sort(dim=1).values
    exact = (rows[candidates] - q[:, None]).square().mean(2).sqrt()
    distances, order = exact.sort(dim=1, stable=True)
    return distances[:, :k], candidates.gather(1, order[:, :k])


def _rows(x: Tensor) -> Tensor:
    return x.flatten(1).float() / WHITE if x.dtype == torch.uint8 else x.flatten(1).float()
