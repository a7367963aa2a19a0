"""Figures of a snapshot that the checks of `health` look at."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.batches import to_unit
from ..losses import kl_per_dimension
from ..models import Model
from .health import DEAD_NATS
from .loop import Trainer

MOST_IMAGES = 512


def weight_lengths(trainer: Trainer) -> dict[str, float]:
    """Length of all weights of each part."""
    return {part: float(norm) for part, norm in trainer.weight_norms().items()}


def unit_figures(model: Model, images: Tensor, c: Tensor | None = None) -> dict[str, float | int] | None:
    """How much the dimensions of the code say about held-out images.

    Args:
        model: whose encoder is asked, in evaluation.
        images: uint8 (N, H, W, C), of which the first `MOST_IMAGES` are used.
        c: conditions (N, A) of these images, for a conditional model.

    Returns:
        ``kl`` in nats per image, ``dead`` dimensions below `health.DEAD_NATS` on average, ``of`` how many; None without
        an encoder that gives a distribution.
    """
    if model.encoder is None or model.kind == "ae":
        return None
    condition = None if c is None else c[:MOST_IMAGES]
    mu, logvar = model.posterior(to_unit(images[:MOST_IMAGES]), condition=condition)
    nats = kl_per_dimension(mu, logvar).mean(0)
    return {"kl": float(nats.sum()), "dead": int(torch.sum(nats < DEAD_NATS)), "of": len(nats)}
