"""Sheets: images in rows and columns with their names at the edge, as in the figures of a paper.

Triptychs: originals, their reconstructions and samples, as three titled blocks of equal size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .grid import Bytes, fitting_scale, grid

_FONT_SIZE = 12
_MARGIN = 4
_PAPER = 255


def sheet(
    images: Bytes, columns: Sequence[str] = (), rows: Sequence[str] = (), pad: int = 2, scale: int | None = None
) -> Bytes:
    """Lay images uint8 `(R, K, H, W, C)` in rows and columns with their names, as uint8 `(H', W', C)`.

    The grid is the lower right corner, see `grid`. Names wider than an image are written upwards above it.
    """
    num_rows, num_columns = images.shape[:2]
    picture = grid(images.reshape(-1, *images.shape[2:]), num_columns, pad, scale)
    height, width = picture.shape[:2]
    tops = [_text(name) for name in columns]
    cell = (width - pad) // num_columns
    if any(top.width > cell - pad for top in tops):
        tops = [top.transpose(Image.Transpose.ROTATE_90) for top in tops]
    sides = [_text(name) for name in rows]
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


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """Return the sans-serif that comes with matplotlib: Pillow's own lacks most that is not ASCII."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT_SIZE)


def _text(words: str) -> Image.Image:
    """Return words as a grey image, dark on light, no larger than it must be."""
    font = _font()
    left, _, right, _ = font.getbbox(words)
    ascent, descent = 12, 4
    image = Image.new("L", (max(1, round(right - left)), ascent + descent), _PAPER)
    ImageDraw.Draw(image).text((-left, ascent), words, fill=20, font=font, anchor="ls")
    return image


TITLES = ("originals", "reconstructions", "samples")
_PAD, _GAP = 2, 8


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
