"""Which of several models is best in a figure: said only where the best one's interval lies apart from all others.

"Better" is lower, higher, or nearer to the value of real images r; in the last case the interval of a figure becomes
that of its distance |v - r|. Intervals that overlap do not prove that models are alike, but of intervals of 95 % that
do not, hardly ever the wrong one is called best. An interval of no width, such as that of a share of 1, comes of too
few images or runs to tell what chance does, and counts as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..metrics.bootstrap import Interval
from .seeds import Combined

Better = Literal["low", "high", "real"]


@dataclass(frozen=True)
class Verdict:
    """What may be said of models, by their numbers.

    Attributes:
        best: the one that is best; None if that cannot be said.
        overlapping: those that cannot be told from the one that looks best, and that one first; empty if one is best,
            or nothing can be said at all.
    """

    best: int | None = None
    overlapping: tuple[int, ...] = ()


def rank(figures: Sequence[Combined], better: Better | None, real: float | None = None) -> Verdict:
    """Say which of the figures is best; of one without interval nothing is sure.

    Args:
        figures: one per model.
        better: what is better, or None.
        real: the value of real images.
    """
    losses = {i: loss for i, one in enumerate(figures) if (loss := _loss(one, better, real)) is not None}
    if len(losses) < 2 or not any(math.isfinite(loss.high) for loss in losses.values()):
        return Verdict()
    first = min(losses, key=lambda i: losses[i].value)
    others = sorted((i for i in losses if i != first), key=lambda i: losses[i].value)
    near = [i for i in others if losses[i].low <= losses[first].high]
    return Verdict(overlapping=(first, *near)) if near else Verdict(best=first)


def _loss(one: Combined, better: Better | None, real: float | None) -> Interval | None:
    """Return a figure as something that is better the lower it is; None if it is missing or has no better."""
    if one.value is None or better is None or (better == "real" and real is None):
        return None
    is_known = one.low is not None and one.high is not None and one.low < one.high
    low, high = (one.low, one.high) if is_known else (-math.inf, math.inf)
    assert low is not None
    assert high is not None
    if better == "low":
        return Interval(one.value, low, high)
    if better == "high":
        return Interval(-one.value, -high, -low)
    assert real is not None
    ends = abs(low - real), abs(high - real)
    return Interval(abs(one.value - real), 0.0 if low <= real <= high else min(ends), max(ends))
