"""How far a figure may be off because only so many images were measured.

The images are drawn again with replacement, as many as there are, and the figure is taken of each draw; the interval
holds the middle 95 % of these (percentile method, Efron 1979, "Bootstrap methods"). Whatever is a mean over images
needs only its values per image; a figure that is not becomes one by its influence function (see `frechet`). What the
images are compared with is held fixed: the interval is about the images measured, not about the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_AT_A_TIME = 2**21


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its interval.

    Attributes:
        value: of the images measured.
        low: lower bound.
        high: upper bound.
    """

    value: float
    low: float
    high: float

    def __truediv__(self, number: float) -> Interval:
        """Return all three divided by a positive number."""
        return Interval(self.value / number, self.low / number, self.high / number)


def bootstrap_mean(values: Tensor, *, seed: int = 0, num_resamples: int = 1000, level: float = 0.95) -> Interval:
    """Return the mean of `values` `(N,)` with its percentile interval.

    Args:
        values: one number per image.
        seed: of the draws.
        num_resamples: draws.
        level: share of the draws that the interval holds.
    """
    values = values.detach().cpu().double()
    means = resampled_means(values, seed=seed, num_resamples=num_resamples)
    low, high = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return Interval(float(values.mean()), low, high)


def resampled_means(values: Tensor, *, seed: int, num_resamples: int) -> Tensor:
    """Return the means `(num_resamples,)` of draws with replacement of `values` `(N,)`, each of N."""
    generator = torch.Generator().manual_seed(seed)
    num = len(values)
    step = max(1, _AT_A_TIME // num)
    sizes = (min(step, num_resamples - start) for start in range(0, num_resamples, step))
    return torch.cat([values[torch.randint(num, (size, num), generator=generator)].mean(1) for size in sizes])
