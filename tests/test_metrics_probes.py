"""Probes against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from vaegan.metrics.codes import linear_probe, neighbour_probe


@pytest.fixture(scope="module")
def digits():
    """Codes of digits in ten dimensions, some of them mixed up by noise, and labels from 3 on."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    z = (x @ rng.normal(size=(64, 10)) + rng.normal(size=(len(x), 10)) * 20).astype(np.float32)
    return z[:1200], y[:1200] + 3, z[1200:], y[1200:] + 3


def as_tensors(*arrays):
    return [torch.from_numpy(np.array(array)) for array in arrays]


def test_linear_probe_reads_as_scikit_learn_does(digits) -> None:
    z, y, z_test, y_test = digits
    scale = StandardScaler().fit(z)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(scale.transform(z), y)
    found = linear_probe(*as_tensors(*digits))
    right = reference.predict(scale.transform(z_test)) == y_test
    assert (found.numpy() == right).mean() > 0.997  # a code on the border may fall to either side
    assert 0.3 < right.mean() < 0.99


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_vote_as_in_scikit_learn(digits, k) -> None:
    z, y, z_test, y_test = digits
    reference = KNeighborsClassifier(k).fit(z, y)
    votes = np.sort(reference.predict_proba(z_test), axis=1)
    clear = votes[:, -1] > votes[:, -2]
    found = neighbour_probe(*as_tensors(*digits), k=k).numpy()
    np.testing.assert_array_equal(found[clear], (reference.predict(z_test) == y_test)[clear])
    assert clear.mean() > 0.7


def test_of_equal_votes_the_nearer_counts() -> None:
    z, labels = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]]), torch.tensor([7, 5, 5, 7, 1])
    assert neighbour_probe(z, labels, torch.zeros(1, 1), torch.tensor([7]), k=4).tolist() == [True]
    assert neighbour_probe(z, labels, torch.zeros(1, 1), torch.tensor([5]), k=3).tolist() == [True]
    assert neighbour_probe(z, labels, torch.zeros(1, 1), torch.tensor([5]), k=2).tolist() == [False]


@pytest.mark.parametrize("probe", [linear_probe, neighbour_probe])
def test_constant_codes_one_code_and_unknown_labels(probe) -> None:
    labels = torch.tensor([2, 2, 2, 9])
    told = probe(torch.ones(4, 3), labels, torch.ones(3, 3), torch.tensor([2, 9, 4]), **_all_vote(probe))
    assert told.tolist() == [True, False, False]  # the most frequent label, for lack of anything better
    one = probe(torch.zeros(1, 2), torch.tensor([4]), torch.ones(2, 2), torch.tensor([4, 1]))
    assert one.tolist() == [True, False]


def _all_vote(probe):
    return {"k": 4} if probe is neighbour_probe else {}


def test_linear_probe_needs_no_gradients_and_leaves_the_generator() -> None:
    before = torch.get_rng_state()
    with torch.no_grad():
        z = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
        assert linear_probe(z, torch.tensor([0, 0, 1, 1]), z, torch.tensor([0, 0, 1, 1])).all()
    assert torch.equal(before, torch.get_rng_state())
