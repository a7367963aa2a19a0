"""Many images as one picture: grids, pairs of originals and reconstructions, sheets with names, triptychs.

Tiles are laid out in rows, separated by thin grey lines; small ones are enlarged by an integer factor without
smoothing, so that the actual pixels are visible. Sheets have names of rows and columns at the edge, as in the figures
of a paper; triptychs are three titled blocks of equal size.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..files import written_beside
from .fonts import font_for

Bytes = NDArray[np.uint8]

LINE = 112
_SEEN_WELL = 56
_WIDEST = 2048
_FONT_SIZE, _MARGIN, _PAPER = 12, 4, 255
TITLES = ("originals", "reconstructions", "samples")
_PAD, _GAP = 2, 8


def grid(
    images: Bytes, columns: int | None = None, pad: int = 2, scale: int | None = None, originals: Bytes | None = None
) -> Bytes:
    """Lay images uint8 `(N, H, W, C)` in rows of ``columns`` (near the root of their number if None), as one picture.

    The pixel (0, 0) of the image in row r and column c comes to `(pad + r (H scale + pad), pad + c (W scale + pad))`.
    With ``originals`` of the same shape each row has theirs above it, and such pairs of rows are set apart. The scale
    is a whole factor of enlargement; if None, small images get one that makes them about 56 pixels large.
    """
    num, height, width, channels = images.shape
    layers = [images] if originals is None else [originals, images]
    columns = min(num, columns or math.ceil(math.sqrt(len(layers) * num)))
    rows, gap = math.ceil(num / columns), 3 * pad * (len(layers) - 1)
    lines = pad * (columns + 1), pad * (len(layers) * rows + 1) + gap * (rows - 1)
    scale = scale or fitting_scale(height, width, (columns, len(layers) * rows), lines)
    height, width = height * scale, width * scale
    picture = np.full((lines[1] + len(layers) * rows * height, lines[0] + columns * width, channels), LINE, np.uint8)
    for layer, tiles in enumerate(layers):
        for index, image in enumerate(tiles):
            row, column = divmod(index, columns)
            top = pad + (len(layers) * row + layer) * (height + pad) + gap * row
            left = pad + column * (width + pad)
            picture[top : top + height, left : left + width] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture


def fitting_scale(height: int, width: int, places: tuple[int, int], lines: tuple[int, int]) -> int:
    """Return the factor that makes a tile easy to see, but not the picture wider or higher than 2048 pixels.

    ``places`` are the numbers of tiles across and down, ``lines`` the pixels of all lines across and down.
    """
    wanted = math.ceil(_SEEN_WELL / min(height, width))
    allowed = [(_WIDEST - line) // (num * side) for num, side, line in zip(places, (width, height), lines, strict=True)]
    return max(1, min(wanted, *allowed))


def sheet(
    images: Bytes, columns: Sequence[str] = (), rows: Sequence[str] = (), pad: int = 2, scale: int | None = None
) -> Bytes:
    """Lay images uint8 `(R, K, H, W, C)` in rows and columns with their names, as uint8 `(H', W', C)`.

    The grid is the lower right corner, see `grid`. Names wider than an image are written upwards above it.
    """
    num_rows, num_columns = images.shape[:2]
    picture = grid(images.reshape(-1, *images.shape[2:]), num_columns, pad, scale)
    height, width = picture.shape[:2]
    font = ImageFont.truetype(font_for([*columns, *rows]), _FONT_SIZE)
    tops = [_text(name, font) for name in columns]
    cell = (width - pad) // num_columns
    if any(top.width > cell - pad for top in tops):
        tops = [top.transpose(Image.Transpose.ROTATE_90) for top in tops]
    sides = [_text(name, font) for name in rows]
    left = max((side.width + 2 * _MARGIN for side in sides), default=0)
    top = max((text.height + 2 * _MARGIN for text in tops), default=0)
    page = Image.new("L", (left + width, top + height), _PAPER)
    for index, text in enumerate(tops):
        x = left + pad + index * cell + (cell - pad - text.width) // 2
        page.paste(text, (x, top - _MARGIN - text.height))
    cell = (height - pad) // num_rows
    for index, text in enumerate(sides):
        page.paste(text, (left - _MARGIN - text.width, top + pad + index * cell + (cell - pad - text.height) // 2))
    canvas = np.repeat(np.asarray(page)[:, :, None], picture.shape[2], axis=2)
    canvas[top:, left:] = picture
    return canvas


def _text(words: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Return words as a grey image, dark on light, no larger than it must be."""
    left, _, right, _ = font.getbbox(words)
    ascent, descent = 12, 4
    image = Image.new("L", (max(1, round(right - left)), ascent + descent), _PAPER)
    ImageDraw.Draw(image).text((-left, ascent), words, fill=20, font=font, anchor="ls")
    return image


def triptych(originals: Bytes, reconstructions: Bytes, samples: Bytes) -> Bytes:
    """Lay out originals `(N, H, W, C)`, their reconstructions and as many samples in three blocks side by side."""
    num, height, width, _ = originals.shape
    root = math.ceil(math.sqrt(num))
    columns = next((columns for columns in range(root, 2 * root) if num % columns == 0), root)
    rows = math.ceil(num / columns)
    lines = 3 * _PAD * (columns + 1), _PAD * (rows + 1)
    scale = fitting_scale(height, width, (3 * columns, rows), lines)
    blocks = [grid(images, columns, _PAD, scale) for images in (originals, reconstructions, samples)]
    return sheet(np.stack(blocks)[None], TITLES, pad=_GAP, scale=1)


def to_image(picture: NDArray[np.uint8]) -> Image.Image:
    """Return a Pillow image of uint8 `(H, W, 1, 3 or 4)`."""
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def write_picture(path: Path, picture: Bytes) -> None:
    """Write uint8 `(H, W, 1 or 3)` as PNG, beside and then renamed; UserError if that fails."""
    with written_beside(path) as beside:
        to_image(picture).save(beside, format="PNG")
