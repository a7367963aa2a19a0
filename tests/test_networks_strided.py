"""Gradients of weights as convolutions: those of torch, whatever the sizes, kernels, strides and layouts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks.conv import convolution, upsampling
from vaegan.networks.kernels import strided
from vaegan.networks.kernels.strided import StridedConv2d, StridedConvTranspose2d, weight_gradient
from vaegan.operations import OperationCounter

LAYERS = [
    (layer, size)
    for kernel, stride, padding, extra in ((5, 2, 2, 1), (4, 2, 1, 0), (3, 2, 1, 1), (3, 3, 0, 2), (5, 2, (2, 1), 1))
    for size in ((8, 8), (7, 10))
    for layer in (
        StridedConv2d(3, 4, kernel, stride, padding, bias=size == (8, 8)),
        StridedConvTranspose2d(4, 3, kernel, stride, padding, extra, bias=size == (8, 8)),
    )
]


def plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Conv2d | nn.ConvTranspose2d:
    """A copy with torch's own class."""
    other = copy.deepcopy(layer)
    other.__class__ = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
    return other


def everything(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients at input and weight for a fixed cotangent."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    cotangent = torch.arange(y.numel(), dtype=torch.float64).view(y.shape).cos().to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], cotangent)]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the rewritten form for small layers in any precision, on any CPU."""
    monkeypatch.setattr(strided, "_worthwhile", lambda x, layer, places: True)


@pytest.mark.parametrize(("layer", "size"), LAYERS, ids=lambda value: str(value).replace(" ", ""))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_torch(
    layer: nn.Conv2d | nn.ConvTranspose2d, size: tuple[int, int], layout: torch.memory_format, always: None
) -> None:
    torch.manual_seed(0)
    layer = copy.deepcopy(layer).double().to(memory_format=layout)
    x = torch.randn(5, layer.in_channels, *size, dtype=torch.float64).contiguous(memory_format=layout)
    for ours, reference in zip(everything(layer, x), everything(plain(layer), x), strict=True):
        torch.testing.assert_close(ours, reference)


def test_many_images_are_taken_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    big, small = torch.randn(7, 3, 8, 8), torch.randn(7, 4, 4, 4)
    whole = weight_gradient(big, small, 5, 2, (2, 2))
    monkeypatch.setattr(strided, "MOST_IMAGES", 3)
    torch.testing.assert_close(weight_gradient(big, small, 5, 2, (2, 2)), whole)
    assert whole.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [layer for layer, _ in LAYERS[:2]])
def test_they_can_be_differentiated_twice(layer: nn.Conv2d | nn.ConvTranspose2d, always: None) -> None:
    layer = copy.deepcopy(layer).double()
    x = torch.randn(2, layer.in_channels, 4, 4, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradgradcheck(call, (x, layer.weight, layer.bias), fast_mode=True)


@pytest.mark.parametrize("transposed", [False, True])
def test_wide_layers_take_it_under_autocast(transposed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bf16 it is as near to the gradient in double precision as torch's own, and counts as many operations."""
    monkeypatch.setattr(strided, "GAINS", True)
    taken: list[tuple[int, ...]] = []
    monkeypatch.setattr(strided, "weight_gradient", lambda *a: taken.append(a[0].shape) or weight_gradient(*a))
    torch.manual_seed(0)
    layer = (
        upsampling(128, 128, (4, 4), (8, 8), 5, 2, False) if transposed else convolution(128, 128, (8, 8), 5, 2, False)
    )
    layer = layer.to(memory_format=torch.channels_last)
    x = torch.randn(16, 128, *((4, 4) if transposed else (8, 8))).contiguous(memory_format=torch.channels_last)
    exact = everything(copy.deepcopy(plain(layer)).double(), x.bfloat16().double())[2]
    found, counted = [], []
    for module in (layer, plain(layer)):
        with torch.autocast("cpu", torch.bfloat16), OperationCounter() as counter:
            found.append(everything(module, x)[2])
        counted.append(counter.total)
    assert taken
    assert all(shape == (16, 128, 8, 8) for shape in taken)
    errors = [float((of_weight.double() - exact).norm() / exact.norm()) for of_weight in found]
    assert errors[0] < 1.1 * errors[1] < 0.02
    assert found[0].dtype == found[1].dtype == torch.float32
    assert counted[0] == counted[1]


def test_the_gradient_of_the_input_alone_needs_no_other(always: None) -> None:
    """And a graph that was kept gives both afterwards."""
    layer = StridedConv2d(3, 4, 5, 2, 2)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    y = layer(x)
    reference = torch.nn.functional.conv2d(x, layer.weight, layer.bias, 2, 2)
    cotangent = torch.randn_like(y)
    product = 2 * y.numel() * 3 * 25
    inputs: list[list[Tensor]] = [[x], [layer.weight, layer.bias], [x, layer.weight]]
    for asked in inputs:
        with OperationCounter() as counter:
            found = torch.autograd.grad(y, asked, cotangent, retain_graph=True)
        of_weight = sum(t is layer.weight for t in asked)
        assert counter.by_operator["weight_gradient"] == of_weight * product
        torch.testing.assert_close(found, torch.autograd.grad(reference, asked, cotangent, retain_graph=True))


def test_what_gains_nothing_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strided, "GAINS", True)
    monkeypatch.setattr(strided, "weight_gradient", None)
    layer = convolution(128, 128, (8, 8), 5, 2, False).to(memory_format=torch.channels_last)
    x = torch.randn(16, 128, 8, 8).contiguous(memory_format=torch.channels_last)
    everything(layer, x)  # float32
    with torch.autocast("cpu", torch.bfloat16):
        everything(layer, x[:15])  # few images
        everything(layer, x.contiguous())  # the other layout
    assert type(convolution(64, 128, (8, 8), 5, 2, False)) is nn.Conv2d


def test_operations_are_counted_by_hand_within() -> None:
    x = torch.randn(2, 3)
    with OperationCounter() as counter:
        x @ x.T
        with strided.counted_as("own", 5):
            x @ x.T
    assert counter.by_operator == {"aten.mm": 24, "own": 5}
