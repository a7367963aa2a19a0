"""Means over seeds with 95% intervals, and the answers they allow.

With n seeds, mean m and standard deviation s the interval is m -+ t s / sqrt(n), t the 0.975 quantile of Student's
distribution with n - 1 degrees of freedom: 4.3 for three seeds, so three seeds must agree well to show anything. Two
variants are compared by the differences of runs with the same seed, which share the order of the data and the initial
noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Answer = Literal["yes", "no", "unclear"]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval.

    Attributes:
        mean: of n values; NaN if there is none.
        half: half the width of its 95% interval; infinite with one value.
        n: how many values.
    """

    mean: float
    half: float
    n: int

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half

    def __str__(self) -> str:
        if not self.n:
            return "none"
        if math.isinf(self.half):
            return f"{number(self.mean)} (one run)"
        digits = _decimals(self.half) if self.half else _decimals(self.mean, 3)
        return f"{self.mean:,.{digits}f} ± {self.half:,.{digits}f}"


def interval(values: Sequence[float]) -> Interval:
    """Return mean and 95% interval of values, one for each seed; values that are not finite are left out."""
    from scipy.stats import t

    finite = np.array([value for value in values if math.isfinite(value)])
    n = len(finite)
    if n < 2:
        return Interval(float(finite[0]) if n else math.nan, math.inf, n)
    half = float(t.ppf(0.975, n - 1) * finite.std(ddof=1) / math.sqrt(n))
    return Interval(float(finite.mean()), half, n)


def paired(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the interval of a - b, seed by seed; seeds where either is missing are left out."""
    return interval([x - y for x, y in zip(a, b, strict=True)])


def exceeds(difference: Interval, margin: float = 0.0) -> Answer:
    """Whether a difference is above 0: yes if its whole interval is, no if all of it is below the margin.

    Args:
        difference: mean and interval.
        margin: the smallest difference that matters, not negative; a difference surely below it counts as none.
    """
    if difference.low > 0 and difference.mean >= margin:
        return "yes"
    return "no" if difference.high < margin or difference.high <= 0 else "unclear"


def spread_ratio(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return s_a / s_b of two groups of values with its 95% interval (F distribution): ratio, low, high."""
    from scipy.stats import f

    finite = [[value for value in values if math.isfinite(value)] for values in (a, b)]
    (n, s), (m, r) = ((len(values), float(np.std(values, ddof=1))) for values in finite)
    ratio = (s / r) ** 2 if r else math.inf
    low, high = f.ppf(0.025, n - 1, m - 1), f.ppf(0.975, n - 1, m - 1)
    return math.sqrt(ratio), math.sqrt(ratio / high), math.sqrt(ratio / low)


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:,.{_decimals(value, 3)}f}" if math.isfinite(value) else "–"


def _decimals(value: float, digits: int = 2) -> int:
    """Return how many decimals show ``digits`` significant digits of a value."""
    if not value or not math.isfinite(value):
        return 2
    return max(0, min(6, digits - 1 - math.floor(math.log10(abs(value)))))
