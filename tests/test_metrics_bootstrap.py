from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from vaegan.metrics.bootstrap import bootstrap_mean, resampled_means


def test_the_interval_is_that_of_scipy_and_of_the_seed():
    values = torch.from_numpy(np.random.default_rng(0).exponential(size=400))
    found = bootstrap_mean(values, seed=1, num_resamples=5000)
    expected = bootstrap((values.numpy(),), np.mean, n_resamples=5000, method="percentile", rng=2).confidence_interval
    assert found.value == pytest.approx(float(values.mean()))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.005)
    assert bootstrap_mean(values, seed=1, num_resamples=5000) == found
    assert bootstrap_mean(values, seed=2, num_resamples=5000) != found


def test_it_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        found = bootstrap_mean(torch.from_numpy(rng.normal(3, 2, 100)), seed=seed, num_resamples=400, level=0.8)
        hits += found.low < 3 < found.high
    assert 0.72 < hits / 300 < 0.87


def test_draws_are_the_same_however_they_are_cut(monkeypatch):
    values = torch.arange(50.0)
    whole = resampled_means(values, seed=0, num_resamples=30)
    monkeypatch.setattr("vaegan.metrics.bootstrap._AT_A_TIME", 7 * 50)
    torch.testing.assert_close(resampled_means(values, seed=0, num_resamples=30), whole)
