"""Charts of lines over images seen: the position of every point and tick, for pages (SVG), the studio (JSON) and PNGs.

Of many points the running mean is drawn over the faint raw line. A chart has at most a few hundred points; of a longer
raw line each stretch keeps its lowest and its highest point, so that no peak is lost.

Values that differ by more than a factor of 30 get a logarithmic axis; if some are not positive, asinh(v / t), which is
linear within the threshold t and logarithmic far outside.

The SVG is our own because the same positions serve the studio's JSON, and a page needs no chart library inside.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Images seen, ascending, and values; values may be NaN or infinite."""
Points = list[tuple[float, float]]

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 346, 10, 206
_SMOOTHED_FROM = 60
_MAX_POINTS = 240


@dataclass(frozen=True)
class ChartLine:
    """One line of a chart: its name, colour number, and (x, y) positions in the drawing.

    The raw points, if any, are a faint line below. ``readout`` is JSON-able, for reading values: positions "x" and "y",
    "images" seen, "values" as text. A dashed line has marked points.
    """

    name: str
    colour: int
    is_dashed: bool
    points: Points
    raw_points: Points
    readout: dict[str, list[Any]]

    @property
    def path(self) -> str:
        """SVG path of the line."""
        return svg_path(self.points)

    @property
    def faint(self) -> str:
        """SVG path of the raw line, or empty."""
        return svg_path(self.raw_points)

    @property
    def last(self) -> str:
        """The last value, as text."""
        return str(self.readout["values"][-1])


@dataclass(frozen=True)
class Chart:
    """Lines over images seen, a block of a page; ticks and marks (where lines break) are places with their text."""

    kind: ClassVar[str] = "chart"
    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT
    box: ClassVar[tuple[int, int, int, int]] = (LEFT, TOP, RIGHT, BOTTOM)
    title: str
    caption: str
    lines: Sequence[ChartLine]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    seen: str
    marks: Sequence[tuple[float, str]] = ()

    @property
    def points(self) -> list[dict[str, list[Any]]]:
        """The read-out of each line."""
        return [line.readout for line in self.lines]

    def as_json(self) -> dict[str, Any]:
        """Return all that is needed to draw the chart, as plain data."""
        names = ("title", "caption", "x_ticks", "y_ticks", "seen", "marks", "points", "width", "height", "box")
        of_line = ("name", "colour", "is_dashed", "path", "faint", "last")
        lines = [{name: getattr(line, name) for name in of_line} for line in self.lines]
        return {name: getattr(self, name) for name in names} | {"lines": lines}


def draw_chart(
    title: str,
    caption: str,
    lines: Sequence[tuple[str, int, bool, Line]],
    marks: Sequence[tuple[int, str]] = (),
    *,
    from_zero: bool = False,
    is_exact: bool = False,
) -> Chart | None:
    """Return a chart of lines, or None if there is no finite value.

    Each line has a name, a colour number, whether it is dashed, and images seen with values. At ``marks``, images seen
    with a text, lines break: a solid line behind that point, a dashed one before it. With ``from_zero`` the value axis
    starts at 0; ``is_exact`` values have no noise, and no running mean.
    """
    finite = [
        (name, colour, dashed, (images[good], values[good]))
        for name, colour, dashed, (images, values) in lines
        if (good := np.isfinite(values)).any()
    ]
    if not finite:
        return None
    end = max(images[-1] for *_, (images, _) in finite)
    x = Scale("linear", 0.0, end or 1.0)
    y = fitting_scale(np.concatenate([values for *_, (_, values) in finite]), from_zero=from_zero)
    return Chart(
        title,
        caption,
        [_draw(x, y, [images for images, _ in marks], is_exact, *line) for line in finite],
        [(round(float(_across(x, value)), 1), short(value)) for value in x.ticks()],
        [(round(float(_up(y, value)), 1), short(value)) for value in y.ticks()],
        f"{end:,.0f}",
        [(round(float(_across(x, images)), 1), text) for images, text in marks],
    )


def _draw(
    x: "Scale", y: "Scale", breaks: Sequence[int], exact: bool, name: str, colour: int, dashed: bool, line: Line
) -> ChartLine:
    images, values = line

    def points(at: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
        """Positions of these points, with a point of NaN at each break."""
        inside = [int(i) for i in np.searchsorted(images[at], breaks, side) if 0 < i < len(at)]
        both = (np.insert(places, inside, math.nan) for places in (_across(x, images[at]), _up(y, values[at])))
        return list(zip(*(places.tolist() for places in both), strict=True))

    side: Literal["left", "right"] = "left" if dashed else "right"
    raw_points: Points = []
    smooth = values
    if len(values) >= _SMOOTHED_FROM and not dashed and not exact:
        raw_points = points(_extremes(values, _MAX_POINTS), values)
        width, pieces = len(values) // 30 | 1, np.split(values, np.searchsorted(images, breaks, side))
        smooth = np.concatenate([running_mean(each, min(width, len(each))) for each in pieces if len(each)])
    at = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MAX_POINTS)).round().astype(int))
    readout = {
        "x": _across(x, images[at]).round(1).tolist(),
        "y": _up(y, values[at]).round(1).tolist(),
        "images": images[at].astype(int).tolist(),
        "values": [f"{value:.4g}" for value in values[at]],
    }
    return ChartLine(name, colour, dashed, points(at, smooth), raw_points, readout)


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of the finite among the `width` values around each one (fewer at the ends); NaN where there is none."""
    finite = np.isfinite(values)
    window = np.ones(width)
    counts = np.convolve(finite, window, mode="same")
    sums = np.convolve(np.where(finite, values, 0.0), window, mode="same")
    means = np.full(len(values), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0.5)
    return means


def svg_path(points: Points) -> str:
    """Return an SVG path through points, with numbers of one decimal; a single one is a dot, NaN breaks the line."""
    path = ""
    for is_gap, piece in itertools.groupby(points, lambda point: math.isnan(point[0])):
        spots = [f"{x:.1f} {y:.1f}" for x, y in piece]
        path += "" if is_gap else "M" + "L".join(spots if len(spots) > 1 else spots * 2)
    return re.sub(r"\.0\b", "", path)


def _extremes(values: NDArray[np.float64], num: int) -> NDArray[np.int64]:
    """Return positions of the lowest and the highest value of each of num / 2 stretches, in order."""
    if len(values) <= num:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), num // 2)
    ends = [(stretch[values[stretch].argmin()], stretch[values[stretch].argmax()]) for stretch in stretches]
    return np.unique(np.array(ends))


def _across(scale: "Scale", values: Any) -> Any:
    return LEFT + (RIGHT - LEFT) * scale.place(values)


def _up(scale: "Scale", values: Any) -> Any:
    return BOTTOM - (BOTTOM - TOP) * scale.place(values)


_MAX_LINEAR_RATIO = 30.0
_MAX_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """An axis 'linear', 'log' or 'asinh' (of x / threshold), with the values at its places 0 and 1."""

    kind: Literal["linear", "log", "asinh"]
    low: float
    high: float
    threshold: float = 1.0

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the places of values; those between low and high come to lie in [0, 1]."""
        low, high = (self._transform(np.asarray(end, float)) for end in (self.low, self.high))
        return np.asarray((self._transform(np.asarray(values, float)) - low) / (high - low))

    def ticks(self) -> list[float]:
        """Return round values between low and high, at most about six."""
        return _round_values(self.low, self.high) if self.kind == "linear" else self._decades()

    def _transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
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
        step = -(-len(inside) // _MAX_TICKS)
        start = inside.index(0.0) % step if 0.0 in inside else 0
        return inside[start::step]


def fitting_scale(values: ArrayLike, *, from_zero: bool = False) -> Scale:
    """Return an axis for finite values, with a little room at both ends; ``from_zero`` a linear one, for amounts."""
    flat = np.asarray(values, float).ravel()
    low, high = float(flat.min()), float(flat.max())
    if from_zero:
        return Scale("linear", 0.0, high * 1.05 or 1.0)
    sizes = np.abs(flat[flat != 0.0])
    small, large = (float(np.percentile(sizes, 2)), float(sizes.max())) if len(sizes) else (1.0, 1.0)
    if large / small <= _MAX_LINEAR_RATIO:
        room = 0.05 * (high - low if high - low > 1e-9 * abs(high) else abs(high)) or 1.0
        return Scale("linear", low - room, high + room)
    if low > 0:
        room = high**0.04 / low**0.04  # the ratio itself may be larger than any float
        return Scale("log", max(low / room, 5e-324), high * room)
    threshold = 10.0 ** math.floor(math.log10(max(small, large * 1e-4)))
    transformed = np.arcsinh(np.array([low, high]) / threshold)
    ends = threshold * np.sinh(transformed + 0.05 * np.ptp(transformed) * np.array([-1, 1]))
    return Scale("asinh", float(ends[0]), float(ends[1]), threshold)


def short(value: float) -> str:
    """Return a value in few characters: 12k, 1.5M, 0.02, 1e-7."""
    sign, size = "-" if value < 0 else "", abs(value)
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if power <= size < power * 1e3:
            return f"{sign}{size / power:.4g}{letter}"
    return sign + f"{size:.4g}".replace("e-0", "e-").replace("e+", "e").replace("e0", "e")


def _round_values(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= _MAX_TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
