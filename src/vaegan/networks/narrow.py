r"""Convolutions from or to few channels, as an image has them, computed in forms that CPU kernels are fast at.

CPU kernels spread the work over the channels that come out, so a convolution to one or three channels leaves most of a
core's lanes empty. Three rewritings of the same function fill them; parameters and gradients are `torch.nn.Conv2d`'s:

* To few channels: each s x s block of pixels is computed at once, as s^2 times the channels of a convolution with
  stride s whose kernel is the old one at s^2 places (`to_few`); its own gradients are those of a convolution from few.
* From few channels with stride 1: forward as it is, the image's gradient by `to_few`.
* From few channels with stride 2: 2 x 2 blocks of pixels become channels, and the stride 1 (`NarrowInputConv2d`).

On other devices than the CPU all of them are plain convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_CHANNELS = 4


def turned(weight: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution: (O, C, k, k) -> (C, O, k, k), turned by half a circle."""
    return weight.flip(2, 3).transpose(0, 1).contiguous()


def to_few(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve to few channels with "same" padding, block by block.

    Args:
        x: (B, C, H, W).
        weight: (O, C, k, k) with odd k and small O.

    Returns:
        (B, O, H, W).
    """
    num, channels, kernel, _ = weight.shape
    side = 4 if num == 1 else 2
    if x.shape[2] % side or x.shape[3] % side:
        return F.conv2d(x, weight, padding=kernel // 2)
    rest = side - 1
    places = [F.pad(weight, (j, rest - j, i, rest - i)) for i in range(side) for j in range(side)]
    blocks = torch.stack(places, 1).reshape(num * side**2, channels, kernel + rest, kernel + rest)
    return F.pixel_shuffle(F.conv2d(x, blocks, stride=side, padding=kernel // 2), side)


class _ToFew(torch.autograd.Function):
    """`to_few`, with the gradients of the transposed convolution that it equals."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return to_few(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        margin = weight.shape[2] // 2
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0], x, turned(weight), None, (1, 1), (margin, margin), (1, 1), True, (0, 0), 1,
            (ctx.needs_input_grad[0], ctx.needs_input_grad[1], False),
        )  # fmt: skip
        return of_x, None if of_weight is None else turned(of_weight)


class _FromFew(torch.autograd.Function):
    """A convolution from few channels with stride 1, whose gradient at the image is computed by `to_few`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x = to_few(gradients[0], turned(weight)) if ctx.needs_input_grad[0] else None
        of_weight, of_bias = None, None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            margin = weight.shape[2] // 2
            _, of_weight, of_bias = torch.ops.aten.convolution_backward(
                gradients[0], x, weight, (weight.shape[0],), (1, 1), (margin, margin), (1, 1), False, (0, 0), 1,
                (False, ctx.needs_input_grad[1], ctx.needs_input_grad[2]),
            )  # fmt: skip
        return of_x, of_weight, of_bias


class NarrowConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with an odd kernel, stride 1 and "same" padding, from many channels to few or the reverse.

    Args:
        inputs: channels C that come in.
        outputs: channels O that go out.
        kernel: odd side of the kernel.
        bias: whether there is a bias.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        assert kernel % 2, "an even kernel has no centre to turn around"
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W) to (B, O, H, W)."""
        if x.device.type != "cpu":
            return super().forward(x)
        x, weight, bias = _as_autocast_has_it(x, self.weight, self.bias)
        if self.out_channels > self.in_channels:
            return _FromFew.apply(x, weight, bias)  # type: ignore[no-untyped-call,no-any-return]
        out: Tensor = _ToFew.apply(x, weight)  # type: ignore[no-untyped-call]
        return out if bias is None else out + bias.view(1, -1, 1, 1)


class NarrowInputConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` from few channels with stride 2, computed on 2 x 2 blocks of pixels.

    Pixel 2 i + k - padding, which tap k reads for output i, is pixel r of block i + b, with 2 b + r = k - padding. So
    the kernel, padded to whole blocks, is one of stride 1 over blocks. Where blocks do not fit the image or the
    padding, the plain form is taken.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W)."""
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        before = -(-padding // 2)  # blocks to the left of output 0's own
        first = 2 * before - padding  # zeros to put before the kernel
        blocks = -(-(first + kernel) // 2)
        halves = kernel - 2 * padding in (1, 2) and not (x.shape[2] % 2 or x.shape[3] % 2)
        if x.device.type != "cpu" or not halves or blocks != 2 * before + 1:
            return super().forward(x)
        last = 2 * blocks - kernel - first
        weight = F.pad(self.weight, (first, last, first, last))
        weight = weight.view(self.out_channels, self.in_channels, blocks, 2, blocks, 2).permute(0, 1, 3, 5, 2, 4)
        weight = weight.reshape(self.out_channels, 4 * self.in_channels, blocks, blocks)
        # A channel's stride tells the layout even where there is one channel and both layouts are the same in memory.
        layout = torch.channels_last if self.weight.stride(1) == 1 else torch.contiguous_format
        blocks_of_x = F.pixel_unshuffle(x, 2).contiguous(memory_format=layout)
        return F.conv2d(blocks_of_x, weight.contiguous(memory_format=layout), self.bias, padding=before)


def _as_autocast_has_it(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast as autocast casts a convolution's arguments; it does not look into functions with their own backward."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
