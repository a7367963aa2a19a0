"""Sizes of the maps: integer arithmetic of strides and paddings.

A convolution of stride s makes ``ceil(n / s)`` of n pixels ("same" padding), whatever the kernel; the decoder
has the same sizes in reverse, so that an image of any size comes out exactly: 28, 14, 7, 4, then 7, 14, 28.
With kernel k and no padding ("valid") it makes ``floor((n - k) / s) + 1``, and the decoder starts from the smallest map
whose transposed convolution covers the image, ``ceil((n - k) / s) + 1``: with k = 4, 28, 13, 5, but 6, 13, 28.
"""

from collections.abc import Sequence
from math import prod

from ..errors import UserError

Size = tuple[int, int]


def layer_strides(channels: Sequence[int], strides: Sequence[int] | None) -> tuple[int, ...]:
    """Return one stride for each convolution; 2 each by default; UserError if their numbers differ or are 0."""
    if not channels:
        raise UserError("channels is empty, but a conv network needs one width for each convolution, like 64,128,256")
    if strides is None:
        return (2,) * len(channels)
    if len(strides) != len(channels):
        raise UserError(f"strides has {len(strides)} numbers, channels has {len(channels)}; give one per convolution")
    return tuple(strides)


def map_sizes(size: Size, strides: Sequence[int]) -> list[Size]:
    """Return height and width of the image ``size`` and of the map behind each stride, largest first.

    Raises UserError if a map that is one pixel high or wide should shrink further.
    """
    sizes = [size]
    for i, stride in enumerate(strides, start=1):
        height, width = sizes[-1]
        if stride > 1 and min(height, width) == 1:
            last = max(j for j, each in enumerate(strides) if each > 1)
            raise UserError(
                f"strides {','.join(map(str, strides))} are too many for images of {size[0]}x{size[1]}: number {i} "
                f"meets a map of {height}x{width}; use fewer layers, strides of 1, or sides of at least "
                f"{prod(strides[:last]) + 1} pixels"
            )
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes


def valid_sizes(size: Size, kernels: Sequence[int], strides: Sequence[int], *, covering: bool = False) -> list[Size]:
    """Return height and width of the image ``size`` and of the map behind each convolution without padding.

    ``covering`` rounds up, for maps that are to be upsampled to these sizes; there stride 1 keeps the size. Raises
    UserError if a kernel is larger than the map it meets.
    """
    sizes = [size]
    for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True), start=1):
        height, width = sizes[-1]
        if covering and stride == 1:
            sizes.append((height, width))
            continue
        if kernel > min(height, width):
            raise UserError(
                f"padding valid: the kernel of {kernel} pixels of convolution {i} meets a map of {height}x{width}; use "
                "fewer layers, smaller kernels, larger images or padding same"
            )
        more = stride - 1 if covering else 0
        sizes.append(((height - kernel + more) // stride + 1, (width - kernel + more) // stride + 1))
    return sizes


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Return the padding on both sides with which ``ceil(size / stride)`` pixels come out of a convolution.

    An even kernel at stride 1 has no such padding (it needs one more pixel on one side).
    """
    if kernel % 2:
        return kernel // 2
    outputs = -(-size // stride)
    missing = (outputs - 1) * stride + kernel - size
    return max(0, (missing + 1) // 2)


def transposed_padding(size: int, target: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return padding and output padding of a transposed convolution that makes ``target`` of ``size``.

    ``target = (size - 1) stride - 2 padding + kernel + output_padding``, with ``size = ceil(target / stride)`` or what
    `valid_sizes` gives, which leaves at most ``stride - 1`` pixels to be padded.
    With kernel 5 and stride 2 this is the paper's padding 2 and output padding 1 for even targets.
    """
    share = target - (size - 1) * stride
    padding = max(0, (kernel - share + 1) // 2)
    return padding, share - kernel + 2 * padding
