"""Lines over images seen: where each point of the drawing lies; the template makes SVG of it.

Of many points the running mean is drawn over the faint raw line. A drawing holds no more points than can be told
apart; of a longer raw line each stretch keeps its lowest and its highest point, so that no peak is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..curves import Line, running_mean
from .embed import evenly
from .scale import Scale, fitting_scale, short

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
