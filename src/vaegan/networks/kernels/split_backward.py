"""A convolution that computes the gradients of input and weight only where each is needed.

A backward pass for the input's gradient alone, such as that of L_llike through the discriminator, makes a single
autograd function compute the weight's gradient too: it sees which inputs require a gradient, not which are requested.
So there are two functions (`split_convolution`): the weight's is not called where its gradient is not requested; it
receives the gradient of the output from the input's function, as the gradient of an empty tensor.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]


class _OfParameters(torch.autograd.Function):
    """A tensor without values, whose gradient becomes those of weight and bias.

    The input is not an argument, or the function would be called for the input's gradient too; `_OfInput` leaves it in
    ``saved`` just before.
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
    """The convolution with the gradient of its input; it passes the gradient of its output on."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        empty: Tensor,
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


def split_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: tuple[int, ...],
    forward: Forward,
    of_x: Gradient,
    of_weight: Gradient,
) -> Tensor:
    """Apply a convolution with gradients of its own, which are differentiable again if made of torch's operations.

    Input (B, C, H, W), weight and bias (O,) have the same precision, the output ``shape`` (B, O, h, w). ``forward``
    takes x, weight, bias; ``of_x`` and ``of_weight`` take the gradient of the output, x, weight.
    """
    saved: list[Tensor] = []
    empty = _OfParameters.apply(weight, bias, shape, saved, of_weight)  # type: ignore[no-untyped-call]
    return _OfInput.apply(x, weight, bias, empty, saved, forward, of_x)  # type: ignore[no-untyped-call,no-any-return]


def cast_for_autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast a convolution's arguments as autocast does, which does not reach into functions with their own backward."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
