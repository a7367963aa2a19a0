"""Schedules of the KL weight and the learning rate: pure functions of images seen, so a resume needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class KLContext:
    """What a KL schedule may depend on.

    Attributes:
        epoch: epochs seen, a fraction (images seen over images of the training set).
        length: `loss.kl_epochs`.
        batch_size: images per step over all processes, B.
        latent_dim: dimensions of z.
    """

    epoch: float
    length: float
    batch_size: int
    latent_dim: int


def _sigmoid_of_epoch(c: KLContext) -> float:
    return 1.0 / (1.0 + math.exp(min(5.0 - c.epoch / 3.0, 700.0)))


def _cyclic(c: KLContext) -> float:
    return min(2.0 * (c.epoch % c.length) / c.length, 1.0)


KL_SCHEDULES: dict[str, Callable[[KLContext], float]] = {
    "constant": lambda c: 1.0,
    # Munjal's VAE_GAN: "almost always, KL-term weight equal to 1/batch_size works".
    "inverse-batch": lambda c: 1.0 / c.batch_size,
    "inverse-latent": lambda c: 1.0 / c.latent_dim,
    # Bowman et al., arXiv:1511.06349, section 3.1: a ramp from 0 to 1.
    "linear": lambda c: min(c.epoch / c.length, 1.0),
    # Munjal's VAE_GAN: 1 / (1 + e^(5 - epoch/3)), half way up at epoch 15.
    "sigmoid": _sigmoid_of_epoch,
    # Fu et al., arXiv:1903.10145: a ramp over the first half of each cycle, then 1.
    "cyclic": _cyclic,
    # Grows e-fold every `length` epochs from 1/100, without bound: a counterexample that diverges.
    "exponential": lambda c: 0.01 * math.exp(min(c.epoch / c.length, 80.0)),
}


def kl_factor(name: str, context: KLContext) -> float:
    """Return the factor by which schedule ``name`` multiplies `loss.kl_weight` now."""
    return KL_SCHEDULES[name](context)


LR_SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda progress, final: 1.0,
    "linear": lambda progress, final: 1.0 - progress * (1.0 - final),
    # Loshchilov & Hutter, arXiv:1608.03983, eq. 5, one half period.
    "cosine": lambda progress, final: final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress)),
    # The authors' code: start - (t/T)^0.75 (start - stop).
    "anneal": lambda progress, final: 1.0 - progress**0.75 * (1.0 - final),
    # Constant here; `training.plateau` lowers the rate of each part by its held-out losses.
    "plateau": lambda progress, final: 1.0,
}


def lr_factor(name: str, images: int, total: int, *, final: float = 0.0, warmup: int = 0) -> float:
    """Return the factor on the learning rate after ``images`` of ``total`` images.

    Args:
        name: key of `LR_SCHEDULES`.
        images: images seen.
        total: images of the whole run.
        final: factor reached at the end, in [0, 1].
        warmup: images over which the factor first rises linearly.
    """
    factor = LR_SCHEDULES[name](min(images / max(total, 1), 1.0), final)
    return factor * min((images + 1) / warmup, 1.0) if warmup else factor
