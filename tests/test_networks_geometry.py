from __future__ import annotations

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaegan.errors import UserError
from vaegan.networks.conv import convolution, upsampling
from vaegan.networks.geometry import layer_strides, map_sizes, same_padding, transposed_padding


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


@settings(max_examples=150, deadline=None)
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
