"""What every family of networks must do, whatever it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks import NETWORKS
from vaegan.networks.conv import PADDINGS
from vaegan.networks.parts import Decoder, Discriminator, Encoder

WIDTHS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (24, 16)},
    "conv": {"channels": (6, 8), "hidden": (16,)},
    "residual": {"channels": (6, 8), "hidden": (16,), "blocks": 1, "groups": 2},
}
OF_DISCRIMINATORS = {**WIDTHS, "residual": WIDTHS["conv"]}
SIZES = [(8, 8), (28, 28), (32, 32), (33, 33), (64, 64), (20, 33), (48, 8)]
Z = 5
families = pytest.mark.parametrize("family", NETWORKS)


def encoder(family: str, shape: tuple[int, int, int] = (1, 8, 8), **changes: Any) -> Encoder:
    return NETWORKS[family].encoder(shape, Z, **{**WIDTHS[family], **changes})


def decoder(family: str, shape: tuple[int, int, int] = (1, 8, 8), **changes: Any) -> Decoder:
    return NETWORKS[family].decoder(shape, Z, **{**WIDTHS[family], **changes})


def discriminator(family: str, shape: tuple[int, int, int] = (1, 8, 8), **changes: Any) -> Discriminator:
    return NETWORKS[family].discriminator(shape, **{**OF_DISCRIMINATORS[family], **changes})


def batch(shape: tuple[int, int, int] = (1, 8, 8), count: int = 4) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


@families
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("channels", [1, 3])
def test_output_shapes(family: str, size: tuple[int, int], channels: int) -> None:
    shape = (channels, *size)
    x = batch(shape, 3)
    mu, logvar = encoder(family, shape)(x)
    assert mu.shape == logvar.shape == (3, Z)
    assert encoder(family, shape, variational=False)(x).shape == (3, Z)
    assert decoder(family, shape)(mu).shape == x.shape
    assert discriminator(family, shape)(x).shape == (3,)


@families
def test_a_condition_is_joined_at_the_first_dense_layer_and_to_z(family: str) -> None:
    """Zero columns in the first dense weight, behind the others, and the network is the unconditional one."""
    x, z, c = batch(), torch.randn(4, Z), torch.randn(4, 3)
    for make, given in ((encoder, x), (decoder, z), (discriminator, x)):
        plain, network = make(family).eval(), make(family, condition_dim=3).eval()
        state, own = network.state_dict(), plain.state_dict()
        (wider,) = [name for name in own if own[name].shape != state[name].shape]
        assert wider == "dense1.linear.weight" or (make is decoder and wider == "first.linear.weight")
        assert state[wider].shape[1] == own[wider].shape[1] + 3
        columns = torch.cat([own[wider], torch.zeros(len(own[wider]), 3)], 1)
        network.load_state_dict(own | {wider: columns})
        torch.testing.assert_close(network(given, c), plain(given))
        with torch.no_grad():
            column = network.get_submodule(wider.removesuffix(".weight")).weight[:, -2]
            column += torch.linspace(-9, 9, len(column))  # no shift that a norm takes out or a rectifier may hide
        outputs = [network(given, other) for other in (c, c + torch.tensor([1.0, 0, 1]), c + torch.tensor([0, 1.0, 0]))]
        first, same, changed = (torch.cat(out, 1) if isinstance(out, tuple) else out for out in outputs)
        torch.testing.assert_close(first, same)
        assert not torch.allclose(first, changed)


@pytest.mark.parametrize("kernel", [3, 4, 5, 6])
@pytest.mark.parametrize("strides", [(2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_convolutions_of_any_kernel_and_stride_bring_the_image_back(
    kernel: int, strides: tuple[int, ...], padding: str
) -> None:
    own = {"channels": (4, 6), "strides": strides, "kernel": kernel, "padding": padding}
    x = batch((1, 34, 34), 2)
    mu, _ = encoder("conv", (1, 34, 34), **own)(x)
    for output_stride in (1, 2):
        back = decoder("conv", (1, 34, 34), output_kernel=kernel, output_stride=output_stride, **own)
        assert back(mu).shape == x.shape


@families
@pytest.mark.parametrize(
    ("output", "function"), [("tanh", torch.tanh), ("sigmoid", torch.sigmoid), ("linear", None), ("centred", None)]
)
def test_logits_are_the_image_before_the_output_non_linearity(family: str, output: str, function: Any) -> None:
    network, z = decoder(family, output=output).eval(), torch.randn(4, Z)
    logits = network.logits(z)
    torch.testing.assert_close(network(z), function(logits) if function else logits)


@families
def test_mu_comes_first(family: str) -> None:
    network = encoder(family).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(2 * Z))
    mu, logvar = network(batch())
    torch.testing.assert_close(mu[0], torch.arange(Z).float())
    torch.testing.assert_close(logvar[0], torch.arange(Z, 2 * Z).float())


@pytest.mark.parametrize("family", ["mlp", "conv"])
def test_the_norm_of_the_first_layer_can_be_left_out(family: str) -> None:
    for make in (encoder, decoder, discriminator):
        network = make(family, norm_first_layer=False)
        norms = [m for n, m in network.named_modules() if n.endswith(".norm")]
        assert [type(m) is nn.Identity for m in norms] == [True] + [False] * (len(norms) - 1)


def test_the_first_layer_of_a_decoder_without_dense_layers_is_its_first_map() -> None:
    network = decoder("conv", hidden=(), norm_first_layer=False)
    assert isinstance(network.first.norm, nn.Identity)
    assert network.first.linear.bias is not None
    assert isinstance(network.up1.norm, nn.BatchNorm2d)


@families
@pytest.mark.parametrize("norm", ["none", "group", "layer", "batch"])
@pytest.mark.parametrize("minibatch_features", [0, 3])
def test_couples_images_tells_the_truth(family: str, norm: str, minibatch_features: int) -> None:
    torch.manual_seed(0)
    network = discriminator(family, norm=norm, minibatch_features=minibatch_features).double()
    x = batch().double()
    other = x.clone()
    other[0] += torch.randn(1, 8, 8)
    with torch.no_grad():
        change = (network(other) - network(x))[1:].abs().max().item()
    assert network.couples_images == (norm == "batch" or minibatch_features > 0)
    assert change > 1e-6 if network.couples_images else change < 1e-12


@families
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_default_feature_layer_gives_what_it_computes(family: str, norm: str) -> None:
    torch.manual_seed(0)
    network, x = discriminator(family, norm=norm), batch()
    layer = network.get_submodule(network.default_feature_layer)
    taken: list[tuple[Tensor, Tensor]] = []
    layer.register_forward_hook(lambda module, inputs, output: taken.append((inputs[0], output)))
    logits = network(x)
    [(before, feature)] = taken
    expected = (
        nn.functional.conv2d(before, layer.weight, layer.bias, layer.stride, layer.padding)
        if family != "mlp"
        else nn.functional.linear(before, layer.weight, layer.bias)
    )
    assert torch.equal(feature, expected)
    assert logits.requires_grad
    assert torch.autograd.grad(feature.square().sum(), layer.weight)[0].abs().sum() > 0


def test_names_of_the_default_feature_layers() -> None:
    assert discriminator("conv").default_feature_layer == "conv2.conv"
    assert discriminator("mlp").default_feature_layer == "dense2.linear"
    assert discriminator("mlp", hidden=()).default_feature_layer == "output"


@families
def test_spectral_norm_brings_the_largest_singular_value_to_one(family: str) -> None:
    torch.manual_seed(0)
    network, x = discriminator(family, norm="none", spectral_norm=True, minibatch_features=3), batch()
    for _ in range(20):
        network(x)
    network.eval()
    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert len(layers) == 3 + (1 if family == "mlp" else 2)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


@families
def test_memory_layout_does_not_change_what_is_computed(family: str) -> None:
    torch.manual_seed(0)
    shape = (3, 12, 10)
    trio = encoder(family, shape), decoder(family, shape), discriminator(family, shape)
    enc, dec, dis = (part.double().eval() for part in trio)
    x, z = batch(shape).double(), torch.randn(4, Z, dtype=torch.float64)
    expected = enc(x)[0], dec(z), dis(x)
    for part in (enc, dec, dis):
        part.to(memory_format=torch.channels_last)
    last = x.contiguous(memory_format=torch.channels_last)
    for a, b in zip((enc(last)[0], dec(z), dis(last)), expected, strict=True):
        torch.testing.assert_close(a, b)


@families
def test_bfloat16_autocast_stays_close(family: str) -> None:
    torch.manual_seed(0)
    enc, dis, x = encoder(family), discriminator(family), batch(count=16)
    exact = enc(x)[0], dis(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = enc(x)[0], dis(x)
    for a, b in zip(rough, exact, strict=True):
        assert (a.float() - b).abs().max() < 0.1 * b.abs().max() + 0.05
    rough[1].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in dis.parameters())
