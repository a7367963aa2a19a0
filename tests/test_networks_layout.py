"""Convolutions to few channels and reshapes: the same function and gradients as torch's, whatever the memory layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks.narrow import NarrowConv2d
from vaegan.networks.reshape import Flatten, Unflatten


def everything(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = module(x)
    cotangent = torch.arange(y.numel(), dtype=y.dtype).view(y.shape).cos()
    return [y.detach(), *torch.autograd.grad(y, [x, *module.parameters()], cotangent)]


@pytest.mark.parametrize(("outputs", "kernel"), [(1, 5), (3, 3), (2, 1)])
def test_narrow_convolution_is_a_convolution(outputs: int, kernel: int) -> None:
    torch.manual_seed(0)
    narrow = NarrowConv2d(4, outputs, kernel).double()
    plain = nn.Conv2d(4, outputs, kernel, padding=kernel // 2).double()
    plain.load_state_dict(narrow.state_dict())
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    for ours, reference in zip(everything(narrow, x), everything(plain, x), strict=True):
        torch.testing.assert_close(ours, reference)


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


def test_the_module_behind_is_no_child() -> None:
    conv = nn.Conv2d(3, 6, 3)
    assert list(Unflatten((3, 4, 5), behind=conv).parameters()) == []
