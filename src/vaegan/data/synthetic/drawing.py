"""Pictures as layers of signed distances: many at once, smooth at every edge, at any size.

A figure is a function d(u, v), negative inside, that grows by one per unit of length. Its coverage of a pixel of
side p is clip(1/2 - d/p, 0, 1), and it is laid on the picture x as x + coverage * (colour - x). Places are in
units of half the picture: u from -1 (left) to 1 (right), v from -1 (top) to 1 (bottom).

Sources that are drawn: image i of either part is a function of (part, i) alone, and so the same everywhere.

The factors of image i are row i of ``PCG64((SEED, part)).random((N, F))``, which fills row by row: a longer set
begins with the shorter one, and the parts have streams of their own. The pictures are drawn in batches into the
usual cache of decoded images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset import Collection, ImageData, Look, Options
from ..decoded import prepare_data
from ..image_file import Target

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


NUM_TRAIN = 20_000
NUM_TEST = 2_000
SIZE = 64
_SEED = 1512_09300
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Drawing:
    """A family of pictures.

    Attributes:
        name: of the source.
        version: raised when the same factors begin to give other pictures.
        paint: draws factors ``(B, F)`` at a size as uint8 ``(B, size, size, 3)``. The first factor is the index of
            the label, if there are labels; then come the attributes.
        label_names: name of each class; none if empty.
        attribute_names: of the factors in [0, 1].
        num_binary: so many of the attributes, the first, are 0 or 1, each with probability one half.
    """

    name: str
    version: int
    paint: Callable[[Floats, int], NDArray[np.uint8]]
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    num_binary: int = 0

    def open(self, options: Options) -> ImageData:
        """Open 20,000 images, or as many as the limit says, and 2,000 held out; drawn if that was not done before."""
        num_train = options.limit or NUM_TRAIN
        parts = (np.arange(NUM_TEST, NUM_TEST + num_train), np.arange(NUM_TEST))
        factors = np.concatenate([self.factors(1, NUM_TEST), self.factors(0, num_train)])
        has_labels = bool(self.label_names)
        collection = Collection(
            where=self.name,
            names=[f"test-{i:06}" for i in range(NUM_TEST)] + [f"train-{i:06}" for i in range(num_train)],
            keys=list(factors),
            reader=DrawingReader(self.paint),
            digest=f"drawn {self.name} {self.version}",
            look=Look(SIZE, SIZE, True),
            labels=factors[:, 0].astype(np.int64) if has_labels else None,
            label_names=self.label_names,
            attributes=factors[:, 1:] if has_labels else factors,
            attribute_names=self.attribute_names,
        )
        return prepare_data(self.name, collection, parts, options)

    def factors(self, part: int, num_images: int) -> Floats:
        """Return the factors of a part's first images, float32 ``(N, F)``; part 0 is to train on, 1 held out."""
        num_labels = len(self.label_names)
        first = int(num_labels > 0)
        stream = np.random.Generator(np.random.PCG64((_SEED, part)))
        factors = stream.random((num_images, first + len(self.attribute_names)))
        if num_labels:
            factors[:, 0] = np.floor(factors[:, 0] * num_labels)
        binary = factors[:, first : first + self.num_binary]
        binary[:] = binary >= 0.5
        return factors.astype(np.float32)


class DrawingReader:
    """Draws whole chunks; see `vaegan.data.image_file.ChunkReader`."""

    def __init__(self, paint: Callable[[Floats, int], NDArray[np.uint8]]) -> None:
        self.paint = paint

    def read_chunk(self, keys: Sequence[Floats], target: Target) -> NDArray[np.uint8]:
        """Draw the factors ``keys`` as uint8 ``(n, H, W, C)``."""
        images = in_pieces(self.paint, np.stack(keys), target.height)
        return images if target.channels == 3 else (images @ _GREY + 0.5).astype(np.uint8)[..., None]
