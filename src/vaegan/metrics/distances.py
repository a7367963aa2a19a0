"""Distances between two sets of images in features: Fréchet distance and kernel distance.

Fréchet distance, between Gaussians fitted to the features:

    d^2 = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)

(Dowson and Landau 1982; for features of images Heusel et al. 2017, "GANs trained by a two time-scale update rule",
eq. 6, who call the square d^2 the distance, as is done here). It grows with fewer images, as their means and
covariances are off: compare equal numbers only.

Kernel distance, without the assumption of Gaussians: the squared maximum mean discrepancy under the kernel
k(x, y) = (x.y / D + 1)^3, unbiased, averaged over subsets (Binkowski et al. 2018, "Demystifying MMD GANs", section 4).
It does not depend on the number of images, and may be slightly below 0.

Of reconstructions both sets are paired: image i of one is made from image i of the other. Resampling such pairs
together makes the intervals far narrower.
"""

import functools
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .bootstrap import bootstrap_mean, middle_share
from .figures import Figure


class Moments:
    """Mean and covariance of rows that come in batches; float64, and stable however far the mean is from 0.

    Batches are merged by Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances".

    Args:
        features: rows `(B, D)` to begin with, or batches of such.

    Attributes:
        count: number of rows.
        mean: `(D,)`.
    """

    def __init__(self, features: Tensor | Iterable[Tensor] = ()) -> None:
        self.count = 0
        self.mean = torch.empty(0, dtype=torch.float64)
        self._scatter = torch.empty(0, 0, dtype=torch.float64)
        for batch in [features] if isinstance(features, Tensor) else features:
            self.add(batch)

    def add(self, features: Tensor) -> None:
        """Add rows `(B, D)`."""
        rows = features.detach().cpu().double()
        if not len(rows):
            return
        count, mean = len(rows), rows.mean(0)
        scatter = (rows - mean).T @ (rows - mean)
        if self.count:
            total, difference = self.count + count, mean - self.mean
            scatter += self._scatter + difference.outer(difference) * (self.count * count / total)
            mean = self.mean + difference * (count / total)
        self.count, self.mean, self._scatter = self.count + count, mean, scatter
        self.__dict__.pop("root", None)

    @functools.cached_property
    def root(self) -> Tensor:
        """`(D, D)`, the square root of the covariance, which takes long in thousands of dimensions."""
        return _power(self.covariance, 0.5)

    @property
    def covariance(self) -> Tensor:
        """`(D, D)`, divided by one less than the count."""
        return self._scatter / max(self.count - 1, 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return the (squared) Fréchet distance of two Gaussians, see the module; 0 or more, the same both ways."""
    common = torch.linalg.eigvalsh(b.root @ a.covariance @ b.root).clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * common
    return max(float(distance), 0.0)


def frechet_interval(
    features: Tensor, reference: Moments, *, pairs: Tensor | None = None, seed: int = 0, num_resamples: int = 1000
) -> Figure:
    """Return the Fréchet distance of features `(N, D)` to a reference, with its bootstrap interval.

    Resampled features hold duplicates, which puts all their distances above the figure itself, the more the fewer
    images there are; and each costs as much as the figure. So what is resampled is the distance's linear part, the mean
    of the influence of each image (von Mises 1947): with d = mu - mu_ref and T = C_ref^1/2 (C_ref^1/2 C C_ref^1/2)^-1/2
    C_ref^1/2, the linear map that carries the one Gaussian to the other, an image's is

        2 d (f - mu) + (f - mu)^T (1 - T) (f - mu) - tr((1 - T) C).

    The reference is held fixed, unless ``pairs`` `(N, D)` are its features and image i is made from its image i. Then
    the influence of that one, which is the same formula with the sets swapped, is added before resampling.
    """
    moments = Moments(features)
    value = frechet_distance(moments, reference)
    influence = _influence(features, moments, reference)
    if pairs is not None:
        influence += _influence(pairs, reference, moments)
    error = bootstrap_mean(influence, seed=seed, num_resamples=num_resamples)
    return Figure(value, max(value + error.low, 0.0), value + error.high, len(features), seed)


def _influence(features: Tensor, moments: Moments, other: Moments) -> Tensor:
    """Return the influence `(N,)` on the distance to ``other`` of each of features `(N, D)` with these ``moments``."""
    root = other.root
    transport = root @ _power(root @ moments.covariance @ root, -0.5) @ root
    rest = torch.eye(len(root), dtype=torch.float64) - transport
    rows = features.detach().cpu().double() - moments.mean
    influence = 2 * rows @ (moments.mean - other.mean) + ((rows @ rest) * rows).sum(1)
    return influence - influence.mean()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of a positive semi-definite matrix; eigenvalues that are 0 up to rounding stay 0."""
    values, vectors = torch.linalg.eigh(matrix)
    tiny = values.max().clamp_min(0) * len(values) * torch.finfo(values.dtype).eps
    powers = torch.where(values > tiny, values.clamp_min(1e-300) ** exponent, 0.0)
    result: Tensor = (vectors * powers) @ vectors.T
    return result


def squared_mmd(x: Tensor, y: Tensor, *, paired: bool = False) -> float:
    """Return the unbiased squared maximum mean discrepancy of features `(N, D)` and `(M, D)`.

    Gretton et al. 2012, "A kernel two-sample test", eq. 3: mean of k over pairs within x, and within y, of different
    images, minus twice the mean over pairs across. If image i of y is made from image i of x (``paired``, N = M), the
    pairs across leave out i and i, which would bias the mean (eq. 4).
    """
    across = _mean_of_different(x, y) if paired else float(_kernel(x, y).mean(dtype=torch.float64))
    return _mean_of_different(x, x) + _mean_of_different(y, y) - 2 * across


def kernel_distance(
    features: Tensor,
    reference: Tensor,
    *,
    paired: bool = False,
    seed: int = 0,
    num_subsets: int = 50,
    subset_size: int = 1000,
    level: float = 0.95,
) -> Figure:
    """Return the kernel distance of features `(N, D)` to a reference `(M, D)`, NaN if either is a single image.

    The interval comes from how the subsets differ: at size m their spread is about sqrt(n / m) times that of the
    figure of all n images (Politis and Romano 1994, "Large sample confidence regions based on subsamples"), with
    n - m in the place of n, as subsets of one set have images in common. To its square, m / (n - m), comes 1 / S, the
    variance of the mean of S subsets.

    Args:
        features: of the images measured.
        reference: of those they are compared with.
        paired: image i is made from image i of the reference, N = M: subsets have the same images of both, and an
            image is never compared with its own original.
        seed: of the subsets.
        num_subsets: pairs of subsets.
        subset_size: images of each, m; at most half of what there is.
        level: of the interval.
    """
    generator = torch.Generator().manual_seed(seed)
    num = min(len(features), len(reference))
    if num < 2:  # there are no pairs
        return Figure(math.nan, num=len(features), seed=seed)
    size = max(min(subset_size, num // 2), 2)

    def rows_of(x: Tensor) -> Tensor:
        return torch.randperm(len(x), generator=generator)[:size]

    def distance() -> float:
        rows = rows_of(features)
        return squared_mmd(features[rows], reference[rows if paired else rows_of(reference)], paired=paired)

    values = torch.tensor([distance() for _ in range(num_subsets)], dtype=torch.float64)
    value = float(values.mean())
    factor = (size / max(num - size, 1) + 1 / num_subsets) ** 0.5
    low, high = (value + (bound - value) * factor for bound in middle_share(values, level))
    return Figure(value, low, high, len(features), seed)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_different(x: Tensor, y: Tensor) -> float:
    """Return the mean of k over all pairs of rows `(N, D)` of x and y but i with i; 0 of single rows."""
    pairs = _kernel(x, y)
    total = pairs.sum(dtype=torch.float64) - pairs.diagonal().sum(dtype=torch.float64)
    return float(total) / max(len(x) * (len(x) - 1), 1)
