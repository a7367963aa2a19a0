"""Large images tile by tile: overlapping tiles are computed one at a time and blended, so memory stays bounded.

Along each side a tile's weight rises linearly over the middle half of an overlap and falls in the next tile's favour;
in the outer quarter, where the tile lacks most of its surroundings, it is 0. At the image's edges it is 1. Weights are
divided by their sum, so that they add up to 1 everywhere. What a network computes from pixels no farther than a
quarter of the overlap comes out as from the whole image; norms over the whole map, and attention, do not.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..progress import Beat

Compute = Callable[[slice, slice], Tensor]
"""Returns a tile `(B, C, s h, s w)` of these h rows and w columns; s is a scale."""


class Tiles(NamedTuple):
    """Side of a tile and overlap of neighbours, in pixels of the image."""

    side: int
    overlap: int


TilingModel = Any  # an `InferenceModel`, whose file imports this one


def checked_tiles(model: TilingModel, side: int, overlap: int | None) -> Tiles:
    """Return tiles for a model, which overlap by a quarter if None; UserError if it cannot take them."""
    factor = model.factor
    if factor is None:
        raise UserError("the codes of this model are vectors, and tiles need maps; leave out --tile")
    if side < 2 * factor or side % factor or model.code_shape_of((side, side)) is None:
        least = f"another multiple of {factor}, at least {2 * factor}"
        raise UserError(f"tiles of {side} pixels do not fit this model; choose {least}")
    overlap = max(1, side // factor // 4) * factor if overlap is None else overlap
    if overlap % factor or not 0 <= overlap < side:
        raise UserError(f"an overlap of {overlap} pixels does not fit; choose a multiple of {factor} below {side}")
    return Tiles(side, overlap)


def is_in_tiles(model: TilingModel, size: Sequence[int]) -> bool:
    """Whether a model computes images of (height, width) tile by tile."""
    factor = model.factor or 1
    return model.tiles is not None and max(size, default=0) > model.tiles.side and not any(n % factor for n in size)


def encode_tiles(model: TilingModel, read: Compute, size: Sequence[int], batch_size: int = 256) -> tuple[Tensor, ...]:
    """Return the `encoder_outputs` of images of (height, width) that are read a tile at a time.

    ``read`` returns these rows and columns of the images, `(B, C, h, w)` in [0, 1].
    """
    factor, whole, tiles = _parted(model)

    def compute(rows: slice, columns: slice) -> Tensor:
        x = read(*(slice(factor * part.start, factor * part.stop) for part in (rows, columns)))
        outputs = whole.encoder_outputs(x, batch_size=batch_size)
        return torch.cat([each.reshape(len(x), -1, *(n // factor for n in x.shape[2:])) for each in outputs], 1)

    bands = stitched(compute, [side // factor for side in size], tiles, what="encoding")
    maps = torch.cat([rows for _, rows in bands], 2)
    outputs = torch.split(maps, model.code_shape[0], 1)
    return tuple(each.flatten(1) if tuple(size) == model.image_shape[1:] else each for each in outputs)


def decode_tiles(model: TilingModel, z: Tensor, batch_size: int = 256) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and some rows `(B, C, n, W)` of the images of maps `(B, C, h, w)`, from top to bottom."""
    factor, whole, tiles = _parted(model)
    z = model.maps(z)

    def compute(rows: slice, columns: slice) -> Tensor:
        image: Tensor = whole.decode(z[:, :, rows, columns], batch_size=batch_size)
        return image

    return stitched(compute, z.shape[2:], tiles, factor, "decoding")


def _parted(model: TilingModel) -> tuple[int, TilingModel, Tiles]:
    """Return the factor of a model, the same model without tiles, and its tiles in steps of its codes."""
    whole = copy.copy(model)
    whole.tiles = None
    return model.factor, whole, Tiles(*(side // model.factor for side in model.tiles))


def stitched(
    compute: Compute, size: Sequence[int], tiles: Tiles, scale: int = 1, what: str = "stitching"
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the rows `(B, C, n, s W)` that are finished, from top to bottom.

    Args:
        compute: a tile of some rows and columns.
        size: rows H and columns W of all.
        tiles: in rows and columns.
        scale: rows and columns of a tile for each of those.
        what: is done, for a line of the log now and then.
    """
    rows, columns = (_weights(side, tiles, scale) for side in size)
    rest, beat = None, Beat(what, len(rows) * len(columns), "tiles")
    for index, (top, height, row_weights) in enumerate(rows):
        band = None
        for number, (left, width, column_weights) in enumerate(columns, index * len(columns) + 1):
            tile = compute(slice(top, top + height), slice(left, left + width))
            if band is None:
                band = tile.new_zeros(*tile.shape[:3], scale * size[1])
            band[..., scale * left : scale * (left + width)] += tile * torch.outer(row_weights, column_weights).to(tile)
            beat(number)
        assert band is not None
        if rest is not None:
            band[:, :, : rest.shape[2]] += rest
        done = scale * (rows[index + 1][0] - top if index + 1 < len(rows) else height)
        yield scale * top, band[:, :, :done]
        rest = band[:, :, done:].clone()


def _weights(side: int, tiles: Tiles, scale: int) -> list[tuple[int, int, Tensor]]:
    """Return start, length and weights, `(scale length,)`, of each tile along a side."""
    length = min(side, tiles.side)
    starts = [*range(0, side - length, tiles.side - tiles.overlap), side - length]
    overlap, total = scale * tiles.overlap, torch.zeros(scale * side)
    weights = []
    for start in starts:
        rising = ((torch.arange(scale * length) + 0.5 - overlap / 4) / max(overlap / 2, 1e-9)).clamp(0, 1)
        ones = torch.ones_like(rising)
        weight = (rising if start else ones) * (rising.flip(0) if start + length < side else ones)
        total[scale * start : scale * (start + length)] += weight
        weights.append(weight)
    parts = (total[scale * start : scale * (start + length)] for start in starts)
    return [(start, length, weight / part) for start, weight, part in zip(starts, weights, parts, strict=True)]
