"""``shapes``: one square, ellipse, triangle or heart, drawn from six numbers; every number is an attribute.

All numbers are drawn independently and evenly from [0, 1]. The rotation runs over 80 degrees only, so that no
symmetry of a shape makes two rotations look the same; the hue leaves out the range from violet back to red.
The idea of such a set is that of dSprites (Matthey et al., 2017, github.com/google-deepmind/dsprites-dataset).
"""

import math

import numpy as np
from numpy.typing import NDArray

from .drawing import Canvas, Drawing, Floats, Size, between, blend, box, ellipse, hue_colour, turned

SHAPES = ("square", "ellipse", "triangle", "heart")
_MAX_ANGLE = math.radians(40.0)


def paint_shapes(factors: Floats, size: Size) -> NDArray[np.uint8]:
    """Draw ``(B, 7)`` factors, shape (an index) first, as uint8 ``(B, H, W, 3)``."""
    shape, hue, scale, x, y, rotation, background = factors.T
    canvas = Canvas(blend((0.04, 0.05, 0.10), (0.30, 0.31, 0.33), background), size)
    u, v = canvas.grid()
    u, v = turned(u - between(-0.4, 0.4, x), v - between(-0.4, 0.4, y), (2 * rotation - 1) * _MAX_ANGLE)
    radius = between(0.2, 0.46, scale)
    distance = np.empty_like(u)
    for index, distance_to in enumerate((_square, _upright_ellipse, _triangle, _heart)):
        rows = shape == index
        distance[rows] = distance_to(u[rows], v[rows], radius[rows])
    canvas.lay(distance, hue_colour(hue, 0.7, 1.0))
    return canvas.pixels()


def _square(u: Floats, v: Floats, radius: Floats) -> Floats:
    return box(u, v, 0.85 * radius, 0.85 * radius)


def _upright_ellipse(u: Floats, v: Floats, radius: Floats) -> Floats:
    """An ellipse two thirds as wide as it is high."""
    return ellipse(u, v, 0.72 * radius, 1.15 * radius)


def _triangle(u: Floats, v: Floats, radius: Floats) -> Floats:
    """Equal sides, tip up: the farthest of three half planes at half the outer radius from the centre."""
    slope = math.sqrt(3) / 2 * np.abs(u) - 0.5 * v
    distance: Floats = np.maximum(slope, v) - 0.625 * radius
    return distance


def _heart(u: Floats, v: Floats, radius: Floats) -> Floats:
    """A square on its tip and two half discs on its upper edges, whose middles are (+-1/2, -1/2)."""
    side = 0.9 * radius
    u, v = np.abs(u), v - 0.2 * radius
    square = (u + np.abs(v) - side) / math.sqrt(2)
    disc = np.sqrt((u - side / 2) ** 2 + (v + side / 2) ** 2) - side * math.sqrt(0.5)
    distance: Floats = np.minimum(square, disc)
    return distance


SHAPES_SOURCE = Drawing(
    name="shapes",
    version=1,
    paint=paint_shapes,
    label_names=SHAPES,
    attribute_names=("hue", "size", "x", "y", "rotation", "background"),
)
