"""Lines over images seen: where each point of the drawing lies; the template makes SVG of it.

Of many points the running mean is drawn over the faint raw line. A drawing holds no more points than can be told
apart; of a longer raw line each stretch keeps its lowest and its highest point, so that no peak is lost.

Axes: from values to places between 0 and 1, and where to put marks.

Values whose sizes differ by more than a factor of 30 get a logarithmic axis; where some are not positive, asinh(v / t),
which is linear within the threshold t and logarithmic far outside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..report.curves import Line, running_mean
from .render import evenly

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 352, 10, 206
_SMOOTHED_FROM = 60
_MOST_POINTS = 240


@dataclass(frozen=True)
class Drawn:
    """One line of a chart.

    Attributes:
        name: in the legend.
        colour: number of its colour.
        path: SVG path of the line.
        faint: SVG path of the raw line below it, or empty.
        is_dashed: whether its points are marked and joined by dashes.
        last: the last value, as text.
    """

    name: str
    colour: int
    path: str
    faint: str
    is_dashed: bool
    last: str


@dataclass(frozen=True)
class Chart:
    """Lines over images seen.

    Attributes:
        title: what is measured.
        caption: what is seen, in what units.
        lines: to draw.
        x_ticks: place in the drawing and text of each mark.
        y_ticks: likewise.
        seen: images seen at the end, as text.
        points: what the read-out needs, JSON-able: for each line its places in the drawing, images seen, and values.
    """

    kind: ClassVar[str] = "chart"
    title: str
    caption: str
    lines: Sequence[Drawn]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    seen: str
    points: Sequence[dict[str, Any]]
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)
    box: tuple[int, int, int, int] = field(default=(LEFT, TOP, RIGHT, BOTTOM), init=False)


def draw_chart(
    title: str, caption: str, lines: Sequence[tuple[str, int, bool, Line]], *, from_zero: bool = False
) -> Chart | None:
    """Draw lines.

    Args:
        title: what is measured.
        caption: what is seen, in what units.
        lines: name, number of the colour, whether dashed, and images seen with values, of each.
        from_zero: whether the axis of values starts at 0.

    Returns:
        The chart, or None if there is no finite value.
    """
    finite = [(name, colour, dashed, *_finite(*line)) for name, colour, dashed, line in lines]
    finite = [line for line in finite if len(line[3])]
    if not finite:
        return None
    end = max(images[-1] for *_, images, _ in finite)
    x = Scale("linear", 0.0, end)
    y = fitting_scale(np.concatenate([values for *_, values in finite]), from_zero=from_zero)
    drawn, points = zip(*(_draw(x, y, *line) for line in finite), strict=True)
    return Chart(
        title,
        caption,
        drawn,
        [(round(_across(x, value), 1), short(value)) for value in x.ticks()],
        [(round(_up(y, value), 1), short(value)) for value in y.ticks()],
        f"{end:,.0f}",
        points,
    )


def _draw(
    x: Scale, y: Scale, name: str, colour: int, dashed: bool, images: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[Drawn, dict[str, Any]]:
    faint, shown = "", values
    if len(values) >= _SMOOTHED_FROM and not dashed:
        kept = _extremes(values, _MOST_POINTS)
        faint = svg_path(_across(x, images[kept]), _up(y, values[kept]))
        shown = running_mean(values, len(values) // 30 | 1)
    kept = np.array(evenly(range(len(shown)), _MOST_POINTS))
    across, spots = (np.round(places, 1) for places in (_across(x, images[kept]), _up(y, values[kept])))
    points = {
        "x": across.tolist(),
        "y": spots.tolist(),
        "images": images[kept].astype(int).tolist(),
        "values": [f"{value:.4g}" for value in values[kept]],
    }
    return Drawn(name, colour, svg_path(across, _up(y, shown[kept])), faint, dashed, points["values"][-1]), points


def svg_path(across: NDArray[np.float64], down: NDArray[np.float64]) -> str:
    """Return a line through points, with numbers of one decimal; a single point becomes a dot."""
    spots = [f"{a:.1f} {d:.1f}" for a, d in zip(across, down, strict=True)]
    return re.sub(r"\.0\b", "", "M" + "L".join(spots if len(spots) > 1 else spots * 2))


def _finite(images: NDArray[np.float64], values: NDArray[np.float64]) -> Line:
    there = np.isfinite(values)
    return images[there], values[there]


def _extremes(values: NDArray[np.float64], num: int) -> NDArray[np.int64]:
    """Return positions of the lowest and the highest value of each of num / 2 stretches, in order."""
    if len(values) <= num:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), num // 2)
    ends = [(stretch[values[stretch].argmin()], stretch[values[stretch].argmax()]) for stretch in stretches]
    return np.unique(np.array(ends))


def _across(scale: Scale, values: Any) -> Any:
    return LEFT + (RIGHT - LEFT) * scale.place(values)


def _up(scale: Scale, values: Any) -> Any:
    return BOTTOM - (BOTTOM - TOP) * scale.place(values)


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
