"""The networks of the recipes, layer for layer: shapes and parameter counts written down by hand from their origins.

A row is a layer's name, the shape that comes out, and its parameters: kernel area x inputs x outputs weights, a bias
for each output unless batch norm comes right behind, two numbers for each channel or unit of a batch norm.
"""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks import build_parts, code_shape
from vaegan.networks.residual import ResidualDecoder, ResidualEncoder
from vaegan.recipes import RECIPES

Rows = list[tuple[str, tuple[int, ...], int]]


def rows_of(name: str, part: str) -> tuple[Rows, nn.Module]:
    """Name, output shape and parameters of each layer that has any, by passing a batch without memory through."""
    recipe = RECIPES[name]
    with torch.device("meta"):
        network = build_parts(image_shape=recipe.image_shape, **recipe.config.model.model_dump())[part]
    rows: Rows = []

    def note(layer: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            rows.append((layer, tuple(output.shape[1:]), sum(p.numel() for p in module.parameters())))

        return hook

    for layer, module in network.named_children():
        if any(True for _ in module.parameters()):
            module.register_forward_hook(note(layer))
    code = (prod(code_shape({"image_shape": recipe.image_shape, **recipe.config.model.model_dump()})),)
    shape = code if part == "decoder" else recipe.image_shape
    network(torch.zeros(2, *shape, device="meta"))
    assert sum(count for *_, count in rows) == sum(p.numel() for p in network.parameters())
    return rows, network


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return kernel**2 * inputs * outputs + outputs


def block(inputs: int, outputs: int) -> int:
    """Two norms, two convolutions, and a way past them where the width changes."""
    past = conv(inputs, outputs, 1) if inputs != outputs else 0
    return 2 * inputs + conv(inputs, outputs) + 2 * outputs + conv(outputs, outputs) + past


def middle(width: int) -> int:
    return 2 * block(width, width) + 2 * width + 4 * (width * width + width)


def of_patches() -> Rows:
    """Group norm behind all but the first: two numbers a channel, and no bias before it."""
    return [
        ("conv1", (64, 64, 64), 9 * 3 * 64 + 64),
        ("conv2", (128, 32, 32), 9 * 64 * 128 + 2 * 128),
        ("conv3", (256, 16, 16), 9 * 128 * 256 + 2 * 256),
        ("conv4", (512, 16, 16), 9 * 256 * 512 + 2 * 512),
        ("output", (1, 16, 16), 9 * 512 + 1),
    ]


def paper_64(z: int) -> dict[str, Rows]:
    """arXiv:1512.09300, Table 1."""
    return {
        "encoder": [
            ("conv1", (64, 32, 32), 25 * 3 * 64 + 2 * 64),
            ("conv2", (128, 16, 16), 25 * 64 * 128 + 2 * 128),
            ("conv3", (256, 8, 8), 25 * 128 * 256 + 2 * 256),
            ("dense1", (2048,), 16384 * 2048 + 2 * 2048),
            ("head", (2 * z,), 2048 * 2 * z + 2 * z),
        ],
        "decoder": [
            ("first", (16384,), z * 16384 + 2 * 16384),
            ("up1", (256, 16, 16), 25 * 256 * 256 + 2 * 256),
            ("up2", (128, 32, 32), 25 * 256 * 128 + 2 * 128),
            ("up3", (32, 64, 64), 25 * 128 * 32 + 2 * 32),
            ("output", (3, 64, 64), 25 * 32 * 3 + 3),
        ],
        "discriminator": [
            ("conv1", (32, 64, 64), 25 * 3 * 32 + 32),
            ("conv2", (128, 32, 32), 25 * 32 * 128 + 2 * 128),
            ("conv3", (256, 16, 16), 25 * 128 * 256 + 2 * 256),
            ("conv4", (256, 8, 8), 25 * 256 * 256 + 2 * 256),
            ("dense1", (512,), 16384 * 512 + 2 * 512),
            ("output", (1,), 512 + 1),
        ],
    }


TABLES: dict[str, dict[str, Rows]] = {
    "larsen-celeba64": paper_64(128),
    "larsen-lfw64": paper_64(128),
    "larsen-stl64": paper_64(128),
    "larsen-cifar32": {
        "encoder": [
            ("conv1", (64, 16, 16), 25 * 3 * 64 + 2 * 64),
            ("conv2", (128, 8, 8), 25 * 64 * 128 + 2 * 128),
            ("conv3", (256, 4, 4), 25 * 128 * 256 + 2 * 256),
            ("dense1", (1024,), 4096 * 1024 + 2 * 1024),
            ("head", (256,), 1024 * 256 + 256),
        ],
        "decoder": [
            ("first", (4096,), 128 * 4096 + 2 * 4096),
            ("up1", (192, 8, 8), 25 * 256 * 192 + 2 * 192),
            ("up2", (128, 16, 16), 25 * 192 * 128 + 2 * 128),
            ("up3", (32, 32, 32), 25 * 128 * 32 + 2 * 32),
            ("output", (3, 32, 32), 25 * 32 * 3 + 3),
        ],
        "discriminator": [
            ("conv1", (32, 32, 32), 25 * 3 * 32 + 32),
            ("conv2", (128, 16, 16), 25 * 32 * 128 + 2 * 128),
            ("conv3", (192, 8, 8), 25 * 128 * 192 + 2 * 192),
            ("conv4", (256, 4, 4), 25 * 192 * 256 + 2 * 256),
            ("dense1", (512,), 4096 * 512 + 2 * 512),
            ("output", (1,), 512 + 1),
        ],
    },
    "larsen-mnist": {
        "encoder": [
            ("dense1", (1024,), 784 * 1024 + 2 * 1024),
            ("dense2", (1024,), 1024 * 1024 + 2 * 1024),
            ("head", (256,), 1024 * 256 + 256),
        ],
        "decoder": [
            ("dense1", (1024,), 128 * 1024 + 2 * 1024),
            ("dense2", (1024,), 1024 * 1024 + 2 * 1024),
            ("output", (784,), 1024 * 784 + 784),
        ],
        "discriminator": [
            ("dense1", (1024,), 784 * 1024 + 1024),
            ("dense2", (1024,), 1024 * 1024 + 2 * 1024),
            ("output", (1,), 1024 + 1),
        ],
    },
    # c64 and c128 with kernel 4, stride 2, no padding: 28, 13, 5; 3200-1024-128 and 64-1024-4608; 6x6x128, 13, 28.
    "shuntw-mnist": {
        "encoder": [
            ("conv1", (64, 13, 13), 16 * 1 * 64 + 2 * 64),
            ("conv2", (128, 5, 5), 16 * 64 * 128 + 2 * 128),
            ("dense1", (1024,), 3200 * 1024 + 2 * 1024),
            ("head", (128,), 1024 * 128 + 128),
        ],
        "decoder": [
            ("dense1", (1024,), 64 * 1024 + 2 * 1024),
            ("first", (4608,), 1024 * 4608 + 2 * 4608),
            ("up1", (64, 13, 13), 16 * 128 * 64 + 2 * 64),
            ("output", (1, 28, 28), 16 * 64 * 1 + 1),
        ],
        "discriminator": [
            ("conv1", (64, 13, 13), 16 * 1 * 64 + 2 * 64),
            ("conv2", (128, 5, 5), 16 * 64 * 128 + 2 * 128),
            ("dense1", (1024,), 3200 * 1024 + 2 * 1024),
            ("output", (1,), 1024 + 1),
        ],
    },
    # The same pattern at 64x64, padded, with 16 features of 5 numbers each for minibatch discrimination.
    "shuntw-faces64": {
        "encoder": [
            ("conv1", (64, 32, 32), 16 * 3 * 64 + 2 * 64),
            ("conv2", (128, 16, 16), 16 * 64 * 128 + 2 * 128),
            ("conv3", (256, 8, 8), 16 * 128 * 256 + 2 * 256),
            ("dense1", (1024,), 16384 * 1024 + 2 * 1024),
            ("head", (4096,), 1024 * 4096 + 4096),
        ],
        "decoder": [
            ("dense1", (1024,), 2048 * 1024 + 2 * 1024),
            ("first", (16384,), 1024 * 16384 + 2 * 16384),
            ("up1", (128, 16, 16), 16 * 256 * 128 + 2 * 128),
            ("up2", (64, 32, 32), 16 * 128 * 64 + 2 * 64),
            ("output", (3, 64, 64), 16 * 64 * 3 + 3),
        ],
        "discriminator": [
            ("conv1", (64, 32, 32), 16 * 3 * 64 + 2 * 64),
            ("conv2", (128, 16, 16), 16 * 64 * 128 + 2 * 128),
            ("conv3", (256, 8, 8), 16 * 128 * 256 + 2 * 256),
            ("dense1", (1024,), 16384 * 1024 + 2 * 1024),
            ("minibatch", (1040,), 1024 * 16 * 5),
            ("output", (1,), 1040 + 1),
        ],
    },
    "tang-vae64": {
        "encoder": [
            ("conv1", (64, 32, 32), 25 * 3 * 64 + 2 * 64),
            ("conv2", (128, 16, 16), 25 * 64 * 128 + 2 * 128),
            ("conv3", (256, 8, 8), 25 * 128 * 256 + 2 * 256),
            ("dense1", (512,), 16384 * 512 + 2 * 512),
            ("head", (64,), 512 * 64 + 64),
        ],
        "decoder": [
            ("first", (16384,), 32 * 16384 + 2 * 16384),
            ("up1", (256, 16, 16), 25 * 256 * 256 + 2 * 256),
            ("up2", (128, 32, 32), 25 * 256 * 128 + 2 * 128),
            ("up3", (32, 64, 64), 25 * 128 * 32 + 2 * 32),
            ("output", (3, 64, 64), 25 * 32 * 3 + 3),
        ],
    },
    "tang-vaegan64": {
        "encoder": [
            ("conv1", (64, 32, 32), 25 * 3 * 64 + 2 * 64),
            ("conv2", (128, 16, 16), 25 * 64 * 128 + 2 * 128),
            ("conv3", (256, 8, 8), 25 * 128 * 256 + 2 * 256),
            ("dense1", (512,), 16384 * 512 + 2 * 512),
            ("head", (1024,), 512 * 1024 + 1024),
        ],
        "decoder": [
            ("first", (16384,), 512 * 16384 + 2 * 16384),
            ("up1", (256, 16, 16), 25 * 256 * 256 + 2 * 256),
            ("up2", (128, 32, 32), 25 * 256 * 128 + 2 * 128),
            ("up3", (32, 64, 64), 25 * 128 * 32 + 2 * 32),
            ("output", (3, 64, 64), 25 * 32 * 3 + 3),
        ],
        "discriminator": [
            ("conv1", (128, 32, 32), 25 * 3 * 128 + 128),
            ("conv2", (256, 16, 16), 25 * 128 * 256 + 2 * 256),
            ("conv3", (256, 16, 16), 25 * 256 * 256 + 2 * 256),
            ("dense1", (256,), 65536 * 256 + 2 * 256),
            ("output", (1,), 256 + 1),
        ],
    },
    "edchengg-mnist": {
        "encoder": [
            ("dense1", (1024,), 784 * 1024 + 1024),
            ("dense2", (1024,), 1024 * 1024 + 1024),
            ("dense3", (1024,), 1024 * 1024 + 1024),
            ("head", (40,), 2 * (1024 * 20 + 20)),
        ],
        "decoder": [
            ("dense1", (1024,), 20 * 1024 + 1024),
            ("dense2", (1024,), 1024 * 1024 + 1024),
            ("dense3", (1024,), 1024 * 1024 + 1024),
            ("output", (784,), 1024 * 784 + 784),
        ],
        "discriminator": [
            ("dense1", (1024,), 784 * 1024 + 1024),
            ("dense2", (512,), 1024 * 512 + 512),
            ("dense3", (256,), 512 * 256 + 256),
            ("output", (1,), 256 + 1),
        ],
    },
    "munjal-mnist": {
        "encoder": [
            ("conv1", (16, 14, 14), 9 * 1 * 16 + 16),
            ("conv2", (32, 7, 7), 9 * 16 * 32 + 32),
            ("conv3", (64, 4, 4), 9 * 32 * 64 + 64),
            ("head", (64,), 2 * (1024 * 32 + 32)),
        ],
        "decoder": [
            ("first", (1024,), 32 * 1024 + 1024),
            ("up1", (32, 7, 7), 9 * 64 * 32 + 32),
            ("up2", (16, 14, 14), 9 * 32 * 16 + 16),
            ("output", (1, 28, 28), 9 * 16 * 1 + 1),
        ],
        "discriminator": [
            ("conv1", (16, 14, 14), 9 * 1 * 16 + 16),
            ("conv2", (32, 7, 7), 9 * 16 * 32 + 32),
            ("conv3", (64, 4, 4), 9 * 32 * 64 + 64),
            ("output", (1,), 1024 + 1),
        ],
    },
    # arXiv:2112.10752: kl-f4 has 55.3 million parameters in encoder and decoder.
    "kl-f4": {
        "encoder": [
            ("input", (128, 128, 128), conv(3, 128)),
            ("stage1", (128, 64, 64), 2 * block(128, 128) + conv(128, 128)),
            ("stage2", (256, 32, 32), block(128, 256) + block(256, 256) + conv(256, 256)),
            ("stage3", (512, 32, 32), block(256, 512) + block(512, 512)),
            ("middle", (512, 32, 32), middle(512)),
            ("norm", (512, 32, 32), 2 * 512),
            ("head", (6, 32, 32), conv(512, 6)),
            ("quant", (6, 32, 32), conv(6, 6, 1)),
        ],
        "decoder": [
            ("post_quant", (3, 32, 32), conv(3, 3, 1)),
            ("first", (512, 32, 32), conv(3, 512)),
            ("middle", (512, 32, 32), middle(512)),
            ("stage1", (512, 64, 64), 3 * block(512, 512) + conv(512, 512)),
            ("stage2", (256, 128, 128), block(512, 256) + 2 * block(256, 256) + conv(256, 256)),
            ("stage3", (128, 128, 128), block(256, 128) + 2 * block(128, 128)),
            ("norm", (128, 128, 128), 2 * 128),
            ("output", (3, 128, 128), conv(128, 3)),
        ],
        "discriminator": of_patches(),
    },
    "kl-f8": {
        "encoder": [
            ("input", (128, 128, 128), conv(3, 128)),
            ("stage1", (128, 64, 64), 2 * block(128, 128) + conv(128, 128)),
            ("stage2", (256, 32, 32), block(128, 256) + block(256, 256) + conv(256, 256)),
            ("stage3", (512, 16, 16), block(256, 512) + block(512, 512) + conv(512, 512)),
            ("stage4", (512, 16, 16), 2 * block(512, 512)),
            ("middle", (512, 16, 16), middle(512)),
            ("norm", (512, 16, 16), 2 * 512),
            ("head", (8, 16, 16), conv(512, 8)),
            ("quant", (8, 16, 16), conv(8, 8, 1)),
        ],
        "decoder": [
            ("post_quant", (4, 16, 16), conv(4, 4, 1)),
            ("first", (512, 16, 16), conv(4, 512)),
            ("middle", (512, 16, 16), middle(512)),
            ("stage1", (512, 32, 32), 3 * block(512, 512) + conv(512, 512)),
            ("stage2", (512, 64, 64), 3 * block(512, 512) + conv(512, 512)),
            ("stage3", (256, 128, 128), block(512, 256) + 2 * block(256, 256) + conv(256, 256)),
            ("stage4", (128, 128, 128), block(256, 128) + 2 * block(128, 128)),
            ("norm", (128, 128, 128), 2 * 128),
            ("output", (3, 128, 128), conv(128, 3)),
        ],
        "discriminator": of_patches(),
    },
    # Batch norm behind the activation leaves the convolution its bias.
    "munjal-celeba64": {
        "encoder": [
            ("conv1", (64, 32, 32), 25 * 3 * 64 + 3 * 64),
            ("conv2", (128, 16, 16), 25 * 64 * 128 + 3 * 128),
            ("conv3", (256, 8, 8), 25 * 128 * 256 + 3 * 256),
            ("conv4", (512, 8, 8), 25 * 256 * 512 + 3 * 512),
            ("head", (256,), 32768 * 256 + 256),
        ],
        "decoder": [
            ("first", (32768,), 128 * 32768 + 3 * 32768),
            ("up1", (256, 16, 16), 25 * 512 * 256 + 3 * 256),
            ("up2", (128, 32, 32), 25 * 256 * 128 + 3 * 128),
            ("up3", (64, 64, 64), 25 * 128 * 64 + 3 * 64),
            ("output", (3, 64, 64), 25 * 64 * 3 + 3),
        ],
        "discriminator": [
            ("conv1", (64, 32, 32), 25 * 3 * 64 + 3 * 64),
            ("conv2", (128, 16, 16), 25 * 64 * 128 + 3 * 128),
            ("conv3", (256, 8, 8), 25 * 128 * 256 + 3 * 256),
            ("conv4", (512, 8, 8), 25 * 256 * 512 + 3 * 512),
            ("output", (1,), 32768 + 1),
        ],
    },
    "kmeans-mnist-ae": {
        "encoder": [
            ("conv1", (32, 14, 14), 9 * 1 * 32 + 32),
            ("conv2", (64, 7, 7), 9 * 32 * 64 + 64),
            ("dense1", (128,), 3136 * 128 + 128),
            ("head", (10,), 128 * 10 + 10),
        ],
        "decoder": [
            ("dense1", (128,), 10 * 128 + 128),
            ("first", (3136,), 128 * 3136 + 3136),
            ("up1", (32, 14, 14), 9 * 64 * 32 + 32),
            ("output", (1, 28, 28), 9 * 32 * 1 + 1),
        ],
    },
    "bce-mnist-vae": {
        "encoder": [
            ("conv1", (32, 14, 14), 9 * 1 * 32 + 32),
            ("conv2", (64, 7, 7), 9 * 32 * 64 + 64),
            ("dense1", (128,), 3136 * 128 + 128),
            ("head", (40,), 128 * 40 + 40),
        ],
        "decoder": [
            ("dense1", (128,), 20 * 128 + 128),
            ("first", (3136,), 128 * 3136 + 3136),
            ("up1", (32, 14, 14), 9 * 64 * 32 + 32),
            ("output", (1, 28, 28), 9 * 32 * 1 + 1),
        ],
    },
    "mnist-gan": {
        "decoder": [
            ("dense1", (256,), 100 * 256 + 256),
            ("dense2", (512,), 256 * 512 + 2 * 512),
            ("dense3", (1024,), 512 * 1024 + 2 * 1024),
            ("output", (784,), 1024 * 784 + 784),
        ],
        "discriminator": [
            ("dense1", (1024,), 784 * 1024 + 1024),
            ("dense2", (512,), 1024 * 512 + 512),
            ("dense3", (256,), 512 * 256 + 256),
            ("output", (1,), 256 + 1),
        ],
    },
    "mnist-dcgan": {
        "decoder": [
            ("first", (6272,), 100 * 6272 + 2 * 6272),
            ("up1", (64, 14, 14), 25 * 128 * 64 + 2 * 64),
            ("output", (1, 28, 28), 25 * 64 * 1 + 1),
        ],
        "discriminator": [
            ("conv1", (64, 14, 14), 25 * 1 * 64 + 64),
            ("conv2", (128, 7, 7), 25 * 64 * 128 + 2 * 128),
            ("output", (1,), 6272 + 1),
        ],
    },
}
# Recipe -> non-linearity and order of norm in each part that is not the paper's ReLU behind the norm, and z's image.
ACTIVATIONS: dict[str, dict[str, tuple[str, str]]] = {
    "shuntw-mnist": {"encoder": ("leaky", "norm-first"), "discriminator": ("leaky", "norm-first")},
    "shuntw-faces64": {"encoder": ("leaky", "norm-first"), "discriminator": ("leaky", "norm-first")},
    "tang-vae64": dict.fromkeys(("encoder", "decoder"), ("leaky", "norm-first")),
    "tang-vaegan64": dict.fromkeys(("encoder", "decoder", "discriminator"), ("leaky", "norm-first")),
    "edchengg-mnist": dict.fromkeys(("encoder", "decoder", "discriminator"), ("leaky", "norm-first")),
    **{name: {"discriminator": ("leaky", "norm-first")} for name in ("kl-f4", "kl-f8")},
    "munjal-mnist": {"encoder": ("leaky", "norm-first"), "discriminator": ("leaky", "norm-first")},
    "munjal-celeba64": dict.fromkeys(("encoder", "decoder", "discriminator"), ("relu", "activation-first")),
    "mnist-gan": dict.fromkeys(("decoder", "discriminator"), ("leaky", "norm-first")),
    "mnist-dcgan": {"discriminator": ("leaky", "norm-first")},
}
OUTPUTS = {
    **dict.fromkeys(("kl-f4", "kl-f8"), "centred"),
    **dict.fromkeys(("larsen-celeba64", "larsen-lfw64", "larsen-stl64", "larsen-cifar32", "munjal-celeba64"), "tanh"),
    **dict.fromkeys(("edchengg-mnist", "shuntw-faces64", "mnist-gan", "mnist-dcgan"), "tanh"),
}


def test_every_recipe_after_others_is_here() -> None:
    ours = {"digits", "mnist-mlp", "mnist-conv", "small-32", "map-32", "map-64", "photos-32", "photos-64"}
    ours |= {"conv-32", "conv-64", "finetune-vae"}
    assert set(RECIPES) - ours == set(TABLES)


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, table in TABLES.items() for part in table])
def test_layers_by_hand(name: str, part: str) -> None:
    rows, network = rows_of(name, part)
    assert rows == TABLES[name][part]
    activation, order = ACTIVATIONS.get(name, {}).get(part, ("relu", "norm-first"))
    blocks = [module for module in network.modules() if hasattr(module, "order")]
    assert {(block.activation.name, block.order) for block in blocks} <= {(activation, order)}
    assert blocks or isinstance(network, (ResidualEncoder, ResidualDecoder))


@pytest.mark.parametrize("name", TABLES)
def test_what_comes_out(name: str) -> None:
    model = RECIPES[name].config.model
    assert model.output == OUTPUTS.get(name, "sigmoid")
    with torch.device("meta"):
        parts = build_parts(image_shape=RECIPES[name].image_shape, **model.model_dump())
    assert set(parts) == set(TABLES[name])


def test_dropout_and_strides_of_edchengg_tang_and_shuntw() -> None:
    for part in TABLES["edchengg-mnist"]:
        drops = [m.p for m in rows_of("edchengg-mnist", part)[1].modules() if isinstance(m, nn.Dropout)]
        assert drops == [0.1] * 3
    _, dis = rows_of("tang-vaegan64", "discriminator")
    assert [(m.kernel_size, m.stride) for m in dis.modules() if isinstance(m, nn.Conv2d)] == [
        ((5, 5), (2, 2)),
        ((5, 5), (2, 2)),
        ((5, 5), (1, 1)),
    ]
    _, enc = rows_of("shuntw-mnist", "encoder")
    assert [(m.kernel_size, m.stride, m.padding) for m in enc.modules() if isinstance(m, nn.Conv2d)] == [
        ((4, 4), (2, 2), (0, 0))
    ] * 2
