"""Synthetic images, drawn from factors as layers of signed distances: many at once, antialiased, at any size.

A shape is a signed distance d(u, v), negative inside. It covers clip(1/2 - d/p, 0, 1) of a pixel of side p, and is
painted on an image x as x + coverage * (colour - x). Coordinates are in units of half the image's smaller side: u from
-1 (left) to 1 (right), v from -1 (top) to 1 (bottom), and as much further as the other side is longer.

Image i of a stream (0 to train on, 1 held out) is a function of (stream, i) alone, and so the same everywhere: its
factors are row i of ``PCG64((SEED, stream)).random((N, F))``, which fills row by row, so a longer set begins with the
shorter one. The images are drawn in chunks into the usual cache of decoded images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import UserError
from ...pixels import WHITE
from ...settings import DataSettings
from ..dataset import Collection, Positions, Split
from ..image_file import GREY, ImageHeader, Target

Floats = NDArray[np.floating[Any]]  # float32 wherever images are drawn
Size = tuple[int, int]  # height and width in pixels
Paint = Callable[[Floats, Size], NDArray[np.uint8]]
"""Draws factors ``(B, F)`` as images ``(B, H, W, 3)`` of a size."""
_PIXELS = 2**17  # drawn together: their planes stay in the processor's cache


class Canvas:
    """B images of ``size`` (H, W), painted layer by layer on colours ``ground``, ``(B, 3)`` in [0, 1]."""

    def __init__(self, ground: Floats, size: Size) -> None:
        self.unit = min(size)
        self.planes = np.empty((3, len(ground), *size), np.float32)
        self.planes[:] = ground.T[:, :, None, None]
        self.bottom, self.right = (side / self.unit for side in size)  # v and u of the edges
        self._v, self._u = (
            ((np.arange(side, dtype=np.float32) + 0.5) * (2 / self.unit) - side / self.unit).astype(np.float32)
            for side in size
        )

    def grid(self) -> tuple[Floats, Floats]:
        """Return u ``(1, 1, W)`` and v ``(1, H, 1)`` of the pixels' centres."""
        return self._u[None, None, :], self._v[None, :, None]

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice, slice]:
        """Return the slices of ``(B, H, W)`` arrays inside these bounds; a layer is drawn nowhere else."""
        (x0, x1), (y0, y1) = (
            (math.floor((low + edge) / 2 * self.unit), math.ceil((high + edge) / 2 * self.unit))
            for low, high, edge in ((left, right, self.right), (top, bottom, self.bottom))
        )
        return np.s_[:, max(y0, 0) : y1, max(x0, 0) : x1]

    def lay(
        self,
        distance: Floats,
        colour: Floats | tuple[float, ...],
        window: tuple[slice, slice, slice] = np.s_[:, :, :],
        opacity: Floats | None = None,
    ) -> None:
        """Paint a shape by its distance ``(B, h, w)`` in the window, in a colour ``(B, 3)`` or ``(3,)`` in [0, 1]."""
        coverage = distance * (-self.unit / 2)
        coverage += 0.5
        np.clip(coverage, 0, 1, out=coverage)
        if opacity is not None:
            coverage *= opacity[:, None, None]
        colours = np.broadcast_to(np.asarray(colour, np.float32), (self.planes.shape[1], 3))
        for plane, value in zip(self.planes, colours.T, strict=True):
            layer = plane[window]
            layer += coverage * (value[:, None, None] - layer)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the images, uint8 ``(B, H, W, 3)``."""
        return np.ascontiguousarray((self.planes * WHITE + 0.5).astype(np.uint8).transpose(1, 2, 3, 0))


def in_pieces(paint: Paint, factors: Floats, size: Size) -> NDArray[np.uint8]:
    """Return ``paint(factors, size)``, uint8 ``(N, H, W, 3)``, computed a few images at a time."""
    step = max(1, _PIXELS // math.prod(size))
    return np.concatenate([paint(factors[i : i + step], size) for i in range(0, len(factors), step)])


def column(values: Floats) -> Floats:
    """Return ``(B,)`` numbers as ``(B, 1, 1)``, one for each image."""
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
    """Return coordinates ``(B, H, W)`` in a frame turned by ``angle`` ``(B,)``, clockwise, in radians."""
    cosine, sine = column(np.cos(angle)), column(np.sin(angle))
    return cosine * u + sine * v, cosine * v - sine * u


def ellipse(u: Floats, v: Floats, radius_u: Floats | float, radius_v: Floats | float) -> Floats:
    """Distance to an ellipse around 0, exact at its edge: f / |grad f| of f = |(u/a, v/b)| - 1."""
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


@dataclass(frozen=True)
class Drawing:
    """A source of images drawn from factors, the first of which is the label, if there are labels."""

    name: str  # of the source
    version: int  # raised when the same factors begin to give other images
    paint: Paint
    label_names: tuple[str, ...]  # name of each class; none if empty
    attribute_names: tuple[str, ...]  # of the factors in [0, 1]
    num_binary: int = 0  # so many attributes come first that are 0 or 1, each with probability one half

    def open(self, settings: DataSettings) -> Collection:
        """Return 20,000 images to train on, or as many as the limit says, and 2,000 held out."""
        if settings.range not in (None, (0.0, 255.0)):
            raise UserError(f"{self.name}: drawn images have values from 0 to 255; leave out --data.range")
        num_train = settings.limit or NUM_TRAIN
        factors = np.concatenate([self.factors(1, NUM_TEST), self.factors(0, num_train)])
        has_labels = bool(self.label_names)
        note = f"{self.name}: drawn images are not cropped; leave out --data.crop-size, or set --data.size instead"
        return Collection(
            name=self.name,
            where=self.name,
            items=DrawnItems(factors, self.paint, f"drawn {self.name} {self.version}"),
            names=[f"test-{i:06}" for i in range(NUM_TEST)] + [f"train-{i:06}" for i in range(num_train)],
            split=Split(np.arange(NUM_TEST, NUM_TEST + num_train), np.arange(NUM_TEST)),
            header=ImageHeader(SIZE, SIZE, True),
            labels=factors[:, 0].astype(np.int64) if has_labels else None,
            label_names=self.label_names,
            attributes=factors[:, 1:] if has_labels else factors,
            attribute_names=self.attribute_names,
            notes=(note,) if settings.crop_size else (),
        )

    def factors(self, stream: int, num_images: int) -> Floats:
        """Return the factors of a stream's first images, float32 ``(N, F)``; 0 is to train on, 1 held out."""
        num_labels = len(self.label_names)
        first = int(num_labels > 0)
        generator = np.random.Generator(np.random.PCG64((_SEED, stream)))
        factors = generator.random((num_images, first + len(self.attribute_names)))
        if num_labels:
            factors[:, 0] = np.floor(factors[:, 0] * num_labels)
        binary = factors[:, first : first + self.num_binary]
        binary[:] = binary >= 0.5
        return factors.astype(np.float32)


class DrawnItems:
    """Images drawn from rows of factors, whole chunks at a time."""

    def __init__(self, factors: Floats, paint: Paint, fingerprint: str) -> None:
        self.factors, self.paint, self.fingerprint = factors, paint, fingerprint

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, index: int) -> Image.Image:
        """Draw one image."""
        return Image.fromarray(self.read_chunk(np.array([index]), Target(SIZE, SIZE, 3))[0])

    def read_chunk(self, indices: Positions, target: Target) -> NDArray[np.uint8]:
        """Draw images as uint8 ``(n, H, W, C)``."""
        images = in_pieces(self.paint, self.factors[indices], (target.height, target.width))
        return images if target.channels == 3 else (images @ GREY + 0.5).astype(np.uint8)[..., None]
