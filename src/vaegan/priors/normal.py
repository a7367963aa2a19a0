"""p(z) = N(0, I), towards which the encoder was pulled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from .prior import PlainPrior, Progress


class Normal(PlainPrior):
    """The standard normal distribution; nothing is fitted, and labels change nothing.

    Args:
        latent_dim: Z.
    """

    name = "normal"

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = latent_dim

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Return N(0, I) of the codes' dimension."""
        return cls(codes.shape[1])

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        return torch.randn((num, self.latent_dim), generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log N(z; 0, I), `(B,)`."""
        return log_normal(z.double())

    def _check_labels(self, num: int, labels: Tensor) -> None:
        """Take any: p(z|label) = p(z)."""

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return N(0, I)."""
        return cls(int(description["latent_dim"]))


def log_normal(y: Tensor) -> Tensor:
    """Return log N(y; 0, I), `(B,)`, of `(B, D)`."""
    return -0.5 * y.square().sum(1) - 0.5 * y.shape[1] * math.log(2 * math.pi)
