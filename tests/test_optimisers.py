"""Optimisers against torch's plain ones, one tensor at a time; clipping against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vaegan.training.optimisers import assign_gradients, clip_gradients, laid_out, make_optimiser

LR, BETA1, BETA2, EPS, DECAY = 0.01, 0.8, 0.95, 1e-6, 0.02
PLAIN: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(
        p, LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY, foreach=False, fused=False
    ),
    "adamw": lambda p: torch.optim.AdamW(
        p, LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY, foreach=False, fused=False
    ),
    "rmsprop": lambda p: torch.optim.RMSprop(p, LR, alpha=BETA2, eps=EPS, weight_decay=DECAY, foreach=False),
    "sgd": lambda p: torch.optim.SGD(p, LR, momentum=BETA1, weight_decay=DECAY, foreach=False, fused=False),
}
SHAPES = ((4, 3, 3, 3), (4,), (6, 5), ())


def parameters(layout: torch.memory_format) -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=g) for shape in SHAPES]
    return [nn.Parameter(t.to(memory_format=layout) if t.dim() == 4 else t) for t in tensors]


def gradients(step: int, layout: torch.memory_format) -> list[Tensor]:
    g = torch.Generator().manual_seed(100 + step)
    tensors = [torch.randn(shape, generator=g) for shape in SHAPES]
    tensors[0] = tensors[0].to(memory_format=layout)
    tensors[2] = tensors[2].t().contiguous().t()  # as a matrix product may lay it out
    return tensors


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("of_weights", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_gradients", [torch.contiguous_format, torch.channels_last])
def test_same_weights_as_plain_optimisers(
    name: str, of_weights: torch.memory_format, of_gradients: torch.memory_format
) -> None:
    ours, theirs = parameters(of_weights), parameters(torch.contiguous_format)
    optimiser = make_optimiser(name, ours, lr=LR, beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=DECAY)
    reference, first = PLAIN[name](theirs), [p.detach().clone() for p in ours]
    for step in range(6):
        assign_gradients(ours, gradients(step, of_gradients))
        for p, g in zip(theirs, gradients(step, torch.contiguous_format), strict=True):
            p.grad = g.contiguous()
        optimiser.step()
        reference.step()
    for p, wanted, before in zip(ours, theirs, first, strict=True):
        torch.testing.assert_close(p, wanted, rtol=1e-5, atol=1e-6)
        assert (p - before).norm() > 0.01
    assert ours[0].is_contiguous(memory_format=of_weights)


def test_gradients_are_laid_out_like_their_weights() -> None:
    weights = parameters(torch.channels_last)
    given = [g.double() for g in gradients(0, torch.contiguous_format)]
    given[1] = torch.ones((), dtype=torch.float64).expand(4)  # the gradient of a sum
    for p, g, found in zip(weights, given, laid_out(weights, given), strict=True):
        assert found.stride() == p.stride()
        assert found.dtype == p.dtype
        assert not found.requires_grad
        torch.testing.assert_close(found, g.float())


@pytest.mark.parametrize("longest", [0.1, 3.0, 1e6, None])
def test_clipping_against_torch(longest: float | None) -> None:
    weights = parameters(torch.contiguous_format)
    ours = gradients(0, torch.channels_last)
    assign_gradients(weights, [g.clone() for g in ours])
    norm = nn.utils.clip_grad_norm_(weights, float("inf") if longest is None else longest)
    length, clipped = clip_gradients(ours, longest)
    torch.testing.assert_close(length, norm)
    for p, g in zip(weights, clipped, strict=True):
        torch.testing.assert_close(g, p.grad, rtol=1e-4, atol=1e-7)


def test_two_parameters_that_share_one_gradient_are_clipped_once() -> None:
    a, b = (torch.zeros(3, requires_grad=True) for _ in range(2))
    shared = torch.autograd.grad((2 * (a + b)).sum(), [a, b])
    _, clipped = clip_gradients(shared, 1.0)
    for g in clipped:
        torch.testing.assert_close(g, torch.full((3,), 1 / 6**0.5))


def test_a_gradient_of_zeros_stays_zeros() -> None:
    length, clipped = clip_gradients([torch.zeros(3), torch.zeros(())], 1.0)
    assert length == 0
    assert all((g == 0).all() for g in clipped)
