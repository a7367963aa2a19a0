"""Balance between L_llike and the adversarial loss, and between decoder and discriminator.

The adaptive weight sets the norm of the adversarial gradient relative to that of L_llike:

    lambda = r |d gamma L_llike / d x_tilde| / |d L_adv / d (x_tilde, x_p)|

(Esser et al. 2021, "Taming Transformers", arXiv:2012.09841, eq. 7). They take both norms at the weight of the decoder's
last layer (`last_weight`), which costs two gradients of that layer; at the decoder's images both norms need no further
pass. The weight is computed from each batch alone, so it has no state; with several processes each balances its share
of the batch.

The gate of the paper's authors (in their published code, not in the text) makes the network that is too strong wait:
with an equilibrium cross entropy e and a margin m, Dis skips its step if its loss on reals or on fakes is below e - m,
Dec skips its own if either is above e + m; if both would skip, both step. Enc always steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..losses import wide
from .interface import Losses, trainable

MOST = 1e4
"""Upper bound of the adaptive weight (as in the code of Esser et al.)."""


def adaptive_weight(llike: Tensor, adversarial: Iterable[Tensor], ratio: float, most: float = MOST) -> Tensor:
    """Return the factor on the adversarial gradients, a scalar in [0, most], for the wanted ratio r of norms.

    The norms are of the gradient of gamma L_llike at x_tilde and, jointly, of those of the adversarial loss at each
    kind of fakes; or of both at the last weight.
    """
    norm = torch.linalg.vector_norm(torch.stack([wide(g).norm() for g in adversarial]))
    factor: Tensor = ratio * wide(llike).norm() / norm.clamp(min=torch.finfo(norm.dtype).tiny)
    return factor.clamp(max=most)


def last_weight(decoder: nn.Module) -> nn.Parameter:
    """Return the weight of the decoder's last layer: of its trainable parameters the last that is no bias or scale."""
    return [weight for weight in trainable(decoder) if weight.dim() >= 2][-1]


@dataclass(frozen=True)
class BalanceGate:
    """Decides which of decoder and discriminator skip a step.

    They are balanced around ``equilibrium`` nats of cross entropy (log 2 is a coin toss); at ``margin`` from it the
    gate closes.
    """

    equilibrium: float = 0.68
    margin: float = 0.35

    def skipped_parts(self, losses: Losses) -> set[str]:
        """Return the parts that skip this step, by Dis's loss of ``real`` images and the mean loss of its fakes."""
        terms = {name: float(loss) for name, loss in losses["discriminator"].items() if name != "total"}
        fakes = [loss for name, loss in terms.items() if name != "real"]
        compared = (terms["real"], sum(fakes) / len(fakes))
        dis_ahead = min(compared) < self.equilibrium - self.margin
        dec_ahead = max(compared) > self.equilibrium + self.margin
        if dis_ahead == dec_ahead:
            return set()
        return {"discriminator"} if dis_ahead else {"decoder"}
