"""Points on a plane, coloured by group, as SVG: the same points once for each way to group them.

Points are drawn in a shuffled order (always the same), a handful of each group at a time, so that no group covers the
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..report.scatter import Grouping

SIDE = 360
MOST_GROUPS = 20
"""More groups cannot be told apart by their colours."""
_ROUNDS = 8
_EDGE = 8


@dataclass(frozen=True)
class Places:
    """The points of one map.

    Attributes:
        title: how they are grouped.
        names: of the groups.
        paths: number of a group and an SVG path with a dot for each of its points, in the order of drawing.
        dot: width of a dot.
    """

    title: str
    names: Sequence[str]
    paths: Sequence[tuple[int, str]]
    dot: float


@dataclass(frozen=True)
class Map:
    """Maps of the same points beside each other.

    Attributes:
        caption: what is seen.
        alt: what a reader who does not see it should know.
        maps: one for each way to group the points.
    """

    kind: ClassVar[str] = "map"
    caption: str
    alt: str
    maps: Sequence[Places]
    side: int = field(default=SIDE, init=False)


def draw_places(points: NDArray[np.floating[Any]], groupings: Sequence[Grouping], caption: str, alt: str) -> Map:
    """Draw points `(N, 2)`, coloured by each of the groupings that has no more than 20 groups."""
    low, span = points.min(0), max(float(np.ptp(points, axis=0).max()), 1e-12)
    spots = _EDGE + (SIDE - 2 * _EDGE) * ((points - low) / span + (1 - np.ptp(points, axis=0) / span) / 2)
    spots[:, 1] = SIDE - spots[:, 1]
    dot = float(np.clip(120 / len(points) ** 0.5, 2.5, 7.0))
    order = np.random.default_rng(0).permutation(len(points))
    maps = [
        Places(grouping.title, grouping.names, list(_paths(spots, grouping, order)), round(dot, 1))
        for grouping in groupings
        if len(grouping.names) <= MOST_GROUPS
    ]
    return Map(caption, alt, maps)


def _paths(spots: NDArray[Any], grouping: Grouping, order: NDArray[np.int64]) -> list[tuple[int, str]]:
    paths = []
    for some in np.array_split(order, min(_ROUNDS, len(order))):
        for group in np.unique(grouping.groups[some]):
            members = spots[some[grouping.groups[some] == group]]
            paths.append((int(group), "".join(f"M{x:.0f} {y:.0f}h0" for x, y in members)))
    return paths
