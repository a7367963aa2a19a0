"""A convolution whose two gradients are computed each only where it is asked for.

A backward pass that asks for the gradient of the input alone, as L_llike's does on its way through the discriminator,
still makes one function of autograd compute all its gradients: it cannot tell which are asked for, only which could be.
Two functions can: the weight's has nothing to do with the input's, is not called where the weight is not asked for,
and is handed the gradient of the output by the other one, as that of a tensor without values (`apart`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]


class _OfParameters(torch.autograd.Function):
    """A tensor without values, whose gradient becomes those of weight and bias.

    The input is no argument of it, else it would be called for the input's sake too; `_OfInput` leaves it in ``saved``
    just before.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, shape: tuple[int, ...], saved: list[Tensor], of: Gradient
    ) -> Tensor:
        ctx.saved, ctx.of, ctx.has_bias = saved, of, bias is not None
        return weight.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        of_weight = ctx.of(gradients[0], *ctx.saved)
        ctx.saved.clear()
        return of_weight, gradients[0].sum((0, 2, 3)) if ctx.has_bias else None, None, None, None


class _OfInput(torch.autograd.Function):
    """The convolution, with the gradient of its input; that of its output is handed on."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        handed: Tensor,
        saved: list[Tensor],
        forward: Forward,
        of: Gradient,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.saved, ctx.of = saved, of
        return forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, None, None, None]:
        ctx.saved[:] = ctx.saved_tensors
        of_x = ctx.of(gradients[0], *ctx.saved) if ctx.needs_input_grad[0] else None
        return of_x, None, None, gradients[0], None, None, None


def apart(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: tuple[int, ...],
    forward: Forward,
    of_x: Gradient,
    of_weight: Gradient,
) -> Tensor:
    """Apply a convolution with gradients of its own, which are differentiable again if made of torch's operations.

    Args:
        x: input (B, C, H, W).
        weight: its weight, in the same precision.
        bias: its bias (O,), likewise, if it has one.
        shape: of the output (B, O, h, w).
        forward: x, weight, bias -> output.
        of_x: gradient of the output, x, weight -> that of x.
        of_weight: the same -> that of the weight.

    Returns:
        The output.
    """
    saved: list[Tensor] = []
    handed = _OfParameters.apply(weight, bias, shape, saved, of_weight)  # type: ignore[no-untyped-call]
    return _OfInput.apply(x, weight, bias, handed, saved, forward, of_x)  # type: ignore[no-untyped-call,no-any-return]
