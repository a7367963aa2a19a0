"""One image file -> one array: upright, without transparency, cropped, resized.

Grey, RGB, CMYK and palette images become grey or RGB; transparent ones are laid on white; 16 bits are scaled to 8
(65535 -> 255); the EXIF orientation is applied. Resizing is Pillow's Lanczos filter with its support scaled to the
reduction, so nothing aliases. This is the only place that decides the type of an image's numbers (`Target.dtype`).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp")
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


@dataclass(frozen=True)
class ImageHeader:
    """Size and colour of an image as its file states them."""

    width: int  # pixels, after the EXIF orientation
    height: int  # likewise
    colour: bool  # whether it may hold anything but greys


@dataclass(frozen=True)
class Target:
    """What every image of a set is prepared to."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 (grey) or 3 (RGB)
    crop: Literal["center", "none"] = "center"  # 'none' squeezes the whole image
    crop_size: int | None = None  # side of a square to crop, in pixels of the original; None for the largest rectangle
    dtype: ClassVar = np.dtype(np.uint8)  # type of the prepared numbers

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, C)``."""
        return self.height, self.width, self.channels


def read_header(image: Image.Image) -> ImageHeader:
    """Return size and colour of an opened image without decoding it."""
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    return ImageHeader(width, height, _has_colour(image))


def prepare(image: Image.Image, target: Target) -> NDArray[np.uint8]:
    """Decode an opened image to uint8 ``(H, W, C)``, JPEGs only as far as needed; ValueError above MAX_PIXELS."""
    full_width, full_height = image.size
    crop_width, crop_height = _crop_size(full_width, full_height, target, 1.0)
    factor = min(full_width / crop_width, full_height / crop_height)
    image.draft(None, (math.ceil(2 * target.width * factor), math.ceil(2 * target.height * factor)))
    scale = image.width / full_width
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS / 1e6:.0f} million")
    image.load()
    if (transpose := _UPRIGHT.get(_orientation(image))) is not None:
        image = image.transpose(transpose)
    image = _flat(image, target.channels)
    width, height = _crop_size(image.width, image.height, target, scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (width, height) != image.size:
        image = image.crop((left, top, left + width, top + height))
    if image.size != (target.width, target.height):
        image = image.resize((target.width, target.height), Image.Resampling.LANCZOS)
    return np.asarray(image, target.dtype).reshape(target.shape)


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


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """Return the image as 8-bit grey or RGB, on white where it is transparent."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow gives colour of 16 bits as 8 bits already
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("L" if channels == 1 else "RGB")


def _has_colour(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") and image.palette is not None:
        entry = len(image.palette.rawmode or image.palette.mode)  # bytes; RGB or BGR come first
        colours = np.frombuffer(bytes(image.palette.palette), np.uint8).reshape(-1, entry)[:, :3]
        return bool((colours != colours[:, :1]).any())
    return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith("I")
