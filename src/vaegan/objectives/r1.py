"""The R1 penalty's gradient: keeps Dis flat around real images, now and then with a weight to match."""

from __future__ import annotations

from torch import Tensor, nn

from ..losses import r1_penalty
from .passes import frozen_statistics, seeded
from .step import given, gradients_of, trainable
from .vaegan import Autocast


def r1_gradients(
    discriminator: nn.Module, x: Tensor, weight: float, *, autocast: Autocast, seed: int, c: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Return the penalty and ``weight`` times its gradient for each trainable parameter of Dis.

    Args:
        discriminator: Dis.
        x: real images in the network's range, (B, C, H, W).
        weight: of the penalty, the steps between penalties included.
        autocast: makes the context of the forward pass.
        seed: of dropout masks.
        c: conditions (B, A) of a conditional Dis.
    """
    x = x.detach().requires_grad_()
    with autocast(), seeded(seed, x.device), frozen_statistics(discriminator):  # x was counted in the step
        logits = discriminator(x, *given(c)).flatten()
    penalty = r1_penalty(logits, x)
    return penalty.detach(), gradients_of([weight * penalty], list(trainable(discriminator)))
