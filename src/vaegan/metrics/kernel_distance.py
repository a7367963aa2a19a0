"""Kernel distance: how far two sets of images lie apart, without the thought that features are Gaussian.

It is the squared maximum mean discrepancy in features under the kernel k(x, y) = (x.y / D + 1)^3, in its unbiased
form, averaged over subsets (Binkowski et al. 2018, "Demystifying MMD GANs", section 4). Being unbiased it does not
depend on how many images there are, and may come out a little below 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .figures import Figure


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of features `(N, D)` and `(M, D)`.

    Gretton et al. 2012, "A kernel two-sample test", eq. 3: mean of k over pairs within x, and within y, of different
    images, minus twice the mean over pairs across.
    """
    return _mean_within(x) + _mean_within(y) - 2 * float(_kernel(x, y).sum(dtype=torch.float64)) / (len(x) * len(y))


def kernel_distance(
    features: Tensor,
    reference: Tensor,
    *,
    seed: int = 0,
    num_subsets: int = 50,
    subset_size: int = 1000,
    level: float = 0.95,
) -> Figure:
    """Return the kernel distance of features `(N, D)` to a reference `(M, D)`.

    The interval comes from how the subsets differ: at size m their spread is about sqrt(n / m) times that of the
    figure of all n images (Politis and Romano 1994, "Large sample confidence regions based on subsamples"), with
    n - m in the place of n, as subsets of one set have images in common.

    Args:
        features: of the images measured.
        reference: of those they are compared with.
        seed: of the subsets.
        num_subsets: pairs of subsets.
        subset_size: images of each, m; at most half of what there is.
        level: of the interval.
    """
    generator = torch.Generator().manual_seed(seed)
    num = min(len(features), len(reference))
    size = max(min(subset_size, num // 2), min(num, 2))

    def subset(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=generator)[:size]]

    values = torch.tensor(
        [squared_mmd(subset(features), subset(reference)) for _ in range(num_subsets)], dtype=torch.float64
    )
    value = float(values.mean())
    bounds = values.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64))
    low, high = (value + (bounds - value) * (size / max(num - size, 1)) ** 0.5).tolist()
    return Figure(value, low, high, len(features), seed)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_within(x: Tensor) -> float:
    pairs = _kernel(x, x)
    total = pairs.sum(dtype=torch.float64) - pairs.diagonal().sum(dtype=torch.float64)
    return float(total) / max(len(x) * (len(x) - 1), 1)
