"""Is a sample new, or a copy of a training image? Held-out images are the measure: they are new for sure.

A distance to the nearest training image, d, means little by itself (see `nearest.find_nearest`, in pixels, features
or codes). Samples that lie as far from the training images as held-out images do are no copies; samples that lie
nearer are. That a sample should not be too near to the data is the idea of authenticity (Alaa et al.,
arXiv:2102.08921); that held-out images say how near is too near that of Meehan et al.
(arXiv:2004.05675), whose statistic C_T this is. All here takes distances, one for each image, so that the same
figures can be had in any space, with intervals from any resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Memorisation:
    """How far samples lie from the training images, measured by how far held-out images do.

    Attributes:
        samples: median distance of a sample to the nearest training image.
        held_out: median distance of a held-out image to it.
        nearer: share of samples nearer than all but 5 % of the held-out images; about 0.05 if both lie alike, more
            the more is copied.
        farther: probability that a sample lies farther than a held-out image; 0.5 if both lie alike, less if samples
            are copied, more if they are unlike any image.
        c_t: the same in standard deviations of what chance would do; below -3 is hardly chance. It grows with the
            counts.
    """

    samples: float
    held_out: float
    nearer: float
    farther: float
    c_t: float


def memorisation(samples: Tensor, held_out: Tensor) -> Memorisation:
    """Compare the distances of samples `(Q,)` to their nearest training image with those of held-out images `(H,)`."""
    samples, held_out = samples.double(), held_out.double()
    bound = held_out.quantile(0.05)
    return Memorisation(
        samples=float(samples.quantile(0.5)),
        held_out=float(held_out.quantile(0.5)),
        nearer=float((samples < bound).double().mean()),
        farther=float(placements(samples, held_out).mean()),
        c_t=copying_score(samples, held_out),
    )


def placements(samples: Tensor, held_out: Tensor) -> Tensor:
    """Return for each sample the share of held-out images that are nearer to the training images than it is, `(Q,)`.

    One that is as near counts half. The mean is the area under the curve of a test that calls far images samples.
    """
    ordered = held_out.sort().values
    nearer = torch.searchsorted(ordered, samples) + torch.searchsorted(ordered, samples, right=True)
    return nearer.double() / (2 * len(held_out))


def copying_score(samples: Tensor, held_out: Tensor) -> float:
    """C_T in one cell: the Mann-Whitney statistic of distances in standard deviations (Meehan et al., section 3).

    U counts the pairs of which the sample is farther; by chance its mean is Q H / 2 and its variance
    Q H (Q + H + 1) / 12.

    Args:
        samples: distances `(Q,)` of samples to their nearest training image.
        held_out: distances `(H,)` of held-out images to it.

    Returns:
        Below 0 if samples lie nearer (copies), above 0 if they lie farther (underfitting).
    """
    num_samples, num_held_out = len(samples), len(held_out)
    pairs = num_samples * num_held_out
    u = pairs * float(placements(samples, held_out).mean())
    return (u - pairs / 2) / math.sqrt(pairs * (num_samples + num_held_out + 1) / 12)


def copying_score_by_cell(
    samples: Tensor, held_out: Tensor, sample_cells: Tensor, held_out_cells: Tensor, *, fewest: int = 20
) -> float:
    """C_T: the mean score over cells, weighted by their share of held-out images (Meehan et al., section 3).

    Copies in one region and poor samples in another cancel in a single score, but not here.

    Args:
        samples: distances `(Q,)` of samples to their nearest training image.
        held_out: distances `(H,)` of held-out images to it.
        sample_cells: number of the cell that each sample lies in, `(Q,)`: a cluster, or a label.
        held_out_cells: likewise of held-out images, `(H,)`.
        fewest: a cell counts if so many samples lie in it.

    Returns:
        The score; NaN if no cell counts.
    """
    total, weights = 0.0, 0
    for cell in sorted(set(held_out_cells.tolist())):
        inside, others = samples[sample_cells == cell], held_out[held_out_cells == cell]
        if len(inside) >= fewest:
            total += len(others) * copying_score(inside, others)
            weights += len(others)
    return total / weights if weights else math.nan
