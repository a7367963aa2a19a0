"""How well Dis tells real images from fakes: figures out of logits that a step has computed anyway."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..losses import wide


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
