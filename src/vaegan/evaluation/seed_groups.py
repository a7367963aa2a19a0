"""Figures over runs that differ in their seed alone, and which of several models is best.

Of n runs with mean m and standard deviation s (with n - 1) the intervals of 95 % are

    mean    m -+ t s / sqrt(n)           t: 0.975 quantile of Student's distribution
    spread  s sqrt((n - 1) / q)          q: 0.975 and 0.025 quantiles of chi-squared

with n - 1 degrees of freedom each, for values that are normally distributed over seeds. Three runs make t 4.3 and the
spread's interval from half of s to six times s, so that they must differ much to say anything. One run has no more than
the interval over its images, which says nothing of other seeds.

A model is called best only where its interval lies apart from all others. "Better" is lower, higher, or nearer to the
value of real images r; in the last case the interval of a figure becomes that of its distance |v - r|. Intervals that
overlap do not prove that models are alike, but of intervals of 95 % that do not, the wrong one is hardly ever called
best. An interval of no width, such as that of a share of 1, comes of too few images or runs and counts as unknown.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.figures import Better, Figure, finite_or_none

NO_FIGURE = Figure(math.nan)


@dataclass(frozen=True)
class SeedFigure:
    """A figure of a model over its runs."""

    mean: Figure  # over the runs that have it, with its interval over seeds; of one run its own, over images
    values: tuple[float, ...]  # of each run, NaN where one has none
    spread: Figure = NO_FIGURE  # standard deviation over the runs; NaN unless several have the figure

    def as_json(self) -> dict[str, Any]:
        """Return everything by name."""
        return {
            **_bounds(self.mean),
            "values": [finite_or_none(value) for value in self.values],
            "spread": None if math.isnan(self.spread.value) else _bounds(self.spread),
        }


def _bounds(figure: Figure) -> dict[str, float | None]:
    return {name: finite_or_none(getattr(figure, name)) for name in ("value", "low", "high")}


def over_seeds(figures: Sequence[Figure | None]) -> SeedFigure:
    """Combine the figures of runs, one each, None for a run that lacks it."""
    values = tuple(figure.value if figure and math.isfinite(figure.value) else math.nan for figure in figures)
    present = [figure for figure, value in zip(figures, values, strict=True) if figure is not None and value == value]
    if len(present) > 1:
        numbers = [figure.value for figure in present]
        return SeedFigure(mean_over_seeds(numbers), values, spread_over_seeds(numbers))
    return SeedFigure(present[0] if present else NO_FIGURE, values)


def mean_over_seeds(values: Sequence[float]) -> Figure:
    """Return the mean of two or more values with its interval."""
    from scipy.stats import t

    mean = statistics.fmean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Figure(mean, mean - half, mean + half, len(values))


def spread_over_seeds(values: Sequence[float]) -> Figure:
    """Return the standard deviation of two or more values with its interval."""
    from scipy.stats import chi2

    degrees, s = len(values) - 1, statistics.stdev(values)
    low, high = (s * math.sqrt(degrees / float(chi2.ppf(quantile, degrees))) for quantile in (0.975, 0.025))
    return Figure(s, low, high, len(values))


@dataclass(frozen=True)
class Verdict:
    """Which model is best in a figure."""

    best: int | None = None  # the one that is best; None if there is no clear winner
    # otherwise the apparent best, and those whose intervals overlap with its own; empty if one is best, or nothing can
    # be said at all
    overlapping: tuple[int, ...] = ()


def rank(figures: Sequence[Figure], better: Better | None, real: float = math.nan) -> Verdict:
    """Decide which figure is best, one per model and NaN where it has none; ``real`` is the value of real images."""
    losses = {i: loss for i, figure in enumerate(figures) if (loss := _loss(figure, better, real)) is not None}
    if len(losses) < 2 or not any(math.isfinite(loss.high) for loss in losses.values()):
        return Verdict()
    first = min(losses, key=lambda i: losses[i].value)
    others = sorted((i for i in losses if i != first), key=lambda i: losses[i].value)
    near = [i for i in others if losses[i].low <= losses[first].high]
    return Verdict(overlapping=(first, *near)) if near else Verdict(best=first)


def _loss(figure: Figure, better: Better | None, real: float) -> Figure | None:
    """Return a figure as something that is better the lower it is; None if it is missing or neither way is better."""
    if math.isnan(figure.value) or better is None or (better == "real" and math.isnan(real)):
        return None
    low, high = (figure.low, figure.high) if figure.low < figure.high else (-math.inf, math.inf)
    if better == "low":
        return Figure(figure.value, low, high)
    if better == "high":
        return Figure(-figure.value, -high, -low)
    ends = abs(low - real), abs(high - real)
    return Figure(abs(figure.value - real), 0.0 if low <= real <= high else min(ends), max(ends))
