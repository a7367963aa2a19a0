"""Points on a plane, coloured by group, as SVG for pages and as a PNG, with a panel for each grouping.

Points are drawn in a fixed shuffled order, so that no group covers the others.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..files import written_beside
from .fonts import font_for

SIDE = 360
MAX_GROUPS = 20
"""More groups cannot be distinguished by their colours."""
_LAYERS = 8  # of an SVG: paths of one colour each lie in a layer above or below others
_MARGIN = 8


@dataclass(frozen=True)
class Grouping:
    """One way to colour N points: the group of each, int `(N,)`, an index into the names of groups."""

    title: str
    groups: NDArray[np.int64]
    names: Sequence[str]


@dataclass(frozen=True)
class ScatterPanel:
    """The points in the colours of one grouping; each path is the number of a group and an SVG path with its dots."""

    title: str
    names: Sequence[str]
    paths: Sequence[tuple[int, str]]
    dot: float


@dataclass(frozen=True)
class Scatter:
    """Panels of the same points beside each other, a block of a page."""

    kind: ClassVar[str] = "scatter"
    side: ClassVar[int] = SIDE
    caption: str
    alt: str
    panels: Sequence[ScatterPanel]


def scatter_block(points: NDArray[np.floating[Any]], groupings: Sequence[Grouping], caption: str, alt: str) -> Scatter:
    """Return points `(N, 2)` in a panel for each grouping of at most 20 groups."""
    low, span = points.min(0), max(float(np.ptp(points, axis=0).max()), 1e-12)
    spots = _MARGIN + (SIDE - 2 * _MARGIN) * ((points - low) / span + (1 - np.ptp(points, axis=0) / span) / 2)
    spots[:, 1] = SIDE - spots[:, 1]
    dot = round(float(np.clip(120 / len(points) ** 0.5, 2.5, 7.0)), 1)
    panels = [
        ScatterPanel(grouping.title, grouping.names, _paths(spots, grouping.groups), dot)
        for grouping in groupings
        if len(grouping.names) <= MAX_GROUPS
    ]
    return Scatter(caption, alt, panels)


def _paths(spots: NDArray[Any], groups: NDArray[np.int64]) -> list[tuple[int, str]]:
    paths = []
    for layer in np.array_split(_order(len(spots)), min(_LAYERS, len(spots))):
        for group in np.unique(groups[layer]):
            members = spots[layer[groups[layer] == group]]
            paths.append((int(group), "".join(f"M{x:.0f} {y:.0f}h0" for x, y in members)))
    return paths


def draw_scatter(points: NDArray[np.floating[Any]], groupings: Sequence[Grouping], path: Path) -> None:
    """Draw points `(N, 2)` as a PNG with a panel for each grouping; more than 20 groups get no legend."""
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    named = [grouping for grouping in groupings if len(grouping.names) <= MAX_GROUPS]
    font = FontProperties(fname=font_for(name for grouping in named for name in grouping.names), size=8)
    figure = Figure(figsize=(6.4 * len(groupings), 5.6), dpi=110, layout="constrained")
    order = _order(len(points))
    size = float(np.clip(40_000 / max(len(points), 1), 2.0, 30.0))  # area of a point in square typographic points
    for axes, grouping in zip(figure.subplots(1, len(groupings), squeeze=False)[0], groupings, strict=True):
        colors = _colors(len(grouping.names))
        axes.scatter(*points[order].T, s=size, c=colors[grouping.groups[order]], linewidths=0)
        axes.set_title(grouping.title)
        axes.set_xticks([])
        axes.set_yticks([])
        if len(grouping.names) <= MAX_GROUPS:
            for name, color in zip(grouping.names, colors, strict=True):
                axes.scatter([], [], s=30, color=color, label=name)
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), prop=font, frameon=False)
    with written_beside(path) as beside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # `font_for` says it once
        figure.savefig(beside, format="png")


def _order(num: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(num)


def _colors(num: int) -> NDArray[np.float64]:
    """Return `(num, 4)` colours."""
    from matplotlib import colormaps

    if num <= MAX_GROUPS:
        return np.asarray(colormaps["tab10" if num <= 10 else "tab20"](np.arange(num)))
    return np.asarray(colormaps["turbo"](np.linspace(0, 1, num)))
