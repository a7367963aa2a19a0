"""Routes of equal say: the adversarial loss weighted so that its gradient keeps a set length beside that of L_llike.

    lambda = r |d gamma L_llike / d x_tilde| / |d L_adv / d (x_tilde, x_p)|

This is the adaptive weight of Esser et al. 2021 ("Taming Transformers", arXiv:2012.09841, eq. 7), who take both
lengths at the weight of the decoder's last layer: with `last_weight` that is done here, for the price of two gradients
of that one layer. At the decoder's images both lengths come without a further pass. It is computed from each batch
anew, so there is no state; in several processes each balances its share of the batch.

The authors' balance gate: the part that is too far ahead waits (their published code; not in the paper's text).

With m the margin around an equilibrium cross entropy e: skip Dis's step if its loss on reals or on fakes is below
e - m, skip Dec's if either is above e + m; if both would be skipped, make both. Enc always steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..losses import wide
from .interface import Losses, gradients_of, trainable

MOST = 1e4
"""A route that has nearly vanished is not blown up beyond this (the bound of the authors' code)."""


def balance_factor(llike: Tensor, adversarial: Iterable[Tensor], ratio: float) -> Tensor:
    """Return what the adversarial gradients are multiplied with, a scalar.

    Args:
        llike: gradient of gamma L_llike at x_tilde, or at the last weight.
        adversarial: gradients of the adversarial loss at each kind of fakes; their common length counts. Or the one at
            the last weight.
        ratio: r, that the adversarial ones shall have to the other's length.
    """
    length = torch.linalg.vector_norm(torch.stack([wide(g).norm() for g in adversarial]))
    factor: Tensor = ratio * wide(llike).norm() / length.clamp(min=torch.finfo(length.dtype).tiny)
    return factor.clamp(max=MOST)


def last_weight(decoder: nn.Module) -> nn.Parameter:
    """Return the weight of the decoder's last layer: of its trainable parameters the last that is no bias or scale."""
    return [weight for weight in trainable(decoder) if weight.dim() >= 2][-1]


def at_weight(weight: Tensor, outputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Tensor:
    """Carry gradients at a decoder's outputs back to one weight; the graph is kept."""
    (found,) = gradients_of(outputs, [weight], cotangents, retain=True)
    return found


@dataclass(frozen=True)
class BalanceGate:
    """Decides which parts step.

    Attributes:
        equilibrium: cross entropy in nats around which the two are balanced (log 2 is a coin toss).
        margin: distance from it at which the gate closes.
    """

    equilibrium: float = 0.68
    margin: float = 0.35

    def closed_to(self, losses: Losses) -> set[str]:
        """Return the parts that skip this step.

        Args:
            losses: of this step; Dis's ``real`` and its fakes' are looked at, the fakes' as their mean.
        """
        terms = {name: float(loss) for name, loss in losses["discriminator"].items() if name != "total"}
        fakes = [loss for name, loss in terms.items() if name != "real"]
        looked_at = (terms["real"], sum(fakes) / len(fakes))
        dis_ahead = min(looked_at) < self.equilibrium - self.margin
        dec_ahead = max(looked_at) > self.equilibrium + self.margin
        if dis_ahead == dec_ahead:
            return set()
        return {"discriminator"} if dis_ahead else {"decoder"}
