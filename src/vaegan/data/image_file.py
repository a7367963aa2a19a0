"""One image -> one array: upright, without transparency, cropped, resized.

Grey, RGB, CMYK and palette images become grey or RGB; transparent ones are composited on white, unless four channels
are wanted; the EXIF orientation is applied. Images of 16 bits, of floats or of more channels keep their numbers, unless
another type is wanted (65535 -> 255). Resizing is Pillow's Lanczos filter with its support scaled to the reduction, so
nothing aliases.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from ..files import MAX_PIXELS
from ..pixels import BYTES, Depth, Numbers, PixelFormat
from .image_types import ArrayImage, Opened, as_picture, deep_png, is_deep

_ORIENTATION = 0x0112  # EXIF 2.3, table 4; values 5 to 8 exchange width and height
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


class UnfitError(ValueError):
    """An image does not have the wanted channels."""


class OutOfRangeError(UnfitError):
    """Numbers of an image, from ``low`` to ``high``, are outside of the range that they should be in, or not finite."""

    def __init__(self, low: float, high: float, source: PixelFormat) -> None:
        super().__init__(low, high, source)  # as it is pickled
        self.low, self.high, self.source = low, high, source

    @property
    def is_finite(self) -> bool:
        """Whether there is a range that holds the numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __str__(self) -> str:
        if not self.is_finite:
            return "some of its values are NaN or infinite"
        source = self.source
        return f"its values are {self.low:g} to {self.high:g}, not within {source.low:g} to {source.high:g}"


@dataclass(frozen=True)
class ImageHeader:
    """Size and colour of an image as its file states them."""

    width: int  # pixels, after the EXIF orientation
    height: int  # likewise
    colour: bool  # whether it may hold anything but greys
    channels: int | None = None  # of an array; None of a picture, which can have 1, 3 or 4
    depth: Depth = "uint8"  # type of its numbers
    alpha: bool = True  # whether the last of 4 channels is opacity


@dataclass(frozen=True)
class Target:
    """What every image of a set is prepared to."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 (grey), 3 (RGB) or 4 (with opacity); of an array any number
    crop: Literal["center", "none"] = "center"  # 'none' squeezes the whole image
    crop_size: int | None = None  # side of a square to crop, in pixels of the original; None for the largest rectangle
    pixels: PixelFormat = BYTES  # of the prepared numbers
    range: tuple[float, float] | None = None  # numbers of the files that are 0 and 1, see `source`

    def source(self, depth: Depth) -> PixelFormat:
        """Return the format of the numbers in files of a type: the target's, if that has it and no range is set."""
        return self.pixels if self.range is None and depth == self.pixels.dtype else PixelFormat.of(depth, self.range)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the prepared numbers."""
        return np.dtype(self.pixels.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, C)``."""
        return self.height, self.width, self.channels


def read_header(image: Opened) -> ImageHeader:
    """Return size and kind of an opened image without decoding it."""
    if isinstance(image, ArrayImage):
        has_choice = image.depth == "uint8" and (image.channels in (1, 3) or image.alpha)
        channels = None if has_choice else image.channels
        return ImageHeader(image.width, image.height, image.channels >= 3, channels, image.depth, image.alpha)
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    depth: Depth = "uint16" if is_deep(image) else _depth(image)
    return ImageHeader(width, height, _has_colour(image), 1 if _depth(image) != "uint8" else None, depth)


def prepare(image: Opened, target: Target, values: list[float] | None = None) -> Numbers:
    """Decode an opened image to numbers ``(H, W, C)`` of the target's format, JPEGs only as far as needed.

    The lowest and the highest number of the file, unless it is a picture of bytes, are added to ``values``.

    Raises OutOfRangeError, or ValueError above MAX_PIXELS or if the image cannot have the target's channels.
    """
    if is_deep(image) and (target.range or target.dtype != np.uint8):
        image = deep_png(image, _orientation(image))
    source = target.source(_depth(image))
    if isinstance(image, ArrayImage):
        numbers, has_alpha, scale = image.read(), image.alpha, 1.0
    else:
        image, scale = _decoded(image, target)
        if source == BYTES:
            return target.pixels.converted(_fitted(_flat(image, target.channels), target, scale), source)
        numbers, has_alpha = _numbers(image, target), False
    extremes = check_range(numbers, source)
    if values is not None:
        values.extend(extremes)
    numbers = target.pixels.converted(numbers, source)
    picture = as_picture(numbers, alpha=has_alpha)
    layers = _with_channels(numbers, target, has_alpha) if picture is None else _flat(picture, target.channels)
    fitted = np.clip(_fitted(layers, target, scale), target.pixels.low, target.pixels.high)  # resizing overshoots
    return fitted.astype(target.dtype, copy=False)


def check_range(numbers: Numbers, source: PixelFormat) -> tuple[float, float]:
    """Return the lowest and the highest number; OutOfRangeError if they are not within the range of their format."""
    low, high = numbers.min(), numbers.max()
    extremes = float(str(low)), float(str(high))  # 0.8 of a float32, not 0.800000012
    if not (low >= source.low and high <= source.high):  # nor NaN
        raise OutOfRangeError(*extremes, source)
    return extremes


def _decoded(image: Image.Image, target: Target) -> tuple[Image.Image, float]:
    """Return a picture decoded and upright, and its scale if it was decoded at a smaller size."""
    stored_width, is_on_side = image.width, _orientation(image) >= 5
    full_width, full_height = image.size[::-1] if is_on_side else image.size
    crop_width, crop_height = _crop_size(full_width, full_height, target, 1.0)
    factor = min(full_width / crop_width, full_height / crop_height)
    enough = math.ceil(2 * target.width * factor), math.ceil(2 * target.height * factor)
    image.draft(None, enough[::-1] if is_on_side else enough)
    scale = image.width / stored_width
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS / 1e6:.0f} million")
    image.load()
    if (transpose := _UPRIGHT.get(_orientation(image))) is not None:
        image = image.transpose(transpose)
    return image, scale


def _fitted(layers: Image.Image | Numbers, target: Target, scale: float) -> Numbers:
    """Return a picture, or an array ``(H', W', C)``, cropped and resized, as an array."""
    width, height = layers.size if isinstance(layers, Image.Image) else layers.shape[1::-1]
    crop_width, crop_height = _crop_size(width, height, target, scale)
    left, top, size = (width - crop_width) // 2, (height - crop_height) // 2, (target.width, target.height)
    if isinstance(layers, Image.Image):
        picture = layers.crop((left, top, left + crop_width, top + crop_height))
        picture = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
        return np.asarray(picture, np.uint8).reshape(target.shape)
    numbers = layers[top : top + crop_height, left : left + crop_width]
    return numbers if numbers.shape == target.shape else _resized(numbers, size, target.pixels)


def _resized(numbers: Numbers, size: tuple[int, int], pixels: PixelFormat) -> Numbers:
    """Return an array resized to (width, height), each channel by itself in float32; integers are rounded.

    Colours with opacity are weighted by it, as Pillow does for bytes: what is transparent has no colour.
    """
    layers = numbers.astype(np.float32)
    if pixels.alpha:
        layers[..., :3] = (layers[..., :3] - pixels.low) * pixels.fraction(layers[..., 3:])
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(layers, 2, 0)]
    resized = np.stack([np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes], axis=2)
    if pixels.alpha:
        opacity = pixels.fraction(resized[..., 3:])
        resized[..., :3] = pixels.low + resized[..., :3] / np.where(opacity > 0, opacity, 1)
    return resized if numbers.dtype.kind == "f" else np.round(resized)


def _crop_size(width: int, height: int, target: Target, scale: float) -> tuple[int, int]:
    """Return width and height of the centred part to crop: the largest of the target's shape, unless a side is set."""
    if target.crop == "none":
        return width, height
    if target.crop_size is not None:
        side = max(1, min(width, height, round(target.crop_size * scale)))
        return side, side
    if width * target.height > height * target.width:
        return max(1, round(height * target.width / target.height)), height
    return width, max(1, round(width * target.height / target.width))


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise all kinds of errors; the image is usable without them
        return 1
    return value if value in _UPRIGHT else 1


def _depth(image: Opened) -> Depth:
    if isinstance(image, ArrayImage):
        return image.depth
    return "uint16" if image.mode.startswith("I") else "float32" if image.mode == "F" else "uint8"


def _numbers(image: Image.Image, target: Target) -> Numbers:
    """Return a decoded picture as an array ``(H, W, C)``."""
    depth = _depth(image)
    numbers = np.asarray(_flat(image, target.channels) if depth == "uint8" else image)
    if depth == "uint16":  # Pillow may have more bits
        numbers = np.clip(numbers, 0, 65535).astype(np.uint16)
    return numbers.reshape(image.height, image.width, -1)


def _with_channels(numbers: Numbers, target: Target, has_alpha: bool) -> Numbers:
    """Return an array with the target's channels, as `_flat` does a picture; else UnfitError."""
    own, channels, pixels = numbers.shape[2], target.channels, target.pixels
    if own == channels:
        return numbers
    if has_alpha and own == 4 and channels in (1, 3):
        colours = pixels.high - (pixels.high - numbers[..., :3]) * pixels.fraction(numbers[..., 3:])
    elif own in (1, 3) and channels in (1, 3, 4):
        colours = numbers if own == 3 else numbers.repeat(3, axis=2)
    else:
        raise UnfitError(f"it has {own} channels, not {channels}")
    if channels == 1:
        colours = (colours @ GREY)[..., None]
    elif channels == 4:
        colours = np.concatenate([colours, np.full_like(colours[..., :1], pixels.high)], axis=2)
    return (colours if numbers.dtype.kind == "f" else np.round(colours)).astype(numbers.dtype)


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """Return the image as grey or RGB, on white where it is transparent, or with opacity as a channel of its own."""
    if channels == 4:
        return image.convert("RGBA")
    if channels not in (1, 3):
        raise UnfitError(f"it has {len(image.getbands())} channels, not {channels}")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("L" if channels == 1 else "RGB")


def _has_colour(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") and image.palette is not None:
        entry, is_planar, _ = (image.palette.rawmode or image.palette.mode).partition(";L")  # RGB or BGR come first
        numbers = np.frombuffer(bytes(image.palette.palette), np.uint8)
        colours = (numbers.reshape(len(entry), -1).T if is_planar else numbers.reshape(-1, len(entry)))[:, :3]
        return bool((colours != colours[:, :1]).any())
    return image.mode not in ("1", "L", "LA", "La", "F") and not image.mode.startswith("I")
