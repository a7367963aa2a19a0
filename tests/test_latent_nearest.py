from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from vaegan.latent.nearest import find_nearest, novelty


@pytest.mark.parametrize("chunk", [7, 50, 1000])
def test_neighbours_are_those_of_scikit_learn(chunk):
    rng = np.random.default_rng(0)
    references, queries = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=(9, 6)).astype(np.float32)
    distances, indices = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(references).kneighbors(queries)
    found, where = find_nearest(torch.from_numpy(queries), torch.from_numpy(references).split(chunk), 5)
    np.testing.assert_array_equal(where.numpy(), indices)
    np.testing.assert_allclose(found.numpy(), distances / 6**0.5, rtol=1e-5)


def test_copies_are_at_no_distance_and_one_grey_level_is_seen():
    # Large bright images, where the quick form of the distance would lose these digits.
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(200, 256, (40, 64, 64, 3), dtype=np.uint8))
    query = images[[3, 17]].clone()
    query[1, 0, 0, 0] -= 1
    found, where = find_nearest(query, images.split(16), 2)
    assert where[:, 0].tolist() == [3, 17]
    assert found[0, 0] == 0
    assert float(found[1, 0]) == pytest.approx(1 / 255 / (64 * 64 * 3) ** 0.5, rel=1e-4)
    assert found[0, 1] > 0.05


def test_fewer_references_than_neighbours():
    found, where = find_nearest(torch.zeros(2, 3), [torch.ones(2, 3), 2 * torch.ones(1, 3)], 10)
    assert where.tolist() == [[0, 1, 2]] * 2
    assert found.tolist() == [[1, 1, 2]] * 2


def test_novelty_of_copies_and_of_new_images():
    generator = torch.Generator().manual_seed(0)
    train, held_out, new = torch.randn(3, 400, 4, generator=generator)
    copies = train[:100] + 0.01 * torch.randn(100, 4, generator=generator)
    to_train = [find_nearest(x, [train], 1)[0][:, 0] for x in (held_out, new, copies)]
    assert novelty(to_train[1], to_train[0]).nearer == pytest.approx(0.05, abs=0.04)
    assert novelty(to_train[2], to_train[0]).nearer == 1.0


def test_figures_by_hand():
    found = novelty(torch.tensor([0.0, 1.0, 2.0, 9.0]), torch.arange(1.0, 22.0))
    assert found.samples == 1.5
    assert found.held_out == 11.0
    assert found.nearer == 0.5  # below 2, the 5 % quantile
