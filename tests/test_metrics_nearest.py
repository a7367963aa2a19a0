from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from vaegan.metrics import memorisation as nearest
from vaegan.metrics.memorisation import find_nearest


@pytest.mark.parametrize("chunk", [7, 50, 1000])
@pytest.mark.parametrize("block", [1, 300, 2**24])
def test_neighbours_are_those_of_scikit_learn(chunk, block, monkeypatch):
    monkeypatch.setattr(nearest, "_BLOCK", block)
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


def test_what_all_have_in_common_takes_no_digits():
    generator = torch.Generator().manual_seed(0)
    references, queries = (5000 + torch.randn(size, 6, generator=generator) for size in (500, 20))
    distances, indices = torch.cdist(queries.double(), references.double()).sort(dim=1)
    found, where = find_nearest(queries, references.split(200), 3)
    torch.testing.assert_close(found, (distances[:, :3] / 6**0.5).float(), rtol=0, atol=1e-3)
    assert (where == indices[:, :3]).float().mean() > 0.98


def test_all_the_same():
    found, where = find_nearest(torch.full((3, 4), 0.1), [torch.full((40, 4), 0.1)], 2)
    assert found.tolist() == [[0, 0]] * 3
    assert (where.sort(dim=1).values.diff() > 0).all()
