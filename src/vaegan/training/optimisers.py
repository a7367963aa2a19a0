"""What updates the weights of each part: its optimiser, clipped gradients, and weight averages.

Optimisers are torch's, in the fastest exact implementation on the device. Averages are exponential moving averages
(EMA), which are saved and sampled from while the live weights train:

    average <- decay average + (1 - decay) weight

Buffers, such as the running statistics of batch norms, are copied.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def make_optimiser(
    name: str,
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Make the optimiser of one part: adam, adamw (decoupled decay), rmsprop (decay beta2), sgd (momentum beta1)."""
    parameters = list(parameters)
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(
            parameters, lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=_can_fuse(parameters)
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr, alpha=beta2, eps=eps, weight_decay=weight_decay, foreach=True)
    assert name == "sgd", name
    return torch.optim.SGD(parameters, lr, momentum=beta1, weight_decay=weight_decay, fused=_can_fuse(parameters))


def _can_fuse(parameters: Sequence[nn.Parameter]) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def laid_out(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients, each in its parameter's precision and memory layout (fused optimisers rely on it)."""
    return [
        g if g.dtype == p.dtype and g.stride() == p.stride() else torch.empty_like(p, requires_grad=False).copy_(g)
        for p, g in zip(parameters, gradients, strict=True)
    ]


def assign_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    """Give each parameter its gradient, `laid_out`."""
    for p, g in zip(parameters, laid_out(parameters, gradients), strict=True):
        p.grad = g


def clip_gradients(gradients: Sequence[Tensor], longest: float | None) -> tuple[Tensor, list[Tensor]]:
    """Return the gradient's norm over all tensors, and the gradients, scaled down if it exceeds ``longest``.

    Not in place: autograd gives two parameters that are added the same tensor.
    """
    gradients = list(gradients)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if longest is None:
        return norm, gradients
    return norm, list(torch._foreach_mul(gradients, torch.clamp(longest / (norm + 1e-12), max=1.0)))


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
