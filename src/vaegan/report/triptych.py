"""Triptychs: originals, their reconstructions and new images, as three blocks of equal size under their names."""

from __future__ import annotations

import math

import numpy as np

from .grid import Bytes, fitting_scale, grid
from .sheet import sheet

TITLES = ("originals", "reconstructions", "generations")
_PAD, _GAP = 2, 8


def triptych(originals: Bytes, reconstructions: Bytes, generations: Bytes) -> Bytes:
    """Lay three times as many images in three blocks side by side, in full rows if these need not be long.

    Args:
        originals: uint8 `(N, H, W, C)`.
        reconstructions: their counterparts, in the same places of the second block.
        generations: as many images made of random codes.

    Returns:
        uint8 `(H', W', C)`.
    """
    num, height, width, _ = originals.shape
    root = math.ceil(math.sqrt(num))
    columns = next((columns for columns in range(root, 2 * root) if num % columns == 0), root)
    rows = math.ceil(num / columns)
    lines = 3 * _PAD * (columns + 1), _PAD * (rows + 1)
    scale = fitting_scale(height, width, (3 * columns, rows), lines)
    blocks = [grid(images, columns, _PAD, scale) for images in (originals, reconstructions, generations)]
    return sheet(np.stack(blocks)[None], TITLES, pad=_GAP, scale=1)
