"""Probes against scikit-learn's, and against another minimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits
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


def least(x, target, num_labels):
    """Weights and biases with the least sum of cross entropies plus ||W||^2 / 2, by another minimiser."""
    onehot = np.eye(num_labels)[target]

    def loss(numbers):
        weights = numbers.reshape(-1, num_labels)
        logits = x @ weights[:-1] + weights[-1]
        rest = softmax(logits, axis=1) - onehot
        gradient = np.concatenate([x.T @ rest + weights[:-1], rest.sum(0, keepdims=True)])
        return -(onehot * log_softmax(logits, axis=1)).sum() + np.square(weights[:-1]).sum() / 2, gradient.ravel()

    found = minimize(loss, np.zeros((x.shape[1] + 1) * num_labels), jac=True, method="BFGS", options={"gtol": 1e-5})
    return found.x.reshape(-1, num_labels)


@pytest.mark.parametrize("num_labels", [10, 2])
def test_linear_probe_has_the_least_regularised_loss(digits, num_labels) -> None:
    z, y, z_test, y_test = digits
    few = y < 3 + num_labels
    z, y = z[few][:60], y[few][:60]  # few codes, for which the weight of ||W||^2 matters
    scale = StandardScaler().fit(z)
    weights = least(scale.transform(z), y - 3, num_labels)
    logits = scale.transform(z_test) @ weights[:-1] + weights[-1]
    found = linear_probe(*as_tensors(z, y, z_test, y_test))
    np.testing.assert_array_equal(found.numpy(), logits.argmax(1) + 3 == y_test)
    assert 0.1 < found.float().mean() < 0.99


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
