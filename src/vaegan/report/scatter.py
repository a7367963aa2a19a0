"""Points on a plane, coloured by group: the same map once for each way to group them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import written_beside

_IN_LEGEND = 20


@dataclass(frozen=True)
class Grouping:
    """One way to colour the points.

    Attributes:
        title: above the panel.
        groups: int `(N,)`, the group of each point, an index into ``names``.
        names: of the groups.
    """

    title: str
    groups: NDArray[np.int64]
    names: Sequence[str]


def draw_scatter(points: NDArray[np.floating[Any]], groupings: Sequence[Grouping], path: Path) -> None:
    """Draw points `(N, 2)` in a panel for each grouping.

    Points are drawn in a shuffled order (always the same), so that no group covers the others. More than 20 groups
    get no legend.

    Args:
        points: `(N, 2)`.
        groupings: at least one.
        path: the PNG, written beside and then renamed.

    Raises:
        UserError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 * len(groupings), 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    order = np.random.default_rng(0).permutation(len(points))
    for axes, grouping in zip(figure.subplots(1, len(groupings), squeeze=False)[0], groupings, strict=True):
        colors = _colors(len(grouping.names))
        axes.scatter(*points[order].T, s=_size(len(points)), c=colors[grouping.groups[order]], linewidths=0)
        axes.set_title(grouping.title)
        axes.set_xticks([])
        axes.set_yticks([])
        if len(grouping.names) <= _IN_LEGEND:
            for name, color in zip(grouping.names, colors, strict=True):
                axes.scatter([], [], s=30, color=color, label=name)
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")


def _size(num: int) -> float:
    """Return the area of a point in square typographic points: smaller where there are many."""
    return float(np.clip(40_000 / max(num, 1), 2.0, 30.0))


def _colors(num: int) -> NDArray[np.float64]:
    """Return `(num, 4)` colours, as far apart as a map of colours has them."""
    from matplotlib import colormaps

    if num <= 20:
        return np.asarray(colormaps["tab10" if num <= 10 else "tab20"](np.arange(num)))
    return np.asarray(colormaps["turbo"](np.linspace(0, 1, num)))
