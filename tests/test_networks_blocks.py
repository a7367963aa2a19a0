from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaegan.errors import UserError
from vaegan.networks.layers import (
    ACTIVATIONS,
    NORMS,
    ORDERS,
    Activation,
    ConvBlock,
    DenseBlock,
    dense_norm,
    map_norm,
    needs_bias,
)

REFERENCE = {
    "relu": nn.ReLU(),
    "leaky": nn.LeakyReLU(0.2),
    "elu": nn.ELU(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(),
    "tanh": nn.Tanh(),
}


def conv_block(norm: str = "batch", activation: str = "relu", order: str = "norm-first") -> ConvBlock:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3, bias=needs_bias(norm, order))
    return ConvBlock(conv, norm, activation, order).double()


def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_activation_is_the_one_named(name: str, overwrite: bool) -> None:
    x = torch.linspace(-4, 4, 101)
    torch.testing.assert_close(Activation(name)(x.clone(), overwrite), REFERENCE[name](x))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"activation 'rleu' is unknown \(perhaps you meant 'relu'\)"):
        Activation("rleu")
    with pytest.raises(UserError, match="norm 'bacth'"):
        map_norm("bacth", 4)


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 32), (128, 32), (64, 16), (96, 24), (20, 5), (33, 3), (37, 1), (1, 1)]
)
def test_group_norm_takes_up_to_32_groups_of_at_least_4_channels(channels: int, groups: int) -> None:
    for norm in (map_norm("group", channels), dense_norm("group", channels)):
        assert isinstance(norm, nn.GroupNorm)
        assert norm.num_groups == groups


@pytest.mark.parametrize("norm", NORMS)
def test_norms_of_maps_and_vectors(norm: str) -> None:
    x, v = torch.randn(5, 8, 6, 6, dtype=torch.float64) * 3 + 2, torch.randn(5, 8, dtype=torch.float64) * 3 + 2
    on_map, on_vector = map_norm(norm, 8).double()(x), dense_norm(norm, 8).double()(v)
    if norm == "none":
        torch.testing.assert_close(on_map, x)
        torch.testing.assert_close(on_vector, v)
    elif norm == "batch":
        torch.testing.assert_close(on_map, standardised(x, (0, 2, 3)))
        torch.testing.assert_close(on_vector, standardised(v, (0,)))
    elif norm == "layer":
        torch.testing.assert_close(on_map, standardised(x, (1, 2, 3)))
        torch.testing.assert_close(on_vector, standardised(v, (1,)))
    else:
        torch.testing.assert_close(on_map, standardised(x.view(5, 2, 4, -1), (2, 3)).view(x.shape))
        torch.testing.assert_close(on_vector, standardised(v.view(5, 2, 4), (2,)).view(v.shape))


def standardised(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (x - x.mean(dims, keepdim=True)) / (x.var(dims, keepdim=True, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize("norm", NORMS)
def test_bias_only_where_no_norm_follows(norm: str) -> None:
    assert (DenseBlock(4, 6, norm, order="norm-first").linear.bias is None) == (norm != "none")
    assert DenseBlock(4, 6, norm, order="activation-first").linear.bias is not None


@pytest.mark.parametrize("activation", ["relu", "leaky", "silu"])
def test_order_of_norm_and_activation(activation: str) -> None:
    x = images()
    for order in ORDERS:
        block = conv_block("batch", activation, order)
        y = F.conv2d(x, block.conv.weight, block.conv.bias)
        if order == "norm-first":
            expected = REFERENCE[activation](standardised(y, (0, 2, 3)))
        else:
            expected = standardised(REFERENCE[activation](y), (0, 2, 3))
        torch.testing.assert_close(block(x), expected)


def test_dropout_is_behind_the_dense_block_and_only_in_training() -> None:
    torch.manual_seed(0)
    block = DenseBlock(4, 1000, "none", "relu", dropout=0.25)
    x = torch.rand(1, 4)
    kept, dropped = block.eval()(x), block.train()(x)
    positive = kept > 0
    share = (dropped[positive] == 0).float().mean().item()
    assert 0.18 < share < 0.32
    survivors = positive & (dropped > 0)
    torch.testing.assert_close(dropped[survivors], kept[survivors] / 0.75)


@pytest.mark.parametrize("stage", ["conv", "norm", "activation"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_hooked_stage_keeps_its_values(norm: str, order: str, activation: str, stage: str) -> None:
    x, block = images(), conv_block(norm, activation, order)
    stages = ["conv", "norm", "activation"] if order == "norm-first" else ["conv", "activation", "norm"]
    expected = x
    for name in stages[: stages.index(stage) + 1]:
        expected = block.get_submodule(name)(expected)
    plain = block(x)
    caught: list[Tensor] = []
    block.get_submodule(stage).register_forward_hook(lambda module, inputs, output: caught.append(output))
    hooked = block(x)
    assert torch.equal(caught[0], expected)
    assert torch.equal(hooked, plain)


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leaky"])
def test_the_activation_overwrites_unless_something_is_hooked(activation: str, hooked: bool) -> None:
    block = conv_block("batch", activation)
    if hooked:
        block.norm.register_forward_hook(lambda module, inputs, output: None)
    same: list[bool] = []
    block.activation.register_forward_hook(
        lambda module, inputs, output: same.append(inputs[0].data_ptr() == output.data_ptr())
    )
    block(images())
    assert same == [not hooked]


@pytest.mark.parametrize("activation", ["leaky", "relu", "elu", "tanh"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", NORMS)
def test_first_and_second_derivatives(norm: str, order: str, activation: str) -> None:
    block, x = conv_block(norm, activation, order), images()[:2, :, :4, :4].requires_grad_()
    assert torch.autograd.gradcheck(block, (x,))
    assert torch.autograd.gradgradcheck(block, (x,), fast_mode=True)
