"""Losses against torch.distributions, plain formulas and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Laplace, Normal, kl_divergence

from vaegan.errors import UserError
from vaegan.losses import (
    ADVERSARIAL_FORMS,
    bernoulli_loss,
    gaussian_feature_loss,
    gaussian_pixel_loss,
    kl_per_dimension,
    laplace_pixel_loss,
    layers_distance,
    prior_loss,
    r1_penalty,
)

B, Z = 5, 4
SHAPE = (B, 2, 3, 3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(seed: int = 0) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_laplace_pixels_with_their_constant() -> None:
    x, x_tilde = images(), images(1)
    reference = -Laplace(x_tilde, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(laplace_pixel_loss(x_tilde, x, 0.3), reference)


def test_distance_of_layers_by_hand() -> None:
    made = [torch.tensor([[[3.0], [4.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])]
    real = [torch.tensor([[[0.0], [7.0]]]), torch.tensor([[[9.0, 5.0], [0.0, 0.0]]])]
    # Directions (0.6, 0.8) and (0, 1); at two positions (1, 0) and (1, 0), (0, 1) and (1, 0).
    wanted = ((0.36 + 0.04) + (0.0 + 2.0) / 2) / 2
    assert layers_distance(made, real).tolist() == pytest.approx([wanted])
    leaf = made[0].requires_grad_()
    target = real[0].requires_grad_()
    layers_distance([leaf], [target]).sum().backward()
    assert leaf.grad is not None
    assert target.grad is None


def test_kl_against_torch_distributions() -> None:
    mu, logvar = normal(B, Z), 2 * normal(B, Z, seed=1)
    reference = kl_divergence(Normal(mu, torch.exp(logvar / 2)), Normal(torch.zeros_like(mu), 1.0))
    torch.testing.assert_close(kl_per_dimension(mu, logvar), reference)
    torch.testing.assert_close(prior_loss(mu, logvar), reference.sum(1).mean())


def test_free_bits_by_hand() -> None:
    # Of N(m, 1) the divergence is m^2 / 2: means over the batch are 2.5 and 0.25 nats.
    mu = torch.tensor([[1.0, 1.0], [3.0, 0.0]], requires_grad=True)
    logvar = torch.zeros(2, 2)
    assert prior_loss(mu, logvar).item() == pytest.approx(2.75)
    loss = prior_loss(mu, logvar, free_bits=0.5)
    assert loss.item() == pytest.approx(2.5 + 0.5)
    (slope,) = torch.autograd.grad(loss, mu)
    torch.testing.assert_close(slope, torch.tensor([[0.5, 0.0], [1.5, 0.0]]))
    assert prior_loss(mu, logvar, free_bits=4.0).item() == pytest.approx(8.0)


def test_feature_loss_is_a_gaussian_without_its_constant() -> None:
    features, target = normal(*SHAPE), normal(*SHAPE, seed=1)
    constant = 0.5 * math.log(2 * math.pi) * features[0].numel()
    reference = -Normal(features, 1.0).log_prob(target).flatten(1).sum(1) - constant
    torch.testing.assert_close(gaussian_feature_loss(features, target), reference)


def test_logits_are_features_too() -> None:
    a, b = normal(B), normal(B, seed=1)
    torch.testing.assert_close(gaussian_feature_loss(a, b), 0.5 * (a - b) ** 2)


def test_no_gradient_goes_through_the_target_features() -> None:
    features, target = normal(*SHAPE).requires_grad_(), normal(*SHAPE, seed=1).requires_grad_()
    loss = gaussian_feature_loss(features, target).sum()
    at_features, at_target = torch.autograd.grad(loss, [features, target], allow_unused=True)
    torch.testing.assert_close(at_features, (features - target).detach())
    assert at_target is None


@pytest.mark.parametrize("variance", [1.0, 0.07])
def test_gaussian_pixels_with_their_constant(variance: float) -> None:
    x, x_tilde = images(), images(seed=1)
    reference = -Normal(x_tilde, variance**0.5).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(gaussian_pixel_loss(x_tilde, x, math.log(variance)), reference, rtol=1e-12, atol=0)
    as_tensor = torch.tensor(math.log(variance), dtype=torch.float64)
    torch.testing.assert_close(gaussian_pixel_loss(x_tilde, x, as_tensor), reference, rtol=1e-12, atol=0)


def test_reconstructions_of_another_shape_are_refused() -> None:
    x_tilde, x = torch.rand(5, 1, 4, 4), torch.rand(5, 3, 4, 4)
    pairs = ((gaussian_feature_loss,), (gaussian_pixel_loss,), (laplace_pixel_loss, 1.0), (kl_per_dimension,))
    for loss, *scale in pairs:
        with pytest.raises(UserError, match="shapes must be equal"):
            loss(x_tilde, x, *scale)


def test_learned_variance_takes_the_gradient_of_the_density() -> None:
    x, x_tilde = images(), images(seed=1)
    ours, theirs = (torch.tensor(-0.3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gaussian_pixel_loss(x_tilde, x, ours).mean().backward()
    (-Normal(x_tilde, torch.exp(theirs / 2)).log_prob(x).flatten(1).sum(1).mean()).backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_bernoulli_pixels() -> None:
    logits, x = 3 * normal(*SHAPE), images()
    reference = -Bernoulli(logits=logits, validate_args=False).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli_loss(logits, x), reference)
    sure = torch.full(SHAPE, 1e4)
    torch.testing.assert_close(bernoulli_loss(sure, torch.zeros(SHAPE)), torch.full((B,), 1e4 * sure[0].numel()))
    torch.testing.assert_close(bernoulli_loss(sure, torch.ones(SHAPE)), torch.zeros(B))


def plain(name: str) -> tuple[object, object, object]:
    """Dis's loss of a logit and its target, for reals and fakes, and Dec's loss of a fake's logit."""

    def cross_entropy(a: Tensor, t: Tensor) -> Tensor:
        d = torch.sigmoid(a)
        return -t * torch.log(d) - (1 - t) * torch.log(1 - d)

    def hinge(a: Tensor, t: Tensor) -> Tensor:
        zero = torch.zeros_like(a)
        return t * torch.maximum(zero, 1 - a) + (1 - t) * torch.maximum(zero, 1 + a)

    return {
        "minimax": (cross_entropy, cross_entropy, lambda a: torch.log(1 - torch.sigmoid(a))),
        "non-saturating": (cross_entropy, cross_entropy, lambda a: -torch.log(torch.sigmoid(a))),
        "hinge": (hinge, hinge, lambda a: -a),
    }[name]


@pytest.mark.parametrize("name", ADVERSARIAL_FORMS)
@pytest.mark.parametrize("target", [0.0, 1.0, 0.9, 0.2])
def test_adversarial_forms_are_their_formulas(name: str, target: float) -> None:
    form, (real, fake, decoder) = ADVERSARIAL_FORMS[name], plain(name)
    a = torch.linspace(-8.0, 8.0, 23, dtype=torch.float64)
    t = torch.full_like(a, target)
    torch.testing.assert_close(form.real(a, t), real(a, t))
    torch.testing.assert_close(form.fake(a, t), fake(a, t))
    torch.testing.assert_close(form.decoder(a), decoder(a))
    # What `negated` promises to the game: one backward pass serves Dis and Dec.
    same = torch.allclose(form.decoder(a), -form.fake(a, torch.zeros_like(a)))
    assert form.negated == same


@pytest.mark.parametrize("name", ADVERSARIAL_FORMS)
def test_adversarial_forms_at_extreme_logits(name: str) -> None:
    form = ADVERSARIAL_FORMS[name]
    for dtype in (torch.float32, torch.float64):
        a = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
        one = torch.ones_like(a)
        for loss in (form.real(a, one), form.fake(a, 0 * one), form.decoder(a)):
            (slope,) = torch.autograd.grad(loss.sum(), a)
            assert loss.isfinite().all()
            assert slope.isfinite().all()
            assert slope.abs().max() <= 1
    # Sure and right costs nothing, sure and wrong in proportion to the logit.
    a, one = torch.tensor([-1e4, 1e4]), torch.ones(2)
    margin = 1.0 if name == "hinge" else 0.0
    torch.testing.assert_close(form.real(a, one), torch.tensor([1e4 + margin, 0.0]))
    torch.testing.assert_close(form.fake(a, 0 * one), torch.tensor([0.0, 1e4 + margin]))


def test_r1_against_finite_differences() -> None:
    torch.manual_seed(0)
    dis = nn.Sequential(nn.Flatten(), nn.Linear(18, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x, h = images(), 1e-5
    squares = torch.zeros(B, dtype=torch.float64)
    with torch.no_grad():
        for i in range(18):
            step = torch.zeros(18, dtype=torch.float64)
            step[i] = h
            step = step.view(SHAPE[1:])
            squares += ((dis(x + step) - dis(x - step)).squeeze(1) / (2 * h)).square()
    x.requires_grad_()
    penalty = r1_penalty(dis(x).squeeze(1), x)
    torch.testing.assert_close(penalty, 0.5 * squares.mean(), rtol=1e-7, atol=0)
    assert all(p.grad is None for p in dis.parameters())


def test_half_precision_is_summed_in_float32() -> None:
    # In bfloat16 a sum of ones stops at 256, where adding one more is rounded away.
    zeros, ones = torch.zeros(2, 4096, dtype=torch.bfloat16), torch.ones(2, 4096, dtype=torch.bfloat16)
    wanted = torch.full((2,), 2048.0)
    torch.testing.assert_close(gaussian_feature_loss(ones, zeros), wanted)
    torch.testing.assert_close(
        gaussian_pixel_loss(ones, zeros) - 4096 * 0.5 * math.log(2 * math.pi), wanted, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(bernoulli_loss(zeros, ones), torch.full((2,), 4096 * math.log(2)), rtol=1e-5, atol=0)
    torch.testing.assert_close(prior_loss(ones, zeros), torch.tensor(2048.0))
    x = torch.zeros(2, 4096, dtype=torch.bfloat16, requires_grad=True)
    torch.testing.assert_close(r1_penalty(x.sum(1), x), torch.tensor(2048.0))
