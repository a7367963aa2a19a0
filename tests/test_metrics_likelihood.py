"""Bounds of log p(x) where it is known exactly: a linear decoder with Gaussian pixels (probabilistic PCA).

Of x = W z + b + sigma e, with W's columns at right angles, p(x) = N(b, W W' + sigma^2 I) and the posterior of z is a
Gaussian whose dimensions are independent, so that an encoder can be right.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from vaegan.metrics.image_quality import squared_error
from vaegan.metrics.likelihood import (
    CELL,
    bernoulli_pixels,
    bits_per_dimension,
    expectation,
    gaussian_nll,
    gaussian_pixels,
    importance_bound,
    optimal_variance,
)

D, Z, N, VARIANCE = 12, 3, 40, 0.04
SHAPE = (1, 3, 4)


class Linear:
    """The decoder, its exact posterior and its exact log p(x)."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        q, _ = torch.linalg.qr(torch.randn(D, Z, generator=generator, dtype=torch.float64))
        self.w = q * torch.tensor([1.0, 0.5, 0.1])
        self.b = torch.full((D,), 0.3, dtype=torch.float64)
        self.marginal = MultivariateNormal(self.b, self.w @ self.w.T + VARIANCE * torch.eye(D, dtype=torch.float64))
        z = torch.randn(N, Z, generator=generator, dtype=torch.float64)
        noise = VARIANCE**0.5 * torch.randn(N, D, generator=generator, dtype=torch.float64)
        self.rows = z @ self.w.T + self.b + noise
        self.x = self.rows.view(N, *SHAPE)
        precision = self.w.square().sum(0) / VARIANCE + 1
        self.mu = (self.rows - self.b) @ self.w / VARIANCE / precision
        self.logvar = -precision.log().expand(N, Z)
        self.nll = gaussian_pixels(self.decode, VARIANCE, cell=0)

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.w.T + self.b).view(-1, *SHAPE)

    @property
    def log_p(self) -> Tensor:
        return self.marginal.log_prob(self.rows)


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


@pytest.mark.parametrize(("num_draws", "batch_size"), [(1, 7), (5, 256)])
def test_with_the_exact_posterior_the_importance_bound_is_log_p(
    linear: Linear, num_draws: int, batch_size: int
) -> None:
    found = importance_bound(
        linear.nll, linear.mu, linear.logvar, linear.x, num_draws=num_draws, seed=3, batch_size=batch_size
    )
    torch.testing.assert_close(found, linear.log_p, rtol=0, atol=1e-9)


def kl_of(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), 1.0)).sum(1)


def test_expectation_with_the_exact_posterior(linear: Linear) -> None:
    found = expectation(linear.nll, linear.mu, linear.logvar, linear.x, num_draws=4000)
    spread = (linear.logvar.exp() @ linear.w.square().T).sum(1)  # of W z around its mean
    error = squared_error(linear.decode(linear.mu), linear.x) + spread
    nll = 0.5 * (error / VARIANCE + D * math.log(2 * math.pi * VARIANCE))
    torch.testing.assert_close(found, nll, rtol=0, atol=0.15)
    assert float(found.mean()) == pytest.approx(float(nll.mean()), abs=0.02)
    elbo = -(found + kl_of(linear.mu, linear.logvar))
    assert float(elbo.mean()) == pytest.approx(float(linear.log_p.mean()), abs=0.02)


def test_with_a_wrong_posterior_bounds_rise_to_log_p(linear: Linear) -> None:
    wrong = (linear.mu + 0.1, linear.logvar + 0.7)
    exact = Independent(Normal(linear.mu, (linear.logvar / 2).exp()), 1)
    gap = kl_divergence(Independent(Normal(wrong[0], (wrong[1] / 2).exp()), 1), exact)
    elbo = -(expectation(linear.nll, *wrong, linear.x, num_draws=2000) + kl_of(*wrong))
    assert float(elbo.mean()) == pytest.approx(float((linear.log_p - gap).mean()), abs=0.05)
    bounds = [importance_bound(linear.nll, *wrong, linear.x, num_draws=k).mean() for k in (1, 8, 64, 4000)]
    assert (torch.stack(bounds).diff() > 0).all()
    assert float(bounds[-1]) == pytest.approx(float(linear.log_p.mean()), abs=0.01)


def test_draws_depend_on_the_seed_and_not_on_the_batch_size(linear: Linear) -> None:
    before = torch.get_rng_state()
    wide = linear.logvar + 1
    values = [
        importance_bound(linear.nll, linear.mu, wide, linear.x, num_draws=2, seed=seed, batch_size=size)
        for seed, size in ((0, 1), (0, 40), (1, 40))
    ]
    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(values[1], values[2])
    assert torch.equal(before, torch.get_rng_state())


def test_gaussian_pixels_against_torch_distributions(linear: Linear) -> None:
    z = linear.mu
    wanted = -Normal(linear.decode(z), 0.2).log_prob(linear.x).flatten(1).sum(1)
    torch.testing.assert_close(gaussian_pixels(linear.decode, 0.04, cell=0)(z, linear.x), wanted)
    # spread evenly over cells: the mean over many places in them
    width = 0.5
    places = (torch.arange(200, dtype=torch.float64) + 0.5) / 200 * width - width / 2
    wanted = torch.stack([-Normal(linear.decode(z), 0.2).log_prob(linear.x + u).flatten(1).sum(1) for u in places])
    found = gaussian_pixels(linear.decode, 0.04, cell=width)(z, linear.x)
    torch.testing.assert_close(found, wanted.mean(0), rtol=0, atol=2e-4)


def test_bernoulli_pixels_against_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(5, D, generator=generator, dtype=torch.float64)
    x = (torch.rand(5, *SHAPE, generator=generator) > 0.5).double()
    found = bernoulli_pixels(lambda z: z.view(-1, *SHAPE))(z, x)
    torch.testing.assert_close(found, -Bernoulli(logits=z).log_prob(x.flatten(1)).sum(1))


@pytest.mark.parametrize("cell", [0.0, CELL, 0.3])
def test_optimal_variance_makes_images_most_probable(cell: float) -> None:
    error = torch.tensor([0.3, 0.7, 2.0], dtype=torch.float64)
    best = optimal_variance(error, D, cell)
    nlls = [float(gaussian_nll(error, D, best * factor, cell).mean()) for factor in (0.99, 1.0, 1.01)]
    assert nlls[1] == min(nlls)
    assert nlls[1] == pytest.approx(D / 2 * (1 + math.log(2 * math.pi * best)))


def test_bits_per_dimension_bound_those_of_the_bytes() -> None:
    # Pixels that are Gaussian around 0.5: the probability of a byte is that of its cell.
    byte = torch.arange(256, dtype=torch.float64)
    for spread, slack in ((0.2, 1e-4), (CELL, 0.07), (CELL / 2, 0.4)):
        pixel = Normal(torch.tensor(0.5, dtype=torch.float64), spread)
        p = pixel.cdf((byte + 0.5) / 255) - pixel.cdf((byte - 0.5) / 255)
        nll = gaussian_nll((byte / 255 - 0.5).square(), 1, spread**2)
        exact, bound = -(p * p.log2().nan_to_num(neginf=0)).sum(), (p * bits_per_dimension(nll, 1)).sum()
        assert exact - 1e-9 <= bound < exact + slack
    # Black-and-white images with even odds take a bit per pixel.
    nll = bernoulli_pixels(lambda z: z)(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2))
    assert bits_per_dimension(nll, 4, cell=1).tolist() == pytest.approx([1, 1])


def test_bernoulli_bound_against_a_sum_over_a_grid() -> None:
    # One dimension of z: log p(x) by integration on a fine grid.
    x, slopes = torch.tensor([[[[1.0, 0.0, 1.0]]]]), torch.tensor([2.0, -1.0, 0.5])
    grid = np.linspace(-8, 8, 4001)
    p = expit(grid[:, None] * slopes.numpy())
    like = np.where(x.numpy().ravel() == 1, p, 1 - p).prod(1)
    exact = math.log((like * np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)).sum() * (grid[1] - grid[0]))
    nll = bernoulli_pixels(lambda z: (z * slopes).view(-1, 1, 1, 3))
    found = importance_bound(nll, torch.tensor([[0.5]]), torch.tensor([[0.0]]), x, num_draws=4000)
    assert float(found) == pytest.approx(exact, abs=0.01)


def test_extreme_posteriors(linear: Linear) -> None:
    zeros = torch.zeros(1, Z)
    x = torch.full((1, *SHAPE), 0.5)
    nll = gaussian_pixels(lambda z: torch.tanh(z[:, :1, None, None].expand(-1, *SHAPE)), 1e-4)
    for mu, logvar in ((zeros, zeros + 80), (zeros, zeros - 1000), (zeros + 1e6, zeros)):
        assert expectation(nll, mu, logvar, x).isfinite().all()
        bound = importance_bound(nll, mu, logvar, x, num_draws=3)
        assert bound.isfinite().all()
    # Weights of which none is above e^-1000 do not vanish.
    far = importance_bound(nll, zeros + 100, zeros, x, num_draws=50)
    assert -2e5 < float(far) < -1000
    assert gaussian_nll(torch.zeros(2), D, optimal_variance(torch.zeros(2), D)).isfinite().all()


def test_expectation_of_a_square() -> None:
    mu, logvar = torch.tensor([[0.5], [-2.0]]), torch.tensor([[0.0], [math.log(4.0)]])
    found = expectation(
        lambda z, x: z[:, 0].square() + x[:, 0], mu, logvar, torch.tensor([[1.0], [0.0]]), num_draws=20000
    )
    assert found.tolist() == pytest.approx([0.25 + 1 + 1, 4 + 4], abs=0.15)
