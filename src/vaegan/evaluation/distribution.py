"""How a set of images lies beside a set of real ones, in features."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from ..metrics.frechet import Moments, frechet_interval
from ..metrics.kernel import kernel_distance
from ..metrics.manifold import Manifold, overlap
from .figures import Figures, figure, mean_figure


class Reference:
    """Features of real images, and what is computed of them once for many comparisons.

    Args:
        features: `(N, D)`.
        k: neighbours that a ball of the manifold reaches.
    """

    def __init__(self, features: Tensor, k: int = 5) -> None:
        self.features = features
        self.k = k

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments(self.features)

    @cached_property
    def manifold(self) -> Manifold:
        """Balls around the images."""
        return Manifold.of(self.features, self.k)


def distribution_figures(features: Tensor, reference: Reference, *, seed: int = 0) -> Figures:
    """Return Fréchet and kernel distance, precision, recall, density and coverage of images.

    Args:
        features: of the images, `(M, D)`.
        reference: real images.
        seed: of subsets and resampling.
    """
    num = len(features)
    found = overlap(reference.manifold, Manifold.of(features, reference.k))
    return {
        "frechet_distance": figure(frechet_interval(features, reference.moments, seed=seed), num, seed),
        "kernel_distance": figure(kernel_distance(features, reference.features, seed=seed), num, seed),
        "precision": mean_figure(found.precision, seed),
        "recall": mean_figure(found.recall, seed),
        "density": mean_figure(found.density, seed),
        "coverage": mean_figure(found.coverage, seed),
    }
