from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from vaegan.metrics.distances import Moments, frechet_distance, frechet_interval


def rows(num, seed, dim=6, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(dim, dim))
    return torch.from_numpy((scale * rng.normal(size=(num, dim)) @ mix + shift).astype(np.float32))


def by_scipy(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)


def test_moments_of_batches_are_those_of_numpy_even_far_from_zero():
    x = rows(500, 0).double() + 1e6
    moments = Moments(x.split([1, 99, 0, 300, 100]))
    assert moments.count == 500
    np.testing.assert_allclose(moments.mean, x.numpy().mean(0))
    np.testing.assert_allclose(moments.covariance, np.cov((x - 1e6).numpy(), rowvar=False), rtol=1e-6)


def test_the_distance_is_that_of_scipy_and_0_for_the_same_set():
    a, b = rows(200, 0), rows(300, 1, shift=0.5, scale=1.3)
    expected = by_scipy(a, b)
    assert frechet_distance(Moments(a), Moments(b)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(Moments(b), Moments(a)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(Moments(a), Moments(a)) == pytest.approx(0, abs=1e-6)


def test_of_axis_parallel_gaussians_it_is_what_a_hand_computes():
    # Means 1 apart; standard deviations 1 and 3, 2 and 2: 1 + (3 - 1)^2 + 0.
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * (3 / 4) ** 0.5
    a, b = signs * torch.tensor([1.0, 2.0]), signs * torch.tensor([3.0, 2.0]) + torch.tensor([0.0, 1.0])
    assert frechet_distance(Moments(a), Moments(b)) == pytest.approx(5.0)


def test_dead_features_do_no_harm():
    a, b = rows(50, 0), rows(60, 1, shift=1.0)
    dead = [torch.cat([x, torch.zeros(len(x), 3)], 1) for x in (a, b)]
    expected = frechet_interval(a, Moments(b))
    found = frechet_interval(dead[0], Moments(dead[1]))
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-6
    )


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 1.3), (0.3, 0.8)])
def test_the_interval_is_as_wide_as_that_of_features_drawn_again(shift, scale):
    a, reference = rows(800, 0, shift=shift, scale=scale), Moments(rows(800, 1))
    found = frechet_interval(a, reference, num_resamples=2000)
    assert found.value == pytest.approx(frechet_distance(Moments(a), reference))
    assert found.low < found.value < found.high
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randint(800, (800,), generator=generator) for _ in range(400)]
    again = np.quantile([frechet_distance(Moments(a[chosen]), reference) for chosen in draws], [0.025, 0.975])
    assert found.high - found.low == pytest.approx(again[1] - again[0], rel=0.15)


def test_the_interval_of_skewed_features_joins_mean_and_covariance_with_the_right_sign():
    # Of one feature f with mean m, variance v, the distance (m - r)^2 + (s - s_r)^2 has the influence
    # 2 (m - r) (f - m) + (1 - s_r / s) ((f - m)^2 - v): its two terms correlate where f is skewed.
    f = torch.from_numpy(1.5 * np.random.default_rng(0).exponential(size=(2000, 1)))
    reference = Moments(0.5 + 0.75 * rows(500, 1, dim=1).double() / rows(500, 1, dim=1).double().std())
    found = frechet_interval(f, reference, num_resamples=2000)
    mean, std = f.mean(), f.std()
    influence = 2 * (mean - reference.mean) * (f - mean)
    influence += (1 - reference.covariance.sqrt() / std) * ((f - mean) ** 2 - std**2)
    assert float(influence.std()) / 2000**0.5 * 2 * 1.96 == pytest.approx(found.high - found.low, rel=0.1)


def test_the_interval_of_reconstructions_is_as_wide_as_the_figure_spreads_over_sets_of_images():
    found, generator = [], torch.Generator().manual_seed(0)
    for _ in range(200):
        r, noise = torch.randn(2, 300, 4, generator=generator)
        f = 0.9 * r + 0.2 * noise
        found.append(frechet_interval(f, Moments(r), pairs=r, num_resamples=200))
        assert found[-1].value == pytest.approx(frechet_distance(Moments(f), Moments(r)))
    spread = np.std([one.value for one in found])
    assert np.mean([one.high - one.low for one in found]) == pytest.approx(2 * 1.96 * spread, rel=1 / 3)
