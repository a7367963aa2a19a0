"""Many images as one picture.

Tiles are laid out in rows, separated by thin grey lines; small ones are enlarged by an integer factor without
smoothing, so that the actual pixels are visible.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import written_beside

Bytes = NDArray[np.uint8]

LINE = 112
_SEEN_WELL = 56
_WIDEST = 2048


def grid(images: Bytes, columns: int | None = None, pad: int = 2, scale: int | None = None) -> Bytes:
    """Lay images uint8 `(N, H, W, C)` in rows of ``columns`` (near the root of N if None), as uint8 `(H', W', C)`.

    The pixel (0, 0) of the image in row r and column c comes to `(pad + r (H scale + pad), pad + c (W scale + pad))`.
    The scale is a whole factor of enlargement; if None, small images get one that makes them about 56 pixels large.
    """
    num = len(images)
    columns = min(num, columns or math.ceil(math.sqrt(num)))
    order = np.full((math.ceil(num / columns), columns), -1)
    order.flat[:num] = np.arange(num)
    return _lay(images, order, np.zeros(len(order), dtype=int), pad, scale)


def pairs(
    originals: Bytes, reconstructions: Bytes, columns: int | None = None, pad: int = 2, scale: int | None = None
) -> Bytes:
    """Lay out originals `(N, H, W, C)` in rows, each above its reconstructions; otherwise as `grid`."""
    num = len(originals)
    columns = min(num, columns or math.ceil(math.sqrt(2 * num)))
    order = np.full((math.ceil(num / columns), 2, columns), -1)
    for row in range(len(order)):
        members = np.arange(row * columns, min(num, (row + 1) * columns))
        order[row, :, : len(members)] = members, members + num
    extra = 3 * pad * (np.arange(2 * len(order)) // 2)
    return _lay(np.concatenate([originals, reconstructions]), order.reshape(-1, columns), extra, pad, scale)


def _lay(images: Bytes, order: NDArray[np.int_], extra: NDArray[np.int_], pad: int, scale: int | None) -> Bytes:
    """Put image `order[r, c]` (none where negative) into row r, moved down by `extra[r]`, and column c."""
    rows, columns = order.shape
    _, height, width, channels = images.shape
    lines = pad * (columns + 1), pad * (rows + 1) + extra[-1]
    scale = scale or fitting_scale(height, width, (columns, rows), lines)
    height, width = height * scale, width * scale
    picture = np.full(
        (pad + rows * (height + pad) + extra[-1], pad + columns * (width + pad), channels), LINE, dtype=np.uint8
    )
    for (row, column), index in np.ndenumerate(order):
        if index >= 0:
            top, left = pad + row * (height + pad) + extra[row], pad + column * (width + pad)
            tile = images[index].repeat(scale, axis=0).repeat(scale, axis=1)
            picture[top : top + height, left : left + width] = tile
    return picture


def fitting_scale(height: int, width: int, places: tuple[int, int], lines: tuple[int, int]) -> int:
    """Return the factor that makes a tile easy to see, but not the picture wider or higher than 2048 pixels.

    ``places`` are the numbers of tiles across and down, ``lines`` the pixels of all lines across and down.
    """
    wanted = math.ceil(_SEEN_WELL / min(height, width))
    allowed = [(_WIDEST - line) // (num * side) for num, side, line in zip(places, (width, height), lines, strict=True)]
    return max(1, min(wanted, *allowed))


def to_image(picture: NDArray[np.uint8]) -> Image.Image:
    """Return a Pillow image of uint8 `(H, W, 1 or 3)`."""
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def write_picture(path: Path, picture: Bytes) -> None:
    """Write uint8 `(H, W, 1 or 3)` as PNG, beside and then renamed; UserError if that fails."""
    with written_beside(path) as beside:
        to_image(picture).save(beside, format="PNG")
