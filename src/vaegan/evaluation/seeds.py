"""One figure over runs that differ in their seed alone: the mean, how well it is known, and how far runs lie apart.

Of n runs with mean m and standard deviation s (with n - 1) the intervals of 95 % are

    mean    m -+ t s / sqrt(n)           t: 0.975 quantile of Student's distribution
    spread  s sqrt((n - 1) / q)          q: 0.975 and 0.025 quantiles of chi-squared

with n - 1 degrees of freedom each, for values that are normally distributed over seeds. Three runs make t 4.3 and the
spread's interval from half of s to six times s, so that they must differ much to say anything. One run has no more than
the interval of its images, which knows nothing of other seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics.bootstrap import Interval
from .figures import Figure


@dataclass(frozen=True)
class Combined:
    """A figure over runs.

    Attributes:
        value: mean over the runs that have it; None if none has.
        low: lower bound of its interval of 95 %, over seeds with several runs, else over images; None if unknown.
        high: upper bound.
        values: of each run, None where one has none.
        spread: standard deviation over the runs with its interval; None unless several have it.
    """

    value: float | None
    low: float | None
    high: float | None
    values: tuple[float | None, ...]
    spread: Interval | None = None

    @property
    def num_runs(self) -> int:
        """Runs that have a value."""
        return sum(value is not None for value in self.values)


def combine(figures: Sequence[Figure | None]) -> Combined:
    """Combine the figures of runs, one each, None for a run that lacks it."""
    values = tuple(None if one is None else one["value"] for one in figures)
    there = [value for value in values if value is not None]
    if len(there) > 1:
        mean = mean_over_seeds(there)
        return Combined(mean.value, mean.low, mean.high, values, spread_over_seeds(there))
    for one in figures:
        if one is not None and one["value"] is not None:
            return Combined(one["value"], one["low"], one["high"], values)
    return Combined(None, None, None, values)


def mean_over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean of two or more values with its interval."""
    from scipy.stats import t

    mean = statistics.fmean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def spread_over_seeds(values: Sequence[float]) -> Interval:
    """Return the standard deviation of two or more values with its interval."""
    from scipy.stats import chi2

    degrees, s = len(values) - 1, statistics.stdev(values)
    low, high = (s * math.sqrt(degrees / float(chi2.ppf(quantile, degrees))) for quantile in (0.975, 0.025))
    return Interval(s, low, high)
