r"""Down- and upsampling by a factor of 2 with 3 x 3 convolutions, for residual networks.

Down: a convolution of stride 2, padded only at the end, so that output i reads pixels 2i, 2i+1, 2i+2 (the layout of
arXiv:2112.10752's code). Up: each pixel repeated 2 x 2, then a convolution. Of the nine pixels that it reads, several
are the same: output 2i reads i-1, i, i with weights w_0, w_1, w_2, and output 2i+1 reads i, i, i+1. So each
of the four kinds of outputs (even or odd row, even or odd column) is a convolution of 2 x 2 over the small map, with
sums of weights, and 16 products do the work of 36.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv_shapes import Size


class DownConv2d(nn.Conv2d):
    """A convolution that halves maps, an odd side rounded up: (B, C, H, W) -> (B, O, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve ``x``."""
        return super().forward(F.pad(x, (0, 1 + x.shape[3] % 2, 0, 1 + x.shape[2] % 2)))


class NearestConv2d(nn.Conv2d):
    """Each pixel repeated 2 x 2, then a convolution: (B, C, H, W) -> (B, O, *target), target at most twice (H, W).

    Maps that are not half of the target, rounded up, are doubled.
    """

    def __init__(self, inputs: int, outputs: int, target: Size) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.target = target

    def forward(self, x: Tensor) -> Tensor:
        """Double ``x``."""
        height, width = self._target_of(x)
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, :height, :width])

    def _target_of(self, x: Tensor) -> Size:
        height, width = self.target
        halved = (-(-height // 2), -(-width // 2))
        return self.target if x.shape[2:] == halved else (2 * x.shape[2], 2 * x.shape[3])


class UpConv2d(NearestConv2d):
    """The same with fewer products, on CPUs and where both sides are doubled exactly."""

    def forward(self, x: Tensor) -> Tensor:
        """Double ``x``."""
        height, width = x.shape[2:]
        if x.device.type != "cpu" or self._target_of(x) != (2 * height, 2 * width):
            return super().forward(x)
        padded = F.pad(x, (1, 1, 1, 1))
        halves = [
            [
                F.conv2d(padded[:, :, a : a + height + 1, b : b + width + 1], kernel, self.bias)
                for b, kernel in enumerate(_summed(row, 3))
            ]
            for a, row in enumerate(_summed(self.weight, 2))
        ]  # by even and odd rows, then columns
        return _interleaved(halves)


def _summed(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Sums of three weights along ``dim`` for even outputs, (w_0, w_1 + w_2), and for odd ones, (w_0 + w_1, w_2)."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last], dim), torch.stack([first + middle, last], dim)


def _interleaved(parts: list[list[Tensor]]) -> Tensor:
    """Put maps (B, O, H, W) of even and odd rows and columns together as (B, O, 2 H, 2 W), in their memory layout."""
    first = parts[0][0]
    batch, channels, height, width = first.shape
    if first.is_contiguous():
        whole = torch.stack([torch.stack(row, 4) for row in parts], 3)
        return whole.view(batch, channels, 2 * height, 2 * width)
    rows = [torch.stack([part.permute(0, 2, 3, 1) for part in row], 3) for row in parts]
    return torch.stack(rows, 2).view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
