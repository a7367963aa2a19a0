"""The types of image files, and how a file of each is opened: by Pillow, or as an array of any type and channels.

Of a GIF the first frame counts, of a TIFF its first image, whose samples and pages of one size are channels. TIFF, HEIC
and PNG of 16 bits in colour need libraries of their own, extras that are imported only here.
"""

import importlib
import io
import logging
from collections.abc import Callable
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngImageFile

from ..errors import UserError
from ..files import MAX_FILE, MAX_PIXELS, read_bytes
from ..pixels import Depth, Numbers

_HAS_AVIF = "avif" in features.modules and features.check("avif")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", *(("AVIF",) if _HAS_AVIF else ()))
"""The types that Pillow reads, by its names."""
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm",
    ".avif", ".heic", ".heif", ".tif", ".tiff",
)  # fmt: skip
TYPES = "PNG, JPEG, WebP, BMP, GIF, PPM, AVIF, HEIC or TIFF"
MAX_CHANNELS = 1024
TIFF_VERSION = 4  # raise it when TIFFs begin to be read as other numbers; 3 left colours multiplied by opacity
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
for _library in ("PIL", "tifffile"):  # damaged files are named by us, each once
    logging.getLogger(_library).addHandler(logging.NullHandler())
_BY_PILLOW = (0, 3, 5, 6, 8)  # TIFF 6.0: white is zero, palette, CMYK, YCbCr, CIE L*a*b*


class ArrayImage:
    """An image as an array, which is read when it is needed; a context manager, as Pillow's images are.

    ``read`` returns the numbers `(H, W, C)` in their type; floats as float32 or float64, as stored. Raises ValueError
    if that is not uint8, uint16 or float, or the image is too large.
    """

    def __init__(
        self,
        read: Callable[[], Numbers],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        *,
        alpha: bool = False,  # whether the last channel is opacity
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.read, self._close, self.alpha = read, close, alpha
        self.height, self.width, self.channels = shape
        self.depth: Depth = depth_of(dtype)
        if self.height * self.width * max(1.0, self.channels / 4) > MAX_PIXELS or self.channels > MAX_CHANNELS:
            raise ValueError(f"{self.width}x{self.height} pixels with {self.channels} channels are too large")

    def __enter__(self) -> "ArrayImage":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


Opened = Image.Image | ArrayImage
"""An opened image, which need not be decoded yet."""


def depth_of(dtype: np.dtype[Any]) -> Depth:
    """Return the type that numbers are stored in; ValueError if they are neither uint8, uint16 nor floats."""
    if dtype.kind == "f":
        return "float32"
    native = dtype.newbyteorder("=")
    if native not in (np.uint8, np.uint16):
        raise ValueError(f"its values are {native}; save them as uint8, uint16 or float32")
    return cast(Depth, native.name)


def as_picture(numbers: Numbers, *, alpha: bool = False) -> Image.Image | None:
    """Return an array `(H, W, C)` of bytes as a picture, None if it is none; ``alpha``: whether a 4th is opacity."""
    channels = numbers.shape[2]
    if numbers.dtype != np.uint8 or not (channels in (1, 3) or (channels == 4 and alpha)):
        return None
    return Image.fromarray(numbers[..., 0] if channels == 1 else np.ascontiguousarray(numbers))


def open_image(file: Any) -> Opened:
    """Open the image in a file, a path or an `io.BytesIO`; UserError if its type needs an extra that is missing."""
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        head = _head(file)
        if head[:4] in _TIFF:
            return _open_tiff(file)
        if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
            _import("pillow_heif", "heic", "HEIC").register_heif_opener()
            return Image.open(file, formats=("HEIF",))
        raise


def is_deep(image: Opened) -> TypeGuard[PngImageFile]:
    """Whether an image, not decoded yet, has 16 bits in colour or with opacity, of which Pillow reads 8."""
    return isinstance(image, PngImageFile) and image.mode in ("RGB", "RGBA", "LA") and "16B" in str(image.tile)


def deep_png(image: PngImageFile, orientation: int) -> ArrayImage:
    """Return such a picture with all its bits, upright; UserError if the extra is missing."""
    library = _import("imagecodecs", "tiff", "16-bit colour PNG")

    def read() -> NDArray[Any]:
        assert image.fp is not None
        image.fp.seek(0)
        numbers: NDArray[Any] = library.png_decode(read_bytes(image.fp, MAX_FILE))
        numbers = numbers[..., [0, 0, 0, 1]] if numbers.shape[2] == 2 else numbers  # grey with opacity
        return _upright(numbers, orientation)

    return ArrayImage(read, (image.height, image.width, 4), np.dtype(np.uint16), alpha=True)


def _straight(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return an array `(H, W, 4)` whose colours are not multiplied by its opacity; transparent places stay."""
    white = np.iinfo(numbers.dtype).max if numbers.dtype.kind == "u" else 1.0
    alpha = numbers[..., 3:].astype(np.float64)
    colours = np.divide(
        numbers[..., :3] * float(white), alpha, where=alpha > 0, out=numbers[..., :3].astype(np.float64)
    )
    if numbers.dtype.kind == "u":
        colours = np.rint(colours.clip(0, white))
    return np.concatenate([colours.astype(numbers.dtype), numbers[..., 3:]], axis=2)


def _upright(numbers: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an array `(H, W, C)` upright, by its EXIF orientation of 1 to 8 (EXIF 2.3, table 4)."""
    turned = numbers.swapaxes(0, 1) if orientation >= 5 else numbers
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned


def _head(file: Any) -> bytes:
    """Return the first bytes of a file, and go back to them."""
    if isinstance(file, io.BytesIO):
        file.seek(0)
        return bytes(file.getbuffer()[:12])
    with open(file, "rb") as opened:  # noqa: PTH123, a path or its text
        return opened.read(12)


def _import(module: str, extra: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{what} images need the extra {extra} ({error}): pip install 'vaegan[{extra}]'") from error


def _open_tiff(file: Any) -> Opened:
    library = _import("tifffile", "tiff", "TIFF")
    tiff = library.TiffFile(file)
    try:
        series, page = tiff.series[0], tiff.pages[0]
        is_inverted = page.photometric == 0 and series.dtype.itemsize > 1  # 8 bits are inverted by Pillow
        if (page.photometric in _BY_PILLOW and not is_inverted) or series.dtype == bool:
            tiff.close()
            return Image.open(file, formats=("TIFF",))
        y, x = series.axes.index("Y"), series.axes.index("X")
        others = [axis for axis in range(len(series.shape)) if axis not in (y, x)]
        shape = series.shape[y], series.shape[x], int(np.prod([series.shape[axis] for axis in others], dtype=np.int64))
        if is_inverted and series.dtype.kind == "f":
            raise ValueError("its values are floats and white is zero; save it with photometric minisblack")
        white = 2**page.bitspersample - 1
        stated = page.tags.get("Orientation")
        orientation = int(stated.value) if stated is not None and stated.value in range(1, 9) else 1
        upright = (shape[1], shape[0], shape[2]) if orientation >= 5 else shape
        extra = next(iter(page.extrasamples), 0) if page.photometric == 2 and shape[2] == 4 else 0
        alpha, is_premultiplied = extra in (1, 2), extra == 1  # TIFF 6.0, ExtraSamples

        def read() -> NDArray[Any]:
            numbers: NDArray[Any] = series.asarray().transpose(y, x, *others).reshape(shape)
            if is_premultiplied:
                numbers = _straight(numbers)
            return _upright(white - numbers if is_inverted else numbers, orientation)

        return ArrayImage(read, upright, np.dtype(series.dtype), alpha=alpha, close=tiff.close)
    except BaseException:
        tiff.close()
        raise
