from __future__ import annotations

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaegan.errors import UserError
from vaegan.networks.conv import convolution, upsampling
from vaegan.networks.conv_shapes import layer_strides, map_sizes, same_padding, transposed_padding, valid_sizes


def test_sizes_of_the_maps() -> None:
    assert map_sizes((28, 28), (2, 2, 2)) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert map_sizes((33, 20), (2, 1, 3)) == [(33, 20), (17, 10), (17, 10), (6, 4)]


def test_the_papers_padding() -> None:
    assert same_padding(64, kernel=5, stride=2) == 2
    assert transposed_padding(8, 16, kernel=5, stride=2) == (2, 1)


def test_the_dcgan_padding() -> None:
    assert same_padding(64, kernel=4, stride=2) == 1
    assert transposed_padding(8, 16, kernel=4, stride=2) == (1, 0)


pixels = st.integers(1, 40)


@settings(max_examples=150)
@given(height=pixels, width=pixels, kernel=st.integers(1, 7), stride=st.integers(1, 4))
def test_any_kernel_and_stride_give_exact_sizes(height: int, width: int, kernel: int, stride: int) -> None:
    small = (ceil(height / stride), ceil(width / stride))
    x = torch.zeros(1, 1, height, width)
    assert convolution(1, 1, (height, width), kernel, stride, bias=True)(x).shape[2:] == small
    up = upsampling(1, 1, small, (height, width), kernel, stride, bias=True)
    assert up(torch.zeros(1, 1, *small)).shape[2:] == (height, width)


def test_strides_are_two_unless_given() -> None:
    assert layer_strides((8, 16), None) == (2, 2)
    assert layer_strides((8, 16), [1, 2]) == (1, 2)


@pytest.mark.parametrize(
    ("channels", "strides", "message"),
    [
        ((), None, "channels is empty"),
        ((8, 16, 32), (2, 2), "strides has 2 numbers, channels has 3"),
    ],
)
def test_strides_that_do_not_fit(channels: tuple[int, ...], strides: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layer_strides(channels, strides)


def test_too_many_strides_for_the_image() -> None:
    assert map_sizes((8, 8), (2, 2, 2))[-1] == (1, 1)
    with pytest.raises(UserError, match=r"too many for images of 8x8: number 4 meets a map of 1x1"):
        map_sizes((8, 8), (2, 2, 2, 2))
    assert map_sizes((8, 8), (2, 2, 2, 1))[-1] == (1, 1)


def test_sizes_without_padding() -> None:
    # By hand: (28 - 4) / 2 + 1 = 13, (13 - 4) / 2 + 1 = 5.5, which is 5 on the way down and 6 on the way up.
    assert valid_sizes((28, 28), (4, 4), (2, 2)) == [(28, 28), (13, 13), (5, 5)]
    assert valid_sizes((28, 28), (4, 4), (2, 2), covering=True) == [(28, 28), (13, 13), (6, 6)]
    assert valid_sizes((9, 7), (3, 3), (1, 2)) == [(9, 7), (7, 5), (3, 2)]
    assert valid_sizes((9, 7), (3, 3), (1, 2), covering=True) == [(9, 7), (9, 7), (4, 3)]
    assert transposed_padding(6, 13, kernel=4, stride=2) == (1, 1)
    assert transposed_padding(13, 28, kernel=4, stride=2) == (0, 0)


@settings(max_examples=150)
@given(height=st.integers(7, 40), width=st.integers(7, 40), kernel=st.integers(1, 7), stride=st.integers(1, 4))
def test_sizes_without_padding_are_those_that_come_out(height: int, width: int, kernel: int, stride: int) -> None:
    image = (height, width)
    small = convolution(1, 1, image, kernel, stride, bias=True, padded=False)(torch.zeros(1, 1, *image))
    assert valid_sizes(image, [kernel], [stride]) == [image, tuple(small.shape[2:])]
    first = valid_sizes(image, [kernel], [stride], covering=True)[1]
    up = upsampling(1, 1, first, image, kernel, stride, bias=True)
    assert up(torch.zeros(1, 1, *first)).shape[2:] == image
    if stride > 1:  # and a smaller map would not do
        assert all((n - 2) * stride + kernel < whole for n, whole in zip(first, image, strict=True))


def test_a_kernel_larger_than_the_map() -> None:
    with pytest.raises(UserError, match=r"kernel of 4 pixels of convolution 2 meets a map of 3x3; use fewer layers"):
        valid_sizes((8, 8), (4, 4), (2, 2))
