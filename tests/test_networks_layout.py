"""Convolutions to few channels and reshapes: the same function and gradients as torch's, whatever the memory layout."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from vaegan.networks.kernels.layout import Flatten, Unflatten
from vaegan.networks.layers import ConvBlock


def everything(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = module(x)
    cotangent = torch.arange(y.numel(), dtype=y.dtype).view(y.shape).cos()
    return [y.detach(), *torch.autograd.grad(y, [x, *module.parameters()], cotangent)]


NARROW = [
    ("to one", NarrowConv2d(4, 1, 5), (8, 12)),
    ("to three", NarrowConv2d(4, 3, 3), (8, 6)),
    ("to two, no bias", NarrowConv2d(5, 2, 1, bias=False), (4, 4)),
    ("to one, blocks do not fit", NarrowConv2d(4, 1, 5), (7, 6)),
    ("from one", NarrowConv2d(1, 6, 5), (8, 8)),
    ("from three, no bias", NarrowConv2d(3, 4, 3, bias=False), (6, 8)),
    ("from two, blocks do not fit", NarrowConv2d(2, 4, 3), (5, 8)),
    *[
        (
            f"stride 2, kernel {kernel}, size {size}",
            NarrowInputConv2d(inputs, 6, kernel, 2, padding, bias=inputs == 1),
            size,
        )
        for kernel, padding in ((5, 2), (4, 1), (3, 1), (6, 2), (2, 0), (5, 1))
        for inputs, size in ((1, (8, 12)), (3, (10, 6)), (1, (9, 8)))
    ],
]


@pytest.mark.parametrize(("narrow", "size"), [case[1:] for case in NARROW], ids=[case[0] for case in NARROW])
def test_narrow_convolutions_are_convolutions(narrow: nn.Conv2d, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    narrow = copy.deepcopy(narrow).double()
    plain = nn.Conv2d(
        narrow.in_channels, narrow.out_channels, narrow.kernel_size, narrow.stride, narrow.padding,
        bias=narrow.bias is not None,
    ).double()  # fmt: skip
    plain.load_state_dict(narrow.state_dict())
    x = torch.randn(2, narrow.in_channels, *size, dtype=torch.float64)
    for ours, reference in zip(everything(narrow, x), everything(plain, x), strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("narrow", [NarrowConv2d(3, 2, 3), NarrowConv2d(1, 3, 3), NarrowInputConv2d(1, 2, 5, 2, 2)])
def test_narrow_convolutions_can_be_differentiated_twice(narrow: nn.Conv2d) -> None:
    narrow = copy.deepcopy(narrow).double()
    x = torch.randn(1, narrow.in_channels, 4, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in narrow.named_parameters()]

    def call(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(narrow, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradgradcheck(call, (x, *narrow.parameters()), fast_mode=True)


def test_narrow_convolutions_follow_autocast() -> None:
    for narrow in (NarrowConv2d(4, 1, 5), NarrowConv2d(1, 6, 5), NarrowInputConv2d(1, 6, 5, 2, 2)):
        x = torch.randn(2, narrow.in_channels, 8, 8)
        with torch.autocast("cpu", torch.bfloat16):
            y = narrow(x)
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), nn.Conv2d.forward(narrow, x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("narrow", [NarrowConv2d(4, 1, 5), NarrowConv2d(4, 3, 5), NarrowConv2d(3, 4, 5)])
def test_gradients_of_wide_maps_keep_the_layout(narrow: nn.Conv2d, layout: torch.memory_format) -> None:
    """A map of one channel has none of its own, and what follows is slow where two layouts meet."""
    narrow = copy.deepcopy(narrow).to(memory_format=layout)
    x = torch.randn(2, narrow.in_channels, 8, 8).to(memory_format=layout).requires_grad_()
    (gradient,) = torch.autograd.grad(narrow(x).square().sum(), x)
    assert gradient.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_reshapes_keep_order_and_layout(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5)
    laid = x.to(memory_format=layout).requires_grad_()
    conv = nn.Conv2d(3, 6, 3).to(memory_format=layout)
    vector = Flatten()(laid)
    assert torch.equal(vector, x.flatten(1))
    back = Unflatten((3, 4, 5), behind=conv)(vector)
    assert torch.equal(back, x)
    assert back.is_contiguous(memory_format=layout)
    cotangent = torch.randn(2, 3, 4, 5)
    (gradient,) = torch.autograd.grad(back, laid, cotangent)
    assert torch.equal(gradient, cotangent)
    assert gradient.is_contiguous(memory_format=layout)


def test_a_norm_before_the_convolution_says_nothing_of_the_layout() -> None:
    """`ConvBlock` names its norm first."""
    block = ConvBlock(nn.Conv2d(3, 6, 3)).to(memory_format=torch.channels_last)
    assert Unflatten((3, 4, 5), behind=block)(torch.randn(2, 60)).is_contiguous(memory_format=torch.channels_last)


def test_the_module_behind_is_no_child() -> None:
    conv = nn.Conv2d(3, 6, 3)
    assert list(Unflatten((3, 4, 5), behind=conv).parameters()) == []
