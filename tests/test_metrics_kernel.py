from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from vaegan.metrics.distances import kernel_distance, squared_mmd


def rows(num, seed, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, (num, 8)))


def by_scikit_learn(x, y):
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, gamma=1 / 8, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return within - 2 * xy.mean()


def test_the_discrepancy_is_that_of_scikit_learns_kernel():
    x, y = rows(60, 0), rows(90, 1, 0.4)
    assert squared_mmd(x, y) == pytest.approx(by_scikit_learn(x.numpy(), y.numpy()))
    assert squared_mmd(x.float(), y.float()) == pytest.approx(by_scikit_learn(x.numpy(), y.numpy()), rel=1e-4)


def expected_kernel(a, b, d=8):
    """E k(x, y) of x ~ N(a 1, I) and y ~ N(b 1, I) in d dimensions, by the moments of t = x.y."""
    first = a * b * d
    second = a**2 * (d + b**2 * d**2) + d + b**2 * d
    cubes = d * (b**3 + 3 * b) + d * (d - 1) * b * (1 + b**2)  # E sum(y) |y|^2
    third = a**3 * ((b * d) ** 3 + 3 * b * d**2) + 3 * a * cubes
    return 1 + 3 * first / d + 3 * second / d**2 + third / d**3


TRUTH = expected_kernel(0.3, 0.3) + expected_kernel(0, 0) - 2 * expected_kernel(0.3, 0)


def test_it_is_unbiased_of_any_number_and_its_interval_shrinks_with_it():
    small, large = (kernel_distance(rows(num, 0, 0.3), rows(num, 1), seed=0) for num in (300, 3000))
    for found in (small, large):
        assert found.low < TRUTH < found.high
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(10**0.5, rel=0.5)
    same = kernel_distance(rows(2000, 4), rows(2000, 5), seed=0)
    assert same.low < 0 < same.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    found = [
        kernel_distance(rows(200, 10 + i, 0.3), rows(200, 1000 + i), seed=i, num_subsets=40, subset_size=50)
        for i in range(100)
    ]
    assert np.mean([one.value for one in found]) == pytest.approx(TRUTH, rel=0.1)
    assert np.mean([one.low < TRUTH < one.high for one in found]) > 0.8


def test_a_single_image_has_no_distance():
    for x, y in ((rows(1, 0), rows(5, 1)), (rows(5, 0), rows(1, 1))):
        found = kernel_distance(x, y)
        assert np.isnan([found.value, found.low, found.high]).all()


def test_the_seed_is_that_of_the_subsets():
    x, y = rows(300, 0), rows(300, 1)
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)


@pytest.mark.parametrize(("num", "size", "num_subsets"), [(200, 50, 60), (200, 1000, 60), (1000, 20, 25)])
def test_the_interval_is_as_wide_as_the_figure_spreads_over_sets_of_images(num, size, num_subsets):
    """With subsets of 1/4, 1/2 and 1/50 of the images; of the last, the choice of subsets is most of the variance."""
    options = {"num_subsets": num_subsets, "subset_size": size}
    found = [kernel_distance(rows(num, 10 + i, 0.3), rows(num, 1000 + i), seed=i, **options) for i in range(100)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.high - one.low for one in found]) == pytest.approx(2 * 1.96 * spread, rel=0.2)


def test_the_distance_of_reconstructions_is_unbiased_and_its_interval_as_wide_as_it_spreads():
    found, dim = [], 8
    for i in range(120):
        r = rows(200, i)
        f = 0.9 * r + 0.2 * rows(200, 1000 + i)  # of variance 0.85
        found.append(kernel_distance(f, r, paired=True, seed=i, num_subsets=20, subset_size=50))
    # Of independent x ~ N(0, v I) and y ~ N(0, w I), E k(x, y) = 1 + 3 E (x.y)^2 / D^2 = 1 + 3 v w / D.
    truth = 3 * (0.85**2 + 1 - 2 * 0.85) / dim
    values = [one.value for one in found]
    assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / len(values) ** 0.5)
    assert np.mean([one.high - one.low for one in found]) == pytest.approx(2 * 1.96 * np.std(values), rel=1 / 3)
