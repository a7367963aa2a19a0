"""All codes together against the prior: torch.distributions, scipy and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import norm
from torch.distributions import MultivariateNormal, kl_divergence

from vaegan.metrics.codes import active_units, gaussian_kl_to_prior, prior_gap


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gaussian_kl_against_torch_distributions() -> None:
    root, mean = normal(5, 5), normal(5, seed=1)
    covariance = root @ root.T + 0.1 * torch.eye(5)
    wanted = kl_divergence(
        MultivariateNormal(mean, covariance), MultivariateNormal(torch.zeros(5, dtype=torch.float64), torch.eye(5))
    )
    assert gaussian_kl_to_prior(mean, covariance) == pytest.approx(float(wanted))


def test_mean_and_covariance_are_those_of_draws() -> None:
    mu, logvar = 0.5 * normal(300, 3) + 1, normal(300, 3, seed=1) - 1
    z = (mu + (logvar / 2).exp() * normal(2000, 300, 3, seed=2)).flatten(0, 1)
    wanted = gaussian_kl_to_prior(z.mean(0), torch.cov(z.T))
    assert prior_gap(mu, logvar).gaussian_kl == pytest.approx(wanted, rel=5e-3)


def test_codes_that_fill_the_prior_have_no_gap() -> None:
    # means of variance 0.75 and posteriors of variance 0.25 make N(0, I)
    mu, logvar = 0.75**0.5 * normal(8000, 4), torch.full((8000, 4), math.log(0.25), dtype=torch.float64)
    gap = prior_gap(mu, logvar)
    assert 0 < gap.gaussian_kl < 0.005
    assert gap.sliced_wasserstein == pytest.approx(gap.by_chance, rel=0.5)
    assert gap.by_chance < 0.03


def test_sliced_wasserstein_of_a_shifted_and_scaled_gaussian() -> None:
    # W_2^2 along u is (m u)^2 + (s - 1)^2; the mean of (m u)^2 over directions is |m|^2 / Z.
    mean, scale = torch.tensor([2.0, -1.0, 0.5, 0.0]), 0.4
    gap = prior_gap(mean + scale * normal(4000, 4), None, num_directions=500)
    wanted = math.sqrt(float(mean.square().sum()) / 4 + (scale - 1) ** 2)
    assert gap.sliced_wasserstein == pytest.approx(wanted, rel=0.05)
    kl = 0.5 * (5.25 + 4 * (scale**2 - 1 - 2 * math.log(scale)))
    assert gap.gaussian_kl == pytest.approx(kl, rel=0.03)


def test_one_dimension_by_scipy_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    z = normal(500, 1).exp()
    wanted = ((z[:, 0].sort().values - torch.from_numpy(norm.ppf((torch.arange(500) + 0.5) / 500))) ** 2).mean().sqrt()
    assert prior_gap(z, None).sliced_wasserstein == pytest.approx(float(wanted), rel=0.05)  # either way round
    codes = normal(100, 3).square()
    whole = prior_gap(codes, None)
    monkeypatch.setattr("vaegan.metrics.codes._AT_A_TIME", 1)
    assert prior_gap(codes, None).sliced_wasserstein == pytest.approx(whole.sliced_wasserstein)


def test_the_shape_is_seen_where_mean_and_covariance_are_those_of_the_prior() -> None:
    ring = torch.nn.functional.normalize(normal(4000, 2), dim=1) * 2**0.5
    gap = prior_gap(ring, None)
    assert gap.gaussian_kl < 0.01
    assert gap.sliced_wasserstein > 5 * gap.by_chance


def test_seed() -> None:
    mu, logvar = normal(50, 3), normal(50, 3, seed=1)
    before = torch.get_rng_state()
    assert prior_gap(mu, logvar, seed=4) == prior_gap(mu, logvar, seed=4)
    assert prior_gap(mu, logvar, seed=4) != prior_gap(mu, logvar, seed=5)
    assert torch.equal(before, torch.get_rng_state())


def test_flat_single_and_exploded_codes() -> None:
    flat = torch.cat([normal(100, 2), normal(100, 2) @ torch.ones(2, 1, dtype=torch.float64)], dim=1)
    assert prior_gap(flat, None).gaussian_kl == math.inf
    one = prior_gap(torch.ones(1, 2), None)
    assert one.gaussian_kl == math.inf
    assert one.sliced_wasserstein == pytest.approx(1.0, abs=0.1)  # |m|^2 / Z = 1, and the only quantile is 0
    with_spread = prior_gap(torch.zeros(1, 2), torch.full((1, 2), math.log(0.5)))
    assert with_spread.gaussian_kl == pytest.approx(0.5 - 1 + math.log(2))
    same = prior_gap(torch.zeros(50, 2), torch.zeros(50, 2))
    assert same.gaussian_kl == pytest.approx(0, abs=1e-12)
    exploded = prior_gap(torch.zeros(4, 2), torch.full((4, 2), 1000.0))
    assert exploded.gaussian_kl == math.inf
    assert exploded.sliced_wasserstein == math.inf


def test_active_units() -> None:
    mu = torch.stack([torch.tensor([-1.0, 1.0]), torch.tensor([0.09, -0.09]), torch.tensor([5.0, 5.11 + 0.11])], dim=1)
    # variances 1, 0.0081 and 0.0121
    assert active_units(mu).tolist() == [True, False, True]
    assert active_units(mu, threshold=0.005).tolist() == [True, True, True]
    assert active_units(torch.ones(1, 3)).tolist() == [False] * 3
