"""The values of a pixel: bytes in memory and on disk, floats in [0, 1] in public, a network's own range inside it.

All conversions between the three are here, and nowhere else:

    bytes (B, H, W, C)  --to_unit-->  [0, 1] (B, C, H, W)  --ImageRange.from_unit-->  [low, high]
    bytes (B, H, W, C)  <--to_uint8--  [0, 1] (B, C, H, W)  <--ImageRange.to_unit--  [low, high]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

WHITE = 255.0
_AT_ONCE = 1024


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

    def from_bytes(self, images: Tensor) -> Tensor:
        """Map uint8 images ``(B, H, W, C)`` to float ``(B, C, H, W)`` in the network's range, in one pass."""
        return images.permute(0, 3, 1, 2).float().mul_(self.span / WHITE).add_(self.low)


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 images ``(B, H, W, C)`` to float ``(B, C, H, W)`` in [0, 1]; channels stay last in memory."""
    return images.permute(0, 3, 1, 2).float().div_(WHITE)


def to_uint8(images: Tensor | NDArray[np.generic]) -> NDArray[np.uint8]:
    """Map images to bytes by floor(255 x + 1/2), so that every byte of a file comes back exactly.

    Args:
        images: floats ``(..., C, H, W)`` in [0, 1] (values outside are clipped, NaN is black), or uint8
            ``(..., H, W, C)``, which are returned as they are.

    Returns:
        uint8 ``(..., H, W, C)``.
    """
    array = np.asarray(images) if isinstance(images, np.ndarray) else images.detach().cpu().numpy()
    if array.dtype == np.uint8:
        return array
    result = np.empty((*array.shape[:-3], *array.shape[-2:], array.shape[-3]), dtype=np.uint8)
    x, bytes_ = array.reshape(-1, *array.shape[-3:]), result.reshape(-1, *result.shape[-3:])
    for i in range(0, len(x), _AT_ONCE):  # a few at a time, as work on all of them would need much memory
        scaled = np.nan_to_num(x[i : i + _AT_ONCE].astype(np.float32)).clip(0.0, 1.0) * np.float32(WHITE)
        bytes_[i : i + _AT_ONCE] = np.moveaxis(np.floor(scaled + np.float32(0.5)), -3, -1)
    return result
