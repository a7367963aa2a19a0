"""Axes: from values to places between 0 and 1, and where to put marks.

Values whose sizes differ by more than a factor of 30 get a logarithmic axis; where some are not positive, asinh(v / t),
which is linear within the threshold t and logarithmic far outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_WILD = 30.0
_MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        kind: 'linear', 'log' or 'asinh'.
        low: value at place 0.
        high: value at place 1.
        threshold: t of 'asinh'.
    """

    kind: Literal["linear", "log", "asinh"]
    low: float
    high: float
    threshold: float = 1.0

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the places of values; those between low and high come to lie in [0, 1]."""
        low, high = (self._bend(np.asarray(end, float)) for end in (self.low, self.high))
        return np.asarray((self._bend(np.asarray(values, float)) - low) / (high - low))

    def ticks(self) -> list[float]:
        """Return round values between low and high, at most about six."""
        return _round_values(self.low, self.high) if self.kind == "linear" else self._decades()

    def _bend(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "log":
            return np.asarray(np.log10(values))
        return np.asarray(np.arcsinh(values / self.threshold)) if self.kind == "asinh" else values

    def _decades(self) -> list[float]:
        top = math.floor(math.log10(max(abs(self.low), abs(self.high))))
        bottom = math.floor(math.log10(self.low if self.kind == "log" else self.threshold))
        powers = range(bottom, top + 1)
        digits = (1, 2, 5) if self.kind == "log" and len(powers) <= 2 else (1,)
        sizes = [digit * 10.0**power for power in powers for digit in digits]
        values = sizes if self.kind == "log" else [*(-size for size in reversed(sizes)), 0.0, *sizes]
        inside = [value for value in values if self.low <= value <= self.high]
        step = -(-len(inside) // _MOST_TICKS)
        start = inside.index(0.0) % step if 0.0 in inside else 0
        return inside[start::step]


def fitting_scale(values: ArrayLike, *, from_zero: bool = False) -> Scale:
    """Return an axis for finite values, with a little room at both ends.

    Args:
        values: at least one.
        from_zero: a linear axis that starts at 0, for amounts.
    """
    found = np.asarray(values, float).ravel()
    low, high = float(found.min()), float(found.max())
    if from_zero:
        return Scale("linear", 0.0, high * 1.05 or 1.0)
    sizes = np.abs(found[found != 0.0])
    small, large = (float(np.percentile(sizes, 2)), float(sizes.max())) if len(sizes) else (1.0, 1.0)
    if large / small <= _WILD:
        room = 0.05 * (high - low if high - low > 1e-9 * abs(high) else abs(high)) or 1.0
        return Scale("linear", low - room, high + room)
    if low > 0:
        room = high**0.04 / low**0.04  # the ratio itself may be larger than any float
        return Scale("log", max(low / room, 5e-324), high * room)
    threshold = 10.0 ** math.floor(math.log10(max(small, large * 1e-4)))
    bent = np.arcsinh(np.array([low, high]) / threshold)
    ends = threshold * np.sinh(bent + 0.05 * np.ptp(bent) * np.array([-1, 1]))
    return Scale("asinh", float(ends[0]), float(ends[1]), threshold)


def short(value: float) -> str:
    """Return a value in few characters: 12k, 1.5M, 0.02, 1e-7."""
    sign, size = "−" if value < 0 else "", abs(value)
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if power <= size < power * 1e3:
            return f"{sign}{size / power:.4g}{letter}"
    return sign + f"{size:.4g}".replace("e-0", "e-").replace("e+", "e").replace("e0", "e")


def _round_values(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= _MOST_TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
