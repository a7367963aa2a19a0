from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from vaegan.metrics import precision_recall as manifold
from vaegan.metrics.precision_recall import Manifold, overlap


def rows(num, seed, shift=0.0, scale=1.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, scale, (num, 3)).astype(np.float32))


def by_scikit_learn(real, samples, k):
    def radii(x):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]

    distances = pairwise_distances(real, samples)
    inside = distances <= radii(real)[:, None]
    recalled = distances <= radii(samples)[None]
    return inside.any(0).mean(), recalled.any(1).mean(), inside.sum(0).mean() / k, inside.any(1).mean()


@pytest.mark.parametrize("k", [1, 5])
def test_all_four_are_those_of_scikit_learns_neighbours_in_chunks(k, monkeypatch):
    monkeypatch.setattr(manifold, "_AT_A_TIME", 2000)
    real, samples = rows(230, 0), rows(170, 1, 0.7, 0.6)
    found = overlap(Manifold.of(real, k), Manifold.of(samples, k))
    means = [float(x.mean()) for x in (found.precision, found.recall, found.density, found.coverage)]
    assert means == pytest.approx(by_scikit_learn(real.numpy(), samples.numpy(), k), abs=1e-6)
    assert [len(x) for x in (found.precision, found.recall, found.density, found.coverage)] == [170, 230, 170, 230]


def test_on_a_line_a_hand_can_count():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # radii to the first neighbour: 1, 1, 1, 8
    samples = torch.tensor([[0.5], [0.6], [50.0]])  # radii 0.1, 0.1, 49.4
    found = overlap(Manifold.of(real, 1), Manifold.of(samples, 1))
    assert found.precision.tolist() == [1, 1, 0]
    assert found.density.tolist() == [2, 2, 0]  # the balls around 0 and 1
    assert found.coverage.tolist() == [1, 1, 0, 0]
    assert found.recall.tolist() == [0, 1, 1, 1]  # 50, 49, 48 and 40 from the last sample


def test_density_counts_in_units_of_the_real_images_neighbours():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    samples = torch.tensor([[0.5], [0.6], [50.0]])
    found = overlap(Manifold.of(real, 2), Manifold.of(samples, 1))  # radii of real images: 2, 1, 2, 9
    assert found.density.tolist() == [3 / 2, 3 / 2, 0]


def test_dropped_modes_lower_recall_and_coverage_far_samples_precision_and_density():
    real = torch.cat([rows(300, 0), rows(300, 1, 20.0)])
    half, far = rows(600, 2), torch.cat([rows(300, 3), rows(300, 4, -20.0)])
    dropped, lost = (overlap(Manifold.of(real), Manifold.of(x)) for x in (half, far))
    assert dropped.precision.mean() > 0.9 > 0.55 > dropped.coverage.mean()
    assert dropped.recall.mean() < 0.55
    assert lost.precision.mean() < 0.55
    assert lost.density.mean() < 0.6
