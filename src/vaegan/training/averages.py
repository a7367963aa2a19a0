"""Exponential moving averages of weights (EMA): what is saved and shown, while the live weights train.

    average <- decay average + (1 - decay) weight

Buffers, such as the running statistics of batch norms, are copied.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn


class Averages:
    """Averaged copies of some parts.

    Args:
        parts: the live parts by name.
        decay: per step, in [0, 1). Early on the average follows faster: min(decay, (1 + steps) / (10 + steps)).
    """

    def __init__(self, parts: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.live = dict(parts)
        self.parts = {name: copy.deepcopy(part).requires_grad_(False) for name, part in parts.items()}

    def update(self, steps: int) -> None:
        """Move the averages towards the live weights, after ``steps`` steps were made."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for name, part in self.parts.items():
                live = self.live[name]
                torch._foreach_lerp_(list(part.parameters()), [p.detach() for p in live.parameters()], 1.0 - decay)
                for mine, theirs in zip(part.buffers(), live.buffers(), strict=True):
                    mine.copy_(theirs)
