r"""Convolutions from or to few channels, such as those of an image, computed in ways that are fast on CPUs.

CPU kernels spread the work over the channels that come out, so a convolution to one or three channels leaves most of a
core's lanes empty. Three rewritings of the same function fill them; parameters and gradients are `torch.nn.Conv2d`'s:

* To few channels: each s x s block of pixels is computed at once, as s^2 times the channels of a convolution with
  stride s whose kernel is the old one at s^2 places (`to_few`); its own gradients are those of a convolution from few.
* From few channels with stride 1: forward as it is, the image's gradient by `to_few`.
* From few channels with stride 2: 2 x 2 blocks of pixels become channels, and the stride 1 (`NarrowInputConv2d`).

On other devices all of them are plain convolutions; compiled models use torch's own gradients.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...operations import counted_as
from .split_backward import cast_for_autocast, split_convolution

MOST_CHANNELS = 4


def turned(weight: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution: (O, C, k, k) -> (C, O, k, k), rotated by 180 degrees."""
    return weight.flip(2, 3).transpose(0, 1).contiguous()


def to_few(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve (B, C, H, W) to few channels (B, O, H, W) with "same" padding, block by block; k is odd, O small."""
    num, channels, kernel, _ = weight.shape
    side = 4 if num == 1 else 2
    if x.shape[2] % side or x.shape[3] % side:
        return F.conv2d(x, weight, bias, padding=kernel // 2)
    rest = side - 1
    places = [F.pad(weight, (j, rest - j, i, rest - i)) for i in range(side) for j in range(side)]
    blocks = torch.stack(places, 1).reshape(num * side**2, channels, kernel + rest, kernel + rest)
    bias = None if bias is None else bias.repeat_interleave(side**2)
    with counted_as("to_few", 2 * num * x.numel() * kernel**2):
        return F.pixel_shuffle(F.conv2d(x, blocks, bias, stride=side, padding=kernel // 2), side)


def _margin(weight: Tensor) -> tuple[int, int]:
    """Padding on each side."""
    return weight.shape[2] // 2, weight.shape[2] // 2


def _to_few_input(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the input of `to_few`, that of the transposed convolution that it equals.

    A plain convolution of ``gradient`` would give the same values, but lose the memory layout of a one-channel map.
    """
    of_x: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, turned(weight), None, (1, 1), _margin(weight), (1, 1), True, (0, 0), 1, (True, False, False)
    )[0]
    return of_x


def _to_few_weight(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Gradient of its weight, that of the transposed convolution that it equals."""
    return turned(_of_weight(gradient, x, turned(weight), transposed=True))


def _from_few(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve from few channels."""
    return F.conv2d(x, weight, bias, padding=_margin(weight))


def _from_few_input(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Gradient of its input: a convolution to few channels."""
    return to_few(gradient, turned(weight))


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, *, transposed: bool = False) -> Tensor:
    """Torch's gradient of a weight."""
    of_weight: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (1, 1), _margin(weight), (1, 1), transposed, (0, 0), 1, (False, True, False)
    )[1]
    return of_weight


class NarrowConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with an odd kernel, stride 1 and "same" padding, from many channels to few or the reverse."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        assert kernel % 2, "an even kernel has no centre to rotate around"
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W) to (B, O, H, W)."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        x, weight, bias = cast_for_autocast(x, self.weight, self.bias)
        shape = (x.shape[0], self.out_channels, *x.shape[2:])
        if self.out_channels > self.in_channels:
            return split_convolution(x, weight, bias, shape, _from_few, _from_few_input, _of_weight)
        return split_convolution(x, weight, bias, shape, to_few, _to_few_input, _to_few_weight)


class NarrowInputConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` from few channels with stride 2, computed on 2 x 2 blocks of pixels.

    Pixel 2 i + k - padding, which tap k reads for output i, is pixel r of block i + b, with 2 b + r = k - padding. So
    the kernel, padded to whole blocks, is one of stride 1 over blocks. Where blocks do not fit the image or the
    padding, the plain convolution is used.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W)."""
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        before = -(-padding // 2)  # blocks to the left of output 0's own
        first = 2 * before - padding  # zeros to put before the kernel
        blocks = -(-(first + kernel) // 2)
        halves = kernel - 2 * padding in (1, 2) and not (x.shape[2] % 2 or x.shape[3] % 2)
        if x.device.type != "cpu" or not len(x) or not halves or blocks != 2 * before + 1:
            return super().forward(x)
        last = 2 * blocks - kernel - first
        weight = F.pad(self.weight, (first, last, first, last))
        weight = weight.view(self.out_channels, self.in_channels, blocks, 2, blocks, 2).permute(0, 1, 3, 5, 2, 4)
        weight = weight.reshape(self.out_channels, 4 * self.in_channels, blocks, blocks)
        # A channel's stride gives the layout even where there is one channel and both layouts are the same in memory.
        layout = torch.channels_last if self.weight.stride(1) == 1 else torch.contiguous_format
        blocks_of_x = F.pixel_unshuffle(x, 2).contiguous(memory_format=layout)
        return F.conv2d(blocks_of_x, weight.contiguous(memory_format=layout), self.bias, padding=before)
