r"""Convolutions with a stride between many channels, whose weight's gradient is computed as a convolution itself.

Of the three convolutions that training makes of one, CPU kernels are slowest at the gradient of the weight,

    dW[o, c, k] = sum over images b and places p of  small[b, o, p] * big[b, c, s p + k],

where ``small`` is the smaller map (the gradient of a convolution's output, the input of a transposed one), ``big`` the
larger one, s the stride. That is a convolution with dilation s of ``big`` by ``small``, with images in place of
channels. Its output has few pixels, too few to fill a core, so channels of ``big`` become pixels: column x and channel
c are column x C + c of one wide image, and neighbouring columns are C apart: a dilation of s C. The result is dW,
row by row. The smaller the maps, the larger the gain.

Nothing else differs from `torch.nn.Conv2d` and `torch.nn.ConvTranspose2d`: parameters, forward pass, other gradients.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...operations import counted_as
from .split_backward import cast_for_autocast, split_convolution

LEAST_CHANNELS = 128
LEAST_IMAGES = 16
MOST_IMAGES = 32
"""At once: the kernel, which they make larger, should stay in the cache."""
MOST_PLACES = 256
"""Of the smaller map."""
_VECTORS, _TILES = (getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
GAINS = _VECTORS and not _TILES
"""Whether this CPU multiplies bf16 in vectors but has no tiles, for which there are other kernels."""


def weight_gradient(big: Tensor, small: Tensor, kernel: int, stride: int, padding: tuple[int, int]) -> Tensor:
    """Return the gradient (O, C, k, k), channels-last, of the weight of a convolution of ``big`` (B, C, H, W).

    ``small`` (B, O, h, w) is the gradient of its output; both are fastest if channels-last. The padding is the number
    of zeros above and to the left of ``big``.
    """
    num_pieces = -(-len(big) // MOST_IMAGES)
    pairs = zip(big.chunk(num_pieces), small.chunk(num_pieces), strict=True)
    with counted_as("weight_gradient", 2 * small.numel() * big.shape[1] * kernel**2):
        parts = [_of_some_images(of_big, of_small, kernel, stride, padding) for of_big, of_small in pairs]
    return parts[0] if len(parts) == 1 else torch.stack([part.float() for part in parts]).sum(0).to(big.dtype)


def _of_some_images(big: Tensor, small: Tensor, kernel: int, stride: int, padding: tuple[int, int]) -> Tensor:
    """`weight_gradient` of few images."""
    num, channels, height, width = big.shape
    outputs, h, w = small.shape[1:]
    rows, columns = (h - 1) * stride + kernel, (w - 1) * stride + kernel  # that are read, the padding among them
    top, left = padding
    padded = F.pad(big.permute(0, 2, 3, 1), (0, 0, left, columns - width - left, top, rows - height - top))
    # Images last. By a product with the identity, which is exact and takes half the time of a copy.
    wide = padded.reshape(num, -1).t() @ torch.eye(num, dtype=big.dtype, device=big.device)
    wide = wide.view(1, rows, columns * channels, num).permute(0, 3, 1, 2)
    # A transposed convolution by the rotated kernel is the same and takes `small` as it lies in memory.
    margin = (stride * (h - 1), stride * channels * (w - 1))
    by_column = F.conv_transpose2d(wide, small.flip(2, 3), padding=margin, dilation=(stride, stride * channels))
    by_place = by_column.permute(0, 2, 3, 1).reshape(kernel * kernel * channels, outputs)
    return by_place.t().contiguous().view(outputs, kernel, kernel, channels).permute(0, 3, 1, 2)


def _worthwhile(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, places: int) -> bool:
    """Whether the gradient of the weight will be needed, and is faster here than in torch's own kernels."""
    return (
        GAINS
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and (x.dtype if not torch.is_autocast_enabled("cpu") else torch.get_autocast_dtype("cpu")) == torch.bfloat16
        and torch.is_grad_enabled()
        and layer.weight.requires_grad
        and x.shape[0] >= LEAST_IMAGES
        and places <= MOST_PLACES
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class StridedConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with a square kernel and one stride both ways."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (B, C, H, W)."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], (int(self.padding[0]), int(self.padding[1]))
        height, width = ((n + 2 * p - kernel) // stride + 1 for n, p in zip(x.shape[2:], padding, strict=True))
        if not _worthwhile(x, self, height * width):
            return super().forward(x)

        def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return F.conv2d(x, weight, bias, stride, padding)

        def of_x(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
            of_input: Tensor = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, (stride, stride), padding, (1, 1), False, (0, 0), 1, (True, False, False)
            )[0]
            return of_input

        def of_weight(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
            return weight_gradient(x, gradient, kernel, stride, padding)

        x, weight, bias = cast_for_autocast(x, self.weight, self.bias)
        shape = (x.shape[0], self.out_channels, height, width)
        return split_convolution(x, weight, bias, shape, forward, of_x, of_weight)


class StridedConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with a square kernel and one stride both ways."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve ``x`` (B, C, H, W)."""
        if output_size is not None or not _worthwhile(x, self, x.shape[2] * x.shape[3]):
            return super().forward(x, output_size)
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding, extra = ((int(pair[0]), int(pair[1])) for pair in (self.padding, self.output_padding))

        def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return F.conv_transpose2d(x, weight, bias, stride, padding, extra)

        def of_x(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
            return F.conv2d(gradient, weight, None, stride, padding)

        def of_weight(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
            return weight_gradient(gradient, x, kernel, stride, padding)

        x, weight, bias = cast_for_autocast(x, self.weight, self.bias)
        height, width = (
            (n - 1) * stride - 2 * p + kernel + e for n, p, e in zip(x.shape[2:], padding, extra, strict=True)
        )
        shape = (x.shape[0], self.out_channels, height, width)
        return split_convolution(x, weight, bias, shape, forward, of_x, of_weight)
