"""A convolution to few channels, computed as the transposed convolution that it equals.

    conv(x, w) = conv_transpose(x, w'),    w'[c, o, i, j] = w[o, c, k - 1 - i, k - 1 - j]

The function, its weights and its gradients are those of `torch.nn.Conv2d` with an odd kernel, stride 1 and "same"
padding. CPU kernels spread the work of a convolution over its output channels, of which an image has one or three;
written the other way round the gradients take a fraction of the time.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class NarrowConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` from many channels to few, (B, C, H, W) -> (B, O, H, W), with the same parameters.

    Args:
        inputs: channels C.
        outputs: channels O.
        kernel: odd side of the kernel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        assert kernel % 2, "an even kernel has no centre to turn around"
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.margin = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W)."""
        return F.conv_transpose2d(x, self.weight.flip(2, 3).transpose(0, 1), self.bias, padding=self.margin)
