"""How long a training may take, reckoned before it starts: operations of a step over a machine's speed.

The operations are counted on tensors without memory, so this takes no time worth mentioning. It is an estimate: matrix
products and convolutions alone are counted, and no machine is equally fast at all of them.
"""

from __future__ import annotations

import contextlib

import torch

from ..config import Config
from ..models import Model
from ..objectives import Noise
from ..operations import count_operations
from .build import build_objective

TWO_CORES = 150e9
"""Operations per second that two cores of a current server make of these networks' steps in float32."""
_FEW = 2  # images; a step's operations grow with their number, and batch norm needs two


def operations_per_image(config: Config, image_shape: tuple[int, int, int]) -> float:
    """Count the operations of a training step, per image.

    Args:
        config: settings of any kind of model but 'vae-dis-l', whose networks are another run's.
        image_shape: (C, H, W).

    Returns:
        Two for each multiply-add, forward and backward, optimisers and penalties left out.
    """
    latent_dim = config.model.latent_dim
    with torch.device("meta"):
        model = Model.from_architecture(config.model.model_dump(mode="json") | {"image_shape": image_shape})
        x, codes = torch.zeros(_FEW, *image_shape), torch.zeros(_FEW, latent_dim)
        noise = Noise(codes, codes, torch.zeros(3, 2, _FEW), seed=0)
        objective = build_objective(config, model.train(), contextlib.nullcontext)
        return count_operations(lambda: objective.step(x, noise)) / _FEW


def expected_seconds(
    config: Config, image_shape: tuple[int, int, int], num_images: int, speed: float = TWO_CORES
) -> float:
    """Estimate how long a training takes.

    Args:
        config: settings.
        image_shape: (C, H, W).
        num_images: images of an epoch.
        speed: operations per second.
    """
    images = config.train.images or config.train.epochs * num_images
    return operations_per_image(config, image_shape) * images / speed
