"""Precision and recall, density and coverage: are samples like real images, and do they cover them?

Each image has a ball that just reaches its k-th nearest neighbour in the same set; the union of all balls estimates
the manifold of such images.

* Precision: share of samples in a ball of a real image. Recall: share of real images in a ball of a sample
  (Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", eq. 1 and 2).
* Density: in how many balls of real images a sample lies, on average, over k; 1 for real images, above if samples
  concentrate where real ones are dense. Coverage: share of real images in whose ball there is a sample
  (Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", eq. 3 and 4).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_AT_A_TIME = 2**24  # distances held at a time


@dataclass(frozen=True)
class Manifold:
    """Balls around images."""

    features: Tensor  # `(N, D)`, the centres
    squared_radii: Tensor  # `(N,)`
    k: int  # the neighbour that each ball reaches

    @classmethod
    def of(cls, features: Tensor, k: int = 5) -> "Manifold":
        """Return the balls around features `(N, D)`; k is at most N - 1."""
        k = min(k, len(features) - 1)
        radii = features.new_empty(len(features))  # at once: small pieces left between large ones split the heap
        step = _rows(features)
        for start in range(0, len(features), step):
            distances = squared_distances(features[start : start + step], features)
            # The nearest of all is the image itself.
            radii[start : start + step] = distances.topk(k + 1, dim=1, largest=False).values[:, -1]
        return cls(features, radii, k)


@dataclass(frozen=True)
class Overlap:
    """How each image relates to the other set; the mean of each is the figure of that name."""

    precision: Tensor  # `(M,)`, 1 for each sample in a ball of a real image, else 0
    recall: Tensor  # `(N,)`, 1 for each real image in a ball of a sample
    density: Tensor  # `(M,)`, real balls around each sample, over k
    coverage: Tensor  # `(N,)`, 1 for each real image in whose ball there is a sample


def overlap(real: Manifold, samples: Manifold) -> Overlap:
    """Compare real images with samples, both with their balls."""
    around = torch.zeros(len(samples.features), dtype=torch.float64)
    covered, recalled = torch.zeros(2, len(real.features), dtype=torch.float64)
    step = _rows(samples.features)
    for start in range(0, len(real.features), step):
        rows = slice(start, start + step)
        distances = squared_distances(real.features[rows], samples.features)
        inside = distances <= real.squared_radii[rows, None]
        around += inside.sum(0)
        covered[rows] = inside.any(1).double()
        recalled[rows] = (distances <= samples.squared_radii).any(1).double()
    return Overlap((around > 0).double(), recalled, around / real.k, covered)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return |x - y|^2 of rows `(N, D)` and `(M, D)`, as `(N, M)`; off by rounding, which is small for features."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def _rows(x: Tensor) -> int:
    return max(1, _AT_A_TIME // len(x))
