"""One figure: its value, its interval, how many images it is of, and the seed of what was drawn for it."""

from __future__ import annotations

import math
from typing import TypedDict

from torch import Tensor

from ..metrics.bootstrap import Interval, bootstrap_mean


class Figure(TypedDict):
    """A figure as JSON; None stands for what is no number, such as the score of an empty group.

    Attributes:
        value: of the images measured.
        low: lower bound of the interval of 95 %; None where there is none.
        high: its upper bound.
        num: images measured.
        seed: of samples, choice of images and resampling.
    """

    value: float | None
    low: float | None
    high: float | None
    num: int
    seed: int


Figures = dict[str, Figure]
"""Figures by name."""


def figure(found: Interval | float, num: int, seed: int) -> Figure:
    """Return a figure of `num` images."""
    interval = found if isinstance(found, Interval) else Interval(found, math.nan, math.nan)
    value, low, high = (number if math.isfinite(number) else None for number in vars(interval).values())
    return {"value": value, "low": low, "high": high, "num": num, "seed": seed}


def mean_figure(values: Tensor, seed: int) -> Figure:
    """Return the mean of `values` `(N,)`, one per image."""
    return figure(bootstrap_mean(values, seed=seed), len(values), seed)
