"""The three networks of the benchmarks, as arguments of `vaegan.networks.build_parts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LEAKY = {"norm": "none", "activation": "leaky"}


@dataclass(frozen=True)
class Case:
    """A network and its batch size."""

    name: str
    title: str
    batch_size: int
    architecture: dict[str, Any]


CASES = {
    case.name: case
    for case in (
        Case(
            "mlp",
            "MLP 784-1024-1024-1024-20",
            128,
            {
                "kind": "vaegan",
                "network": "mlp",
                "image_shape": (1, 28, 28),
                "latent_dim": 20,
                "output": "tanh",
                "init": "torch",
                "encoder": {"hidden": (1024, 1024, 1024), **LEAKY},
                "decoder": {"hidden": (1024, 1024, 1024), **LEAKY},
                "discriminator": {"hidden": (1024, 512, 256), **LEAKY},
            },
        ),
        Case(
            "conv28",
            "conv 28x28 (32-64 channels, batch norm)",
            128,
            {
                "kind": "vaegan",
                "network": "conv",
                "image_shape": (1, 28, 28),
                "latent_dim": 20,
                "output": "tanh",
                "init": "paper",
                "encoder": {"channels": (32, 64), "hidden": (256,)},
                "decoder": {"first_channels": 64, "channels": (64, 32)},
                "discriminator": {"channels": (32, 64), "hidden": (256,)},
            },
        ),
        Case(
            "paper64",
            "the paper's 64x64",
            32,
            {
                "kind": "vaegan",
                "network": "conv",
                "image_shape": (3, 64, 64),
                "latent_dim": 128,
                "output": "tanh",
                "init": "paper",
                "encoder": {"channels": (64, 128, 256), "hidden": (2048,)},
                "decoder": {"first_channels": 256, "channels": (256, 128, 32)},
                "discriminator": {
                    "channels": (32, 128, 256, 256),
                    "strides": (1, 2, 2, 2),
                    "norm_first_layer": False,
                    "hidden": (512,),
                },
            },
        ),
    )
}
