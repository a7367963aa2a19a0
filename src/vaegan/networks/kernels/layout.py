"""Flatten and unflatten between maps and vectors, keeping the memory layout of the convolutions.

The order of a vector's elements is always (C, H, W), whatever the layout of the map in memory. A channels-last map is
converted once in each direction; otherwise each element-wise operation after it would work across two layouts, which
costs many times the conversion.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _ToVector(torch.autograd.Function):
    """Flatten forward; backward gives a gradient in the map's own layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        ctx.layout = _layout(x)
        return x.flatten(1).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].view(ctx.shape).contiguous(memory_format=ctx.layout)


class _ToMap(torch.autograd.Function):
    """Unflatten forward into the wanted layout; backward gives a plain vector."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, ...], layout: torch.memory_format) -> Tensor:
        return x.view(x.shape[0], *shape).contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].flatten(1).contiguous(), None, None


class Flatten(nn.Flatten):
    """(B, C, H, W) -> (B, C H W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten ``x``; vectors stay as they are."""
        out: Tensor = _ToVector.apply(x) if x.dim() == 4 else x.flatten(1)  # type: ignore[no-untyped-call]
        return out


class Unflatten(nn.Unflatten):
    """(B, C H W) -> (B, C, H, W), laid out in memory as the first convolution weight of the next module.

    What is a map already, of any size, stays one.
    """

    def __init__(self, shape: tuple[int, int, int], behind: nn.Module | None = None) -> None:
        super().__init__(1, shape)
        self._behind = (behind,)  # in a tuple, so that it does not become a child as well

    def forward(self, x: Tensor) -> Tensor:
        """Unflatten ``x``."""
        parameters = self._behind[0].parameters() if self._behind[0] is not None else iter(())
        weight = next((p for p in parameters if p.dim() == 4), None)
        layout = torch.contiguous_format if weight is None else _layout(weight)
        if x.dim() == 4:
            return x.contiguous(memory_format=layout)
        out: Tensor = _ToMap.apply(x, tuple(self.unflattened_size), layout)  # type: ignore[no-untyped-call]
        return out


def _layout(x: Tensor) -> torch.memory_format:
    """The layout of a tensor with four dimensions; the default one where both fit."""
    if x.dim() != 4 or x.is_contiguous():
        return torch.contiguous_format
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
