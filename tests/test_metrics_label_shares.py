"""Labels of samples against those of the data, by scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import entropy

from vaegan.metrics.label_scores import compare_labels


def seen(*labels: int, num_labels: int = 3) -> torch.Tensor:
    """Probabilities of which each label is the likeliest, if not by much."""
    return F.one_hot(torch.tensor(labels), num_labels) * 0.2 + (1 - 0.2) / num_labels


def test_against_scipy() -> None:
    rng = np.random.default_rng(0)
    samples, data = rng.choice(5, 700, p=[0.5, 0.3, 0.1, 0.07, 0.03]), rng.integers(0, 5, 400)
    found = compare_labels(seen(*samples, num_labels=5), torch.from_numpy(data))
    p, q = np.bincount(samples) / 700, np.bincount(data) / 400
    np.testing.assert_allclose(found.samples, p)
    np.testing.assert_allclose(found.data, q)
    assert found.entropy == pytest.approx(entropy(p))
    assert found.kl == pytest.approx(entropy(p, q))
    assert (found.rarest, found.rarest_label) == (p.min(), p.argmin())


def test_missing_is_below_a_tenth_of_the_datas_share() -> None:
    data = torch.tensor([0] * 50 + [1] * 40 + [2] * 10)
    # 1 of 24 is just more than a tenth of 0.4, 1 of 26 just less; of label 2 there is none.
    found = compare_labels(seen(*[0] * 23, 1), data)
    assert found.missing == (2,)
    assert (found.rarest, found.rarest_label) == (0.0, 2)
    assert compare_labels(seen(*[0] * 25, 1), data).missing == (1, 2)
    assert compare_labels(seen(*[0] * 97, 1, 2), data).missing == (1,)


def test_labels_that_the_data_has_not_are_not_missed() -> None:
    found = compare_labels(seen(0, 0, 2), torch.tensor([0, 2, 2]))
    assert (found.missing, found.rarest_label) == ((), 2)
    assert found.kl == pytest.approx(2 / 3 * math.log(2) + 1 / 3 * math.log(1 / 2))
    assert compare_labels(seen(1), torch.tensor([0])).kl == math.inf


def test_same_shares_and_one_label() -> None:
    same = compare_labels(seen(0, 1, 2), torch.tensor([2, 1, 0]))
    assert same.entropy == pytest.approx(math.log(3))
    assert same.kl == pytest.approx(0, abs=1e-12)
    one = compare_labels(seen(1), torch.tensor([0, 1, 2]))
    assert one.entropy == 0
    assert one.kl == pytest.approx(math.log(3))
    assert one.missing == (0, 2)
