"""Means over seeds with 95% intervals, the answers they allow, and how many seeds an answer needs.

With n seeds, mean m and standard deviation s the interval is m -+ t s / sqrt(n), t the 0.975 quantile of Student's
distribution with n - 1 degrees of freedom: 4.3 for three seeds, so three seeds must agree well to show anything. Two
variants are compared by the differences of runs with the same seed, which share the order of the data and the initial
noise.

A claim is judged by an interval and the smallest difference of practical size X. No difference is a result as well: the
whole interval lies within -X..X, or it is above 0 with a mean below X; then the verdict names its upper end, as no
difference larger than that is possible. Where neither holds, more seeds are needed. Their number is the smallest with
which the rule decides with a chance of 80%, computed from the spread seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["confirmed", "refuted", "no difference", "needs more seeds", "premise not met"]
CHANCE = 0.8
"""Chance with which the number of seeds that an answer names decides."""
MAX_SEEDS = 100
"""Largest number of seeds that is computed."""
RELATIVE = 0.1
"""The smallest difference of practical size of distances and errors, as a share of what they are compared with."""
_SHARES = (np.arange(100) + 0.5) / 100


@dataclass(frozen=True)
class Answer:
    """What results say about a claim.

    Attributes:
        kind: of answer.
        verdict: in words, with the numbers that belong to it; the kind if empty.
        seeds: how many decide, above `MAX_SEEDS` if too many; 0 if no more are needed.
    """

    kind: Kind
    verdict: str = ""
    seeds: int = 0

    def __str__(self) -> str:
        return self.verdict or self.kind

    def given(self, premise: bool, otherwise: str) -> Answer:
        """Return this answer if the claim's premise is met; if not, one that says why."""
        return self if premise else Answer("premise not met", f"premise not met: {otherwise}")


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
        return f"{self.mean:z,.{digits}f} ± {self.half:,.{digits}f}"

    def __neg__(self) -> Interval:
        return Interval(-self.mean, self.half, self.n)

    def __sub__(self, value: float) -> Interval:
        return Interval(self.mean - value, self.half, self.n)


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


def exceeds(difference: Interval, smallest: float, of: str) -> Answer:
    """Whether a difference is above 0.

    If its whole interval is above 0, confirmed with a mean of at least ``smallest``, else no difference larger than
    its upper end; no difference if all of it lies within ``smallest`` of 0; refuted if all of it is below ``smallest``.

    Args:
        difference: mean and interval.
        smallest: the smallest difference of practical size.
        of: what differs.
    """
    return _by_student(difference, smallest, smallest, f"in {of}", (difference.mean, 0.0))


def above(value: Interval, bound: float, of: str, smallest: float = 0.0, *, reverse: bool = False) -> Answer:
    """Whether a value is above a bound or, in reverse, below it.

    Confirmed if its whole interval is above, refuted if all of it is below; no difference if it has the bound inside
    and lies within ``smallest`` of it. Arguments as in `exceeds`.
    """
    gap = -(value - bound) if reverse else value - bound
    return _by_student(gap, smallest, 0.0, f"from {of} of {bound:.3g}", (gap.mean,))


def varies_more(a: Sequence[float], b: Sequence[float], factor: float, of: str) -> Answer:
    """Whether values vary more in one group than in another, by the interval of the ratio of standard deviations.

    Confirmed if all of it is above 1, refuted if all of it is below; no difference if it has 1 inside and lies between
    1 / ``factor`` and ``factor``.
    """
    from scipy.stats import f

    ratio, low, high = spread_ratio(a, b)

    def chance(n: int) -> float:
        drawn, below, above = (np.log(f.ppf(share, n - 1, n - 1)) / 2 for share in (_SHARES, 0.975, 0.025))
        return _decided(math.log(ratio) + drawn - below, math.log(ratio) + drawn - above, math.log(factor), 0.0)

    kind = _kind(np.log(low), np.log(high), math.log(factor), 0.0)
    seen = f"ratio {number(ratio)}, interval {number(low)} to {number(high)}"
    n = min(sum(map(math.isfinite, values)) for values in (a, b))
    return _answer(kind, f"a factor of {factor:g}", f"in {of}", seen, n, chance)


def all_of(*answers: Answer) -> Answer:
    """Return the answer to a claim that several claims hold: the one that decides it."""
    order = ("refuted", "no difference", "needs more seeds", "confirmed")
    return min(answers, key=lambda answer: (order.index(answer.kind), -answer.seeds))


def any_of(*answers: Answer) -> Answer:
    """Return the answer to a claim that one of several claims holds: the one that decides it."""
    order = ("confirmed", "needs more seeds", "refuted", "no difference")
    return min(answers, key=lambda answer: (order.index(answer.kind), -answer.seeds))


def chance_to_decide(n: int, truth: float, spread: float, smallest: float, least: float) -> float:
    """Return the chance that ``n`` seeds confirm a claim, refute it or show no difference.

    Args:
        n: at least 2.
        truth: the true mean of the differences.
        spread: their standard deviation.
        smallest: the smallest difference of practical size.
        least: mean that confirms a claim.
    """
    from scipy.stats import chi2, norm, t

    means = truth + spread / math.sqrt(n) * norm.ppf(_SHARES)[:, None]
    halves = t.ppf(0.975, n - 1) * spread / math.sqrt(n) * np.sqrt(chi2.ppf(_SHARES, n - 1) / (n - 1))
    return _decided(means - halves, means + halves, smallest, least)


def _by_student(gap: Interval, smallest: float, least: float, where: str, truths: Sequence[float]) -> Answer:
    from scipy.stats import t

    def chance(n: int) -> float:
        spread = gap.half * math.sqrt(gap.n) / float(t.ppf(0.975, gap.n - 1))
        return min(chance_to_decide(n, truth, spread, smallest, least) for truth in truths)

    size = f"{max(smallest, gap.high):.3g}"
    return _answer(_kind(gap.low, gap.high, smallest, least), size, where, str(gap), gap.n, chance)


def _answer(kind: Kind, size: str, where: str, seen: str, n: int, chance: Callable[[int], float]) -> Answer:
    """Put an answer in words; if ``n`` seeds are too few, with the number that decides with a chance of `CHANCE`."""
    if kind == "no difference":
        return Answer(kind, f"no difference larger than {size} {where} ({seen})")
    if kind != "needs more seeds":
        return Answer(kind)
    more = range(max(n + 1, 3), MAX_SEEDS + 1)
    seeds = next((many for many in more if n < 2 or chance(many) >= CHANCE), MAX_SEEDS + 1)
    count = f"about {seeds}" if seeds <= MAX_SEEDS else f"more than {MAX_SEEDS}"
    return Answer(kind, f"needs {count} seeds (difference {where}: {seen})", seeds)


def _rule(low: Any, high: Any, smallest: float, least: float) -> dict[Kind, Any]:
    """Return which kinds of answer an interval, or each of many, allows; the first that holds counts."""
    confirmed, refuted = (low > 0) & (low + high >= 2 * least), high < least
    same = (low >= -smallest) & (high <= smallest) | (low > 0) & (low + high < 2 * least)
    if least > 0:
        return {"confirmed": confirmed, "no difference": same, "refuted": refuted}
    return {"confirmed": confirmed, "refuted": refuted, "no difference": same}


def _kind(low: float, high: float, smallest: float, least: float) -> Kind:
    return next((kind for kind, holds in _rule(low, high, smallest, least).items() if holds), "needs more seeds")


def _decided(low: Any, high: Any, smallest: float, least: float) -> float:
    """Return the share of intervals that decide."""
    return float(np.mean(np.any(list(np.broadcast_arrays(*_rule(low, high, smallest, least).values())), axis=0)))


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
