"""How often to augment: as often as keeps the discriminator from learning the training images by heart.

    r_t = E[sign(Dis(T(x)))]        of real training images: 0 where it cannot tell them, 1 where it knows each
    p <- p + n / N sign(r_t - target)

with n images seen since the last look and N images in which p may go from 0 to 1 (Karras et al. 2020, "Training GANs
with limited data", arXiv:2006.06676, section 3; their target is 0.6, N 500,000, and they look every four batches).

How well Dis tells real images from fakes: figures out of logits that a step has computed anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..losses import wide

STEPS_BETWEEN = 4


class AdaptiveProbability:
    """The probability of augmentation, moved towards what the discriminator needs.

    Args:
        p: a scalar, changed in place; it starts from 0.
        target: of r_t, in (0, 1).
        num_images: N.
    """

    def __init__(self, p: Tensor, target: float, num_images: int) -> None:
        self.p, self.target, self.num_images = p.zero_(), target, num_images
        self._total, self._images, self._steps = torch.zeros_like(p), 0, 0

    def look(self, sign: Tensor, images: int) -> None:
        """Take in a step: the mean sign of its real images' logits, a scalar, and how many images it saw."""
        self._total += sign.to(self._total)
        self._images += images
        self._steps += 1
        if self._steps == STEPS_BETWEEN:
            r_t = self._total / STEPS_BETWEEN
            self.p += self._images / self.num_images * torch.sign(r_t - self.target)
            self.p.clamp_(0.0, 1.0)
            self._total, self._images, self._steps = torch.zeros_like(self.p), 0, 0

    def state(self) -> dict[str, Any]:
        """All that decides what comes next, as plain data."""
        return {"p": float(self.p), "total": float(self._total), "images": self._images, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back, or on, to a `state`."""
        self.p.fill_(state["p"])
        self._total = torch.full_like(self.p, state["total"])
        self._images, self._steps = state["images"], state["steps"]


def logit_routes(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean logit of each kind, and how often Dis tells each kind of fakes from real images.

    Args:
        logits: kind -> logits (B,), or (B, P), of which the mean over patches counts; ``real`` and fakes.

    Returns:
        ``discriminator/logit-KIND`` of all kinds, ``discriminator/accuracy-KIND`` of fakes: scalars.
    """
    logits = {kind: wide(a.detach()).reshape(len(a), -1).mean(1) for kind, a in logits.items()}
    means = {f"discriminator/logit-{kind}": a.mean() for kind, a in logits.items()}
    fakes = {kind: a for kind, a in logits.items() if kind != "real"}
    return means | {f"discriminator/accuracy-{kind}": told_apart(logits["real"], a) for kind, a in fakes.items()}


def mean_sign(logits: Tensor) -> Tensor:
    """Mean sign of logits (B,) or (B, P), a scalar: 1 where all are taken for real, -1 where none is."""
    return torch.sign(wide(logits.detach())).mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Share of pairs of a real image and a fake whose real one has the larger logit, ties counting half.

    It is the accuracy of a choice between two, and the area under the ROC curve (Hanley and McNeil 1982): 0.5 by
    chance, 1 if all are told. It needs no threshold, which would move with the number and weight of the fakes.

    Args:
        real: logits (N,).
        fake: logits (M,).
    """
    difference = real[:, None] - fake[None, :]
    return (0.5 * (1.0 + torch.sign(difference))).mean()
