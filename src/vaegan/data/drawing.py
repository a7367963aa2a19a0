"""Pictures as layers of signed distances: many at once, smooth at every edge, at any size.

A figure is a function d(u, v), negative inside, that grows by one per unit of length. Its coverage of a pixel of
side p is clip(1/2 - d/p, 0, 1), and it is laid on the picture x as x + coverage * (colour - x). Places are in
units of half the picture: u from -1 (left) to 1 (right), v from -1 (top) to 1 (bottom).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 wherever pictures are drawn
_PIXELS = 2**17  # of one piece: its planes stay in the processor's cache


class Canvas:
    """B pictures of one size that are painted layer by layer.

    Args:
        ground: colour of the background, ``(B, 3)`` in [0, 1].
        size: height and width in pixels.
    """

    def __init__(self, ground: Floats, size: int) -> None:
        self.size = size
        self.planes = np.empty((3, len(ground), size, size), np.float32)
        self.planes[:] = ground.T[:, :, None, None]
        self._axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)

    def grid(self) -> tuple[Floats, Floats]:
        """Return u ``(1, 1, W)`` and v ``(1, H, 1)`` of the pixels' centres."""
        return self._axis[None, None, :], self._axis[None, :, None]

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice, slice]:
        """Return the part of ``(B, H, W)`` arrays that holds these places; what is drawn elsewhere is not seen."""
        (x0, x1), (y0, y1) = (
            (math.floor((low + 1) / 2 * self.size), math.ceil((high + 1) / 2 * self.size))
            for low, high in ((left, right), (top, bottom))
        )
        return np.s_[:, max(y0, 0) : y1, max(x0, 0) : x1]

    def lay(
        self, distance: Floats, colour: Floats, window: tuple[slice, slice, slice] = np.s_[:, :, :], *, shown: Floats
    ) -> None:
        """Lay a figure on the pictures.

        Args:
            distance: ``(B, h, w)`` in the window.
            colour: ``(B, 3)`` or ``(3,)`` in [0, 1].
            window: from `window`.
            shown: ``(B,)`` opacity in [0, 1].
        """
        coverage = distance * (-self.size / 2)
        coverage += 0.5
        np.clip(coverage, 0, 1, out=coverage)
        coverage *= shown[:, None, None]
        colours = np.broadcast_to(colour, (self.planes.shape[1], 3))
        for plane, value in zip(self.planes, colours.T, strict=True):
            part = plane[window]
            part += coverage * (value[:, None, None] - part)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pictures, uint8 ``(B, H, W, 3)``."""
        return np.ascontiguousarray((self.planes * 255 + 0.5).astype(np.uint8).transpose(1, 2, 3, 0))


def in_pieces(paint: Callable[[Floats, int], NDArray[np.uint8]], factors: Floats, size: int) -> NDArray[np.uint8]:
    """Return ``paint(factors, size)``, uint8 ``(N, size, size, 3)``, computed a few pictures at a time."""
    step = max(1, _PIXELS // size**2)
    return np.concatenate([paint(factors[i : i + step], size) for i in range(0, len(factors), step)])


def column(values: Floats) -> Floats:
    """Return ``(B,)`` numbers as ``(B, 1, 1)``, one for each picture."""
    return values.astype(np.float32)[:, None, None]


def between(low: float, high: float, share: Floats) -> Floats:
    """Return the number at ``share`` in [0, 1] of the way, ``(B, 1, 1)``."""
    return column(low + (high - low) * share)


def blend(first: tuple[float, ...], second: tuple[float, ...], share: Floats) -> Floats:
    """Return the colour at ``share`` ``(B,)`` of the way between two, ``(B, 3)``."""
    a, b = np.array(first, np.float32), np.array(second, np.float32)
    return a + (b - a) * share.astype(np.float32)[:, None]


def hue_colour(hue: Floats, saturation: float, value: float) -> Floats:
    """Return colours ``(B, 3)`` of hues in [0, 1] from red over green and blue to violet.

    The circle of hues is cut there, so that 0 and 1 are different colours and the hue is a number like any other.
    Source: Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV).
    """
    sextants = (np.array([5, 3, 1]) + hue.astype(np.float32)[:, None] * (6 * 0.8)) % 6
    colours: Floats = value * (1 - saturation * np.clip(np.minimum(sextants, 4 - sextants), 0, 1))
    return colours.astype(np.float32)


def turned(u: Floats, v: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Return the places ``(B, H, W)`` as seen from a frame turned by ``angle`` ``(B,)``, clockwise, in radians."""
    cosine, sine = column(np.cos(angle)), column(np.sin(angle))
    return cosine * u + sine * v, cosine * v - sine * u


def ellipse(u: Floats, v: Floats, radius_u: Floats | float, radius_v: Floats | float) -> Floats:
    """Distance to an ellipse around 0, right at its edge: f / |grad f| of f = |(u/a, v/b)| - 1."""
    u, v = u / radius_u, v / radius_v
    length = np.sqrt(u * u + v * v)
    gradient = np.sqrt((u / radius_u) ** 2 + (v / radius_v) ** 2)
    distance: Floats = length * (length - 1) / np.maximum(gradient, 1e-6)
    return distance


def box(u: Floats, v: Floats, half_u: Floats | float, half_v: Floats | float, radius: float = 0.0) -> Floats:
    """Distance to a box around 0, its corners rounded by ``radius``."""
    du = np.abs(u) - (half_u - radius)
    dv = np.abs(v) - (half_v - radius)
    distance: Floats = np.maximum(du, dv)
    if radius > 0.0:
        distance = np.sqrt(np.maximum(du, 0) ** 2 + np.maximum(dv, 0) ** 2) + np.minimum(distance, 0) - radius
    return distance
