"""Gradient accumulation: a batch in micro-batches, one after the other, so that the activations of only one are held.

Images, noise and augmentation are drawn for the whole batch, then cut. Losses are means over images, so loss and
gradient of the batch are the means of those of its micro-batches, up to rounding. Of a micro-batch alone, as of a
process's images under torchrun, are the statistics of batch norms (running ones move once for each), the norms of
adaptive weights (`balance`, alignment), the mean KL of free bits, and dropout masks.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .interface import Noise, Objective, StepResult


def micro_batches(
    num: int, x: Tensor, noise: Noise, c: Tensor | None = None
) -> Iterator[tuple[float, Tensor, Noise, Tensor | None]]:
    """Cut images (B, C, H, W), their noise and conditions (B, A) into ``num``, of sizes as equal as possible.

    Yields the share of the batch's images, which is the weight of means, then images, noise and conditions.
    """
    start = 0
    for i, of_x in enumerate(x.tensor_split(num)):
        share = slice(start, start := start + len(of_x))
        yield len(of_x) / len(x), of_x, noise.cut(share, i), None if c is None else c[share]


def accumulated_step(
    objective: Objective, num: int, x: Tensor, noise: Noise, kl_factor: float, c: Tensor | None = None, *, record: bool
) -> StepResult:
    """`Objective.step` in ``num`` micro-batches; the accuracies among its routes compare images within each."""
    total = StepResult({}, {})
    for share, of_x, of_noise, of_c in micro_batches(num, x, noise, c):
        condition = {} if of_c is None else {"c": of_c}
        result = objective.step(of_x, of_noise, kl_factor, record=record, **condition)
        if num == 1:
            return result
        _add(total, result, share)
        del result  # its gradients are not held during the next forward pass
    total.routes = {name: value if _is_mean(name) else value.sqrt() for name, value in total.routes.items()}
    return total


def _add(total: StepResult, result: StepResult, share: float) -> None:
    """Add ``share`` times a micro-batch's result; of norms, which are at its own codes and images, the squares."""
    for part, gradients in result.gradients.items():
        if part in total.gradients:
            torch._foreach_add_(total.gradients[part], gradients, alpha=share)
        else:  # copies: autograd may give two parameters the same tensor
            total.gradients[part] = list(torch._foreach_mul(gradients, share))
    for part, terms in result.losses.items():
        place = total.losses.setdefault(part, {})
        for name, value in terms.items():
            place[name] = share * value + place.get(name, 0.0)
    for name, value in result.routes.items():
        of_batch = share * value if _is_mean(name) else (share * value).square()
        total.routes[name] = of_batch + total.routes.get(name, 0.0)
    if result.real_sign is not None:
        total.real_sign = share * result.real_sign + (0.0 if total.real_sign is None else total.real_sign)


def _is_mean(route: str) -> bool:
    return route.startswith("discriminator/") or route == "decoder/balance"
