"""Adaptive discriminator augmentation: the probability p that keeps Dis from memorising the training images.

    r_t = E[sign(Dis(T(x)))]        of real training images: 0 at chance, 1 if Dis recognises each of them
    p <- p + n / N sign(r_t - target)

with n images since the last update and N images in which p may go from 0 to 1 (Karras et al. 2020, "Training GANs with
limited data", arXiv:2006.06676, section 3; their target is 0.6, N 500,000, with an update every four batches).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..losses import wide

STEPS_BETWEEN = 4
"""Steps from one update of p to the next."""


class AdaptiveProbability:
    """The probability of augmentation, adapted to how far the discriminator overfits.

    ``p`` is a scalar, changed in place, from 0 on; ``target`` is that of r_t, in (0, 1); ``num_images`` is N.
    """

    def __init__(self, p: Tensor, target: float, num_images: int) -> None:
        self.p, self.target, self.num_images = p.zero_(), target, num_images
        self._total, self._images, self._steps = torch.zeros_like(p), 0, 0

    def update(self, sign: Tensor, images: int) -> None:
        """Add a step's `mean_sign` of the real images, a scalar, and its number of images; move p every few steps."""
        self._total += sign.to(self._total)
        self._images += images
        self._steps += 1
        if self._steps == STEPS_BETWEEN:
            r_t = self._total / STEPS_BETWEEN
            self.p += self._images / self.num_images * torch.sign(r_t - self.target)
            self.p.clamp_(0.0, 1.0)
            self._total, self._images, self._steps = torch.zeros_like(self.p), 0, 0

    def state(self) -> dict[str, Any]:
        """Return the state as plain data, for a checkpoint."""
        return {"p": float(self.p), "total": float(self._total), "images": self._images, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state` returned."""
        self.p.fill_(state["p"])
        self._total = torch.full_like(self.p, state["total"])
        self._images, self._steps = state["images"], state["steps"]


def mean_sign(logits: Tensor) -> Tensor:
    """Mean sign of logits (B,) or (B, P), a scalar: 1 where all are taken for real, -1 where none is."""
    return torch.sign(wide(logits.detach())).mean()
