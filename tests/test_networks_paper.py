"""The networks of Larsen et al. (arXiv:1512.09300, Table 1) and of the authors' code, layer for layer.

Every parameter count below is worked out by hand from the table: a convolution has kernel area x inputs x outputs
weights and no bias before a BatchNorm, which has two numbers for each channel or unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks import build_parts

Z = 128


@dataclass
class Layer:
    """What a row of the table says: kind of layer, output shape, parameters, stride, BN, non-linearity."""

    name: str
    kind: type[nn.Module]
    shape: tuple[int, ...]
    parameters: int
    stride: int | None = None
    norm: type[nn.Module] | None = None
    activation: str | None = None


def conv(i: int, shape: tuple[int, ...], parameters: int, stride: int = 2, norm: bool = True) -> Layer:
    return Layer(f"conv{i}", nn.Conv2d, shape, parameters, stride, nn.BatchNorm2d if norm else nn.Identity, "relu")


def deconv(i: int, shape: tuple[int, ...], parameters: int) -> Layer:
    return Layer(f"up{i}", nn.ConvTranspose2d, shape, parameters, 2, nn.BatchNorm2d, "relu")


def dense(name: str, shape: tuple[int, ...], parameters: int) -> Layer:
    return Layer(name, nn.Linear, shape, parameters, None, nn.BatchNorm1d, "relu")


def linear(name: str, outputs: int, parameters: int) -> Layer:
    return Layer(name, nn.Linear, (outputs,), parameters)


def last_conv(size: int) -> Layer:
    return Layer("output", nn.Conv2d, (3, size, size), 25 * 32 * 3 + 3, 1)


PAPER_64: dict[str, list[Layer]] = {
    "encoder": [
        conv(1, (64, 32, 32), 25 * 3 * 64 + 2 * 64),
        conv(2, (128, 16, 16), 25 * 64 * 128 + 2 * 128),
        conv(3, (256, 8, 8), 25 * 128 * 256 + 2 * 256),
        dense("dense1", (2048,), 16384 * 2048 + 2 * 2048),
        linear("head", 2 * Z, 2 * (2048 * 128 + 128)),
    ],
    "decoder": [
        dense("first", (16384,), 128 * 16384 + 2 * 16384),
        deconv(1, (256, 16, 16), 25 * 256 * 256 + 2 * 256),
        deconv(2, (128, 32, 32), 25 * 256 * 128 + 2 * 128),
        deconv(3, (32, 64, 64), 25 * 128 * 32 + 2 * 32),
        last_conv(64),
    ],
    "discriminator": [
        conv(1, (32, 64, 64), 25 * 3 * 32 + 32, stride=1, norm=False),
        conv(2, (128, 32, 32), 25 * 32 * 128 + 2 * 128),
        conv(3, (256, 16, 16), 25 * 128 * 256 + 2 * 256),
        conv(4, (256, 8, 8), 25 * 256 * 256 + 2 * 256),
        dense("dense1", (512,), 16384 * 512 + 2 * 512),
        linear("output", 1, 512 + 1),
    ],
}
PAPER_32: dict[str, list[Layer]] = {
    "encoder": [
        conv(1, (64, 16, 16), 25 * 3 * 64 + 2 * 64),
        conv(2, (128, 8, 8), 25 * 64 * 128 + 2 * 128),
        conv(3, (256, 4, 4), 25 * 128 * 256 + 2 * 256),
        dense("dense1", (1024,), 4096 * 1024 + 2 * 1024),
        linear("head", 2 * Z, 2 * (1024 * 128 + 128)),
    ],
    "decoder": [
        dense("first", (4096,), 128 * 4096 + 2 * 4096),
        deconv(1, (192, 8, 8), 25 * 256 * 192 + 2 * 192),
        deconv(2, (128, 16, 16), 25 * 192 * 128 + 2 * 128),
        deconv(3, (32, 32, 32), 25 * 128 * 32 + 2 * 32),
        last_conv(32),
    ],
    "discriminator": [
        conv(1, (32, 32, 32), 25 * 3 * 32 + 32, stride=1, norm=False),
        conv(2, (128, 16, 16), 25 * 32 * 128 + 2 * 128),
        conv(3, (192, 8, 8), 25 * 128 * 192 + 2 * 192),
        conv(4, (256, 4, 4), 25 * 192 * 256 + 2 * 256),
        dense("dense1", (512,), 4096 * 512 + 2 * 512),
        linear("output", 1, 512 + 1),
    ],
}
MNIST_MLP: dict[str, list[Layer]] = {
    "encoder": [
        dense("dense1", (1024,), 784 * 1024 + 2 * 1024),
        dense("dense2", (1024,), 1024 * 1024 + 2 * 1024),
        linear("head", 2 * Z, 2 * (1024 * 128 + 128)),
    ],
    "decoder": [
        dense("dense1", (1024,), 128 * 1024 + 2 * 1024),
        dense("dense2", (1024,), 1024 * 1024 + 2 * 1024),
        linear("output", 784, 1024 * 784 + 784),
    ],
    "discriminator": [
        dense("dense1", (1024,), 784 * 1024 + 2 * 1024),
        dense("dense2", (1024,), 1024 * 1024 + 2 * 1024),
        linear("output", 1, 1024 + 1),
    ],
}
SETTINGS_64: dict[str, Any] = {
    "network": "conv",
    "image_shape": (3, 64, 64),
    "encoder": {"channels": (64, 128, 256), "hidden": (2048,)},
    "decoder": {"channels": (256, 128, 32), "first_channels": 256},
    "discriminator": {
        "channels": (32, 128, 256, 256),
        "strides": (1, 2, 2, 2),
        "hidden": (512,),
        "norm_first_layer": False,
    },
}
SETTINGS_32: dict[str, Any] = {
    "network": "conv",
    "image_shape": (3, 32, 32),
    "encoder": {"channels": (64, 128, 256), "hidden": (1024,)},
    "decoder": {"channels": (192, 128, 32), "first_channels": 256},
    "discriminator": {**SETTINGS_64["discriminator"], "channels": (32, 128, 192, 256)},
}
SETTINGS_MLP: dict[str, Any] = {
    "network": "mlp",
    "image_shape": (1, 28, 28),
    "encoder": {"hidden": (1024, 1024)},
    "decoder": {"hidden": (1024, 1024)},
    "discriminator": {"hidden": (1024, 1024)},
}
CASES = [
    pytest.param(table[part], settings, part, id=f"{name}-{part}")
    for name, table, settings in (
        ("64", PAPER_64, SETTINGS_64),
        ("32", PAPER_32, SETTINGS_32),
        ("mlp", MNIST_MLP, SETTINGS_MLP),
    )
    for part in ("encoder", "decoder", "discriminator")
]


def built(settings: dict[str, Any], part: str) -> nn.Module:
    """Return a part without memory for its weights: only shapes are looked at."""
    with torch.device("meta"):
        return build_parts(kind="vaegan", latent_dim=Z, output="tanh", init="paper", **settings)[part]


@pytest.mark.parametrize(("table", "settings", "part"), CASES)
def test_layers_are_the_tables(table: list[Layer], settings: dict[str, Any], part: str) -> None:
    network = built(settings, part)
    reshapes = (nn.Flatten, nn.Unflatten)
    assert [n for n, m in network.named_children() if not isinstance(m, reshapes)] == [r.name for r in table]
    for row in table:
        layer = network.get_submodule(row.name)
        weights = layer
        if row.norm is not None:
            weights = layer.linear if row.kind is nn.Linear else layer.conv
            assert type(layer.norm) is row.norm
            assert layer.activation.name == row.activation
            assert layer.order == "norm-first"
        assert isinstance(weights, row.kind)
        if row.stride is not None:
            assert weights.kernel_size == (5, 5)
            assert weights.stride == (row.stride, row.stride)
        if row.kind is nn.ConvTranspose2d:
            assert (weights.padding, weights.output_padding) == ((2, 2), (1, 1))


@pytest.mark.parametrize(("table", "settings", "part"), CASES)
def test_parameter_counts(table: list[Layer], settings: dict[str, Any], part: str) -> None:
    network = built(settings, part)
    counts = {row.name: sum(p.numel() for p in network.get_submodule(row.name).parameters()) for row in table}
    assert counts == {row.name: row.parameters for row in table}
    assert sum(p.numel() for p in network.parameters()) == sum(row.parameters for row in table)


@pytest.mark.parametrize(("table", "settings", "part"), CASES)
def test_shapes_of_all_maps(table: list[Layer], settings: dict[str, Any], part: str) -> None:
    network = built(settings, part)
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        return hook

    for row in table:
        network.get_submodule(row.name).register_forward_hook(note(row.name))
    inputs = (Z,) if part == "decoder" else settings["image_shape"]
    output = network(torch.zeros(2, *inputs, device="meta"))
    assert shapes == {row.name: row.shape for row in table}
    if part == "encoder":
        assert [tuple(o.shape) for o in output] == [(2, Z), (2, Z)]
    else:
        assert tuple(output.shape) == ((2, *settings["image_shape"]) if part == "decoder" else (2,))


def test_layer_l_is_the_third_stride_2_convolution_before_its_norm() -> None:
    discriminator = built(SETTINGS_64, "discriminator")
    layer = discriminator.get_submodule(discriminator.default_feature_layer)
    assert layer is discriminator.conv4.conv
    assert layer(torch.zeros(2, 256, 16, 16, device="meta")).shape == (2, 256, 8, 8)


def test_an_mlp_with_leaky_units_and_a_narrowing_discriminator() -> None:
    """784-1024-1024-1024, heads 20 + 20; 20-1024-1024-1024-784 tanh; 784-1024-512-256-1; no norms."""
    plain = {"norm": "none", "activation": "leaky"}
    with torch.device("meta"):
        parts = build_parts(
            kind="vaegan",
            network="mlp",
            image_shape=(1, 28, 28),
            latent_dim=20,
            output="tanh",
            init="torch",
            encoder={**plain, "hidden": (1024, 1024, 1024)},
            decoder={**plain, "hidden": (1024, 1024, 1024)},
            discriminator={**plain, "hidden": (1024, 512, 256)},
        )
    widths = {
        name: [(m.in_features, m.out_features) for m in part.modules() if isinstance(m, nn.Linear)]
        for name, part in parts.items()
    }
    assert widths == {
        "encoder": [(784, 1024), (1024, 1024), (1024, 1024), (1024, 40)],
        "decoder": [(20, 1024), (1024, 1024), (1024, 1024), (1024, 784)],
        "discriminator": [(784, 1024), (1024, 512), (512, 256), (256, 1)],
    }
    count = sum(p.numel() for p in parts["discriminator"].parameters())
    assert count == 784 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 256 + 256 + 256 + 1
