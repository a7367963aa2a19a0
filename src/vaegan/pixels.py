"""The values of a pixel: numbers in files and in memory, floats in [0, 1] in public, a network's own range inside it.

All conversions between them are here, and nowhere else:

    numbers (B, H, W, C)  --PixelFormat.to_unit-->    [0, 1] (B, C, H, W)  --ImageRange.from_unit-->  [low, high]
    numbers (B, H, W, C)  <--PixelFormat.from_unit--  [0, 1] (B, C, H, W)  <--ImageRange.to_unit--    [low, high]

Numbers are bytes (0 to 255) unless images have another `PixelFormat`. `Shown` turns them into the bytes of a picture.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Numbers = NDArray[Any]
"""Pixels as they are stored: uint8, uint16 or float32 ``(..., H, W, C)``."""
Depth = Literal["uint8", "uint16", "float32"]
WHITE = 255.0
_AT_ONCE = 1024
_HIGHEST: dict[Depth, float] = {"uint8": WHITE, "uint16": 65535.0, "float32": 1.0}
_LIMITS: dict[Depth, tuple[float, float]] = {
    "uint8": (0.0, WHITE), "uint16": (0.0, 65535.0), "float32": (-1e38, 1e38),  # so that its span is a float32, too
}  # fmt: skip


@dataclass(frozen=True)
class PixelFormat:
    """What the numbers of images mean: their type, and which of them are 0 and 1 in public."""

    dtype: Depth = "uint8"
    low: float = 0.0  # what is 0
    high: float = WHITE  # what is 1
    alpha: bool = field(default=False, compare=False)  # whether the last channel is opacity

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"the range {self.low:g} to {self.high:g} is empty")

    @classmethod
    def of(cls, dtype: Depth, range_: tuple[float, float] | None = None, *, alpha: bool = False) -> PixelFormat:
        """Return the format of a type; the range is all of an integer type and 0 to 1 of floats, if None."""
        low, high = range_ or (0.0, _HIGHEST[dtype])
        return cls(dtype, float(low), float(high), alpha)

    def check_limits(self, where: str) -> None:
        """Raise UserError if the type cannot hold the range of the images ``where``."""
        lowest, highest = _LIMITS[self.dtype]
        if self.low < lowest or self.high > highest:
            outside = f"--data.range {self.low:g} {self.high:g} is outside of {self.dtype}"
            raise UserError(f"{where}: {outside} ({lowest:g} to {highest:g}), the type of its images")

    def as_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @property
    def span(self) -> float:
        """``high - low``."""
        return self.high - self.low

    @property
    def cell(self) -> float:
        """Distance between two neighbouring numbers on the scale of [0, 1]; 0 of floats."""
        return 0.0 if self.dtype == "float32" else 1.0 / self.span

    @property
    def words(self) -> str:
        """The type and range, as text."""
        return f"{self.dtype} from {self.low:g} to {self.high:g}"

    def unit(self, images: Tensor) -> Tensor:
        """Map numbers of any shape to float in [0, 1]."""
        x = images.float() if images.dtype.itemsize < 4 else images.clone()
        return (x.sub_(self.low) if self.low else x).div_(self.span)

    def to_unit(self, images: Tensor) -> Tensor:
        """Map numbers ``(B, H, W, C)`` to float ``(B, C, H, W)`` in [0, 1]; channels stay last in memory."""
        return self.unit(images.permute(0, 3, 1, 2))

    def from_unit(self, x: Tensor | NDArray[np.floating[Any]]) -> Numbers:
        """Map floats ``(..., C, H, W)`` in [0, 1] to numbers ``(..., H, W, C)``; integers are floor(number + 1/2).

        So every integer of a file comes back exactly. Values outside of [0, 1] are clipped, NaN is 0.
        """
        array = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
        result = np.empty((*array.shape[:-3], *array.shape[-2:], array.shape[-3]), self.dtype)
        units, numbers = array.reshape(-1, *array.shape[-3:]), result.reshape(-1, *result.shape[-3:])
        for i in range(0, len(units), _AT_ONCE):  # a few at a time, as work on all of them would need much memory
            scaled = np.nan_to_num(units[i : i + _AT_ONCE].astype(np.float32)).clip(0.0, 1.0) * np.float32(self.span)
            scaled += np.float32(self.low)
            if self.dtype != "float32":
                scaled = np.floor(scaled + np.float32(0.5)).clip(*_LIMITS[self.dtype])  # a range may be wider
            numbers[i : i + _AT_ONCE] = np.moveaxis(scaled, -3, -1)
        return result

    def fraction(self, numbers: Numbers) -> Numbers:
        """Map numbers of any shape to floats, of which those from `low` to `high` are in [0, 1]."""
        fraction: Numbers = (numbers - self.low) / self.span
        return fraction

    def converted(self, images: Numbers, source: PixelFormat) -> Numbers:
        """Return numbers of the format ``source`` in this one, of the same shape; rounded half to even."""
        if self == source:
            return images.astype(self.dtype, copy=False)
        numbers = source.fraction(images) * self.span + self.low
        return (numbers if self.dtype == "float32" else np.round(numbers)).astype(self.dtype)


BYTES = PixelFormat()
"""The format of most images."""


class ImageRange(NamedTuple):
    """The values of black (``low``) and white (``high``) inside a network."""

    low: float = 0.0
    high: float = 1.0

    @property
    def span(self) -> float:
        """``high - low``."""
        return self.high - self.low

    def from_unit(self, x: Tensor) -> Tensor:
        """Map images from [0, 1] to the network's range."""
        return x * self.span + self.low

    def to_unit(self, x: Tensor) -> Tensor:
        """Map images from the network's range to [0, 1]; values outside the range stay outside."""
        return (x - self.low) / self.span

    def from_bytes(self, images: Tensor, pixels: PixelFormat = BYTES) -> Tensor:
        """Map bytes, or other integers, ``(B, H, W, C)`` to float ``(B, C, H, W)`` in the network's range."""
        factor = self.span / pixels.span
        return images.permute(0, 3, 1, 2).float().mul_(factor).add_(self.low - pixels.low * factor)


@dataclass(frozen=True)
class Shown:
    """How images are shown: the format of their numbers, and which channels, from 1, are grey or red, green, blue.

    Without bands: the first of one or two channels, else the first three; with opacity, composited on white.
    """

    pixels: PixelFormat = BYTES
    bands: tuple[int, ...] = ()

    def checked(self, num_channels: int) -> Shown:
        """Return this; UserError if images of so many channels lack one of the bands."""
        if self.bands and (len(self.bands) not in (1, 3) or max(self.bands) > num_channels):
            given, of = ",".join(map(str, self.bands)), f"1 to {num_channels}"
            raise UserError(f"--bands {given}: give one channel, or three as red, green and blue, each from {of}")
        return self

    def places(self, num_channels: int) -> list[int]:
        """Return the channels shown, counted from 0."""
        return [band - 1 for band in self.bands] or list(range(3 if num_channels > 2 else 1))

    def __call__(self, images: Numbers, *, alpha: bool = False) -> NDArray[np.uint8]:
        """Return bytes ``(..., H, W, 1 or 3)`` of numbers ``(..., H, W, C)``; ``alpha`` adds opacity as the 4th."""
        places = self.places(images.shape[-1])
        if alpha and self.pixels.alpha and not self.bands:
            return Shown(replace(self.pixels, alpha=False), (1, 2, 3, 4))(images)
        chosen = images if places == list(range(images.shape[-1])) else images[..., places]
        on_white = self.pixels.alpha and not self.bands
        if self.pixels == BYTES and not on_white:
            return chosen

        x = self.pixels.fraction(chosen.astype(np.float32))
        if on_white:
            x = 1.0 - (1.0 - x) * self.pixels.fraction(images[..., -1:].astype(np.float32))
        result: NDArray[np.uint8] = np.floor(x.clip(0.0, 1.0) * np.float32(WHITE) + np.float32(0.5)).astype(np.uint8)
        return result


def as_range(low: float, high: float) -> str:
    """Return ``LOW HIGH`` of six digits, rounded so that the range holds both."""
    texts = []
    for value, sign in ((low, -1), (high, 1)):
        text = f"{value:.6g}"
        if sign * (value - float(text)) > 0:
            text = f"{float(text) + sign * 10.0 ** (math.floor(math.log10(abs(value))) - 5):.6g}"
        texts.append(text)
    return " ".join(texts)


def channels_in_words(num: int) -> str:
    """Return what images of so many channels are called."""
    return {1: "grey", 3: "colour"}.get(num, f"{num} channels")


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 images ``(B, H, W, C)`` to float ``(B, C, H, W)`` in [0, 1]; channels stay last in memory."""
    return BYTES.to_unit(images)


def to_uint8(images: Tensor | NDArray[np.generic]) -> NDArray[np.uint8]:
    """Map floats ``(..., C, H, W)`` in [0, 1] to bytes ``(..., H, W, C)``; bytes are returned as they are."""
    array: Any = images
    result: NDArray[np.uint8] = (
        array if isinstance(array, np.ndarray) and array.dtype == np.uint8 else BYTES.from_unit(array)
    )
    return result
