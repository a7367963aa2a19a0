from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_moons
from sklearn.manifold import SpectralEmbedding
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from vaegan.errors import UserError
from vaegan.latent import clustering
from vaegan.latent.clustering import (
    ALGORITHMS,
    default_k,
    kmeans,
    manifold,
    mixture,
    pca_map,
    pick_algorithm,
    principal_components,
    tsne_map,
)


class SpectralUMAP:
    """Stands in for UMAP: another embedding of the graph of neighbours, from scikit-learn."""

    def __init__(self, n_neighbors, n_components, *, min_dist, random_state, n_jobs, tqdm_kwds):
        assert (min_dist, n_jobs) == (0, 1)
        self.tqdm_kwds = tqdm_kwds
        self.embedding = SpectralEmbedding(n_components, n_neighbors=n_neighbors, random_state=random_state)

    def fit_transform(self, z):
        list(tqdm(range(500), **self.tqdm_kwds))
        torch.set_num_threads(3)  # as numba does
        return self.embedding.fit_transform(z) / 0.01


@pytest.fixture
def umap(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=SpectralUMAP, __spec__="found"))


def moons(num, seed=0):
    """Two interleaved curves in 10 dimensions, and which curve each point is on."""
    x, truth = make_moons(num, noise=0.04, random_state=seed)
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 2)))[0]
    noise = np.random.default_rng(seed).normal(size=(num, 10))
    return torch.from_numpy(x @ plane.T + 0.02 * noise).float(), truth


@pytest.fixture(scope="module")
def groups():
    """Three clouds of very unequal spread in 5 dimensions, one of them stretched."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 5, generator=generator)
    truth = torch.arange(300) % 3
    centres = torch.tensor([[0.0, 0, 0, 0, 0], [9, 0, 0, 0, 0], [0, 9, 0, 0, 0]])
    noise[truth == 1] *= torch.tensor([1, 3, 1, 1, 1])
    return centres[truth] + noise, truth, centres


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_groups_are_found(algorithm, groups, umap):
    z, truth, centres = groups
    found = algorithm(z, 3)
    assert adjusted_rand_score(truth, found.assignment) > 0.95
    assert torch.cdist(found.centres, centres).min(0).values.max() < 0.6
    assert torch.equal(found.assign(z), found.assignment)
    torch.testing.assert_close(found.distances, (z - found.centres[found.assignment]).norm(dim=1))


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_seed_gives_the_same_clusters(algorithm, umap):
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    a, b, c = (algorithm(z, 6, seed=seed, restarts=1) for seed in (0, 0, 1))
    assert torch.equal(a.assignment, b.assignment)
    assert not torch.equal(a.assignment, c.assignment)


def test_kmeans_is_at_rest():
    # Each point is with its nearest centre, each centre is the mean of its points.
    z = torch.from_numpy(load_digits().data).float()
    found = kmeans(z, 10, restarts=2)
    assert (torch.cdist(z, found.centres).argmin(1) == found.assignment).float().mean() > 0.999
    means = torch.stack([z[found.assignment == k].mean(0) for k in range(10)])
    torch.testing.assert_close(means, found.centres, atol=0.05, rtol=0)


def test_more_restarts_never_fit_worse():
    z = torch.randn(300, 8, generator=torch.Generator().manual_seed(2))
    errors = [float(kmeans(z, 12, restarts=restarts).distances.square().sum()) for restarts in (1, 20)]
    assert errors[1] <= errors[0]


def test_mixture_tells_clouds_of_one_centre_apart_where_kmeans_cannot():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(600, 2, generator=generator)
    truth = torch.arange(600) % 2
    z[truth == 1] *= 20
    assert adjusted_rand_score(truth, mixture(z, 2, seed=1).assignment) > 0.8
    assert adjusted_rand_score(truth, kmeans(z, 2).assignment) < 0.2


def test_clusters_are_those_of_scikit_learn(groups):
    z, _, _ = groups
    new = z + 0.5
    theirs = KMeans(3, n_init=10, random_state=0).fit(z.numpy())
    assert np.array_equal(kmeans(z, 3).assign(new), theirs.predict(new.numpy()))
    middle = z.double() - z.double().mean(0)
    scale = middle.square().mean().sqrt()
    model = GaussianMixture(3, n_init=10, random_state=0, reg_covar=1e-4).fit((middle / scale).numpy())
    assert np.array_equal(mixture(z, 3).assign(new), model.predict((middle / scale + 0.5 / scale).numpy()))


def test_a_mixture_compared_on_some_points_is_fitted_to_all(groups, monkeypatch):
    z, truth, _ = groups
    monkeypatch.setattr(clustering, "_MOST_COMPARED", 60)
    found = mixture(z, 3)
    assert adjusted_rand_score(truth, found.assignment) > 0.95
    of_all = torch.stack([z[truth == k].mean(0) for k in range(3)])
    assert torch.cdist(found.centres, of_all).min(0).values.max() < 0.05  # of 20 points each, they are 0.2 away


def check_moons():
    """Curves are found, new points join them, and the same seed gives the same."""
    z, truth = moons(400)
    threads = torch.get_num_threads()
    found = manifold(z, 2)
    assert torch.get_num_threads() == threads
    assert adjusted_rand_score(truth, kmeans(z, 2).assignment) < 0.5
    assert adjusted_rand_score(truth, found.assignment) == 1
    assert torch.equal(found.assignment, manifold(z, 2).assignment)
    more, theirs = moons(300, seed=1)
    assert adjusted_rand_score(theirs, found.assign(more)) == 1
    torch.testing.assert_close(found.centres[0], z[found.assignment == 0].mean(0))
    return z, truth


def test_curves_are_unfolded(umap, monkeypatch, caplog):
    caplog.set_level("INFO", "vaegan")
    z, truth = check_moons()
    assert set(caplog.messages) == {"UMAP embeds 400 codes in 2 dimensions"}
    caplog.clear()
    monkeypatch.setattr(clustering, "_MOST_FITTED", 250)
    monkeypatch.setattr(clustering, "_ROWS", 64)
    monkeypatch.setattr(clustering, "BEAT_SECONDS", 0)
    assert adjusted_rand_score(truth, manifold(z, 2).assignment) == 1
    assert "UMAP embeds 250 of 400 codes; the others are assigned by their nearest neighbours" in caplog.messages
    assert any(line.startswith("UMAP: 0 of 500 epochs") for line in caplog.messages)


@pytest.mark.slow
def test_curves_are_unfolded_by_umap(monkeypatch):
    monkeypatch.delitem(sys.modules, "umap")
    pytest.importorskip("umap", reason="the extra cluster is not installed")
    check_moons()
    for z in (torch.zeros(30, 3), torch.arange(21.0)[:, None], torch.eye(25)):
        assert manifold(z, 10).assignment.max() < 10


def test_the_best_installed_algorithm_is_picked(monkeypatch, caplog, request):
    caplog.set_level("INFO", "vaegan")
    assert (pick_algorithm(None), pick_algorithm("mixture")) == ("kmeans", "mixture")
    assert caplog.messages == [
        "clusters by k-means; those by 'manifold' are often better: pip install 'vaegan[cluster]'"
    ]
    for call in (lambda: pick_algorithm("manifold"), lambda: manifold(torch.zeros(30, 2), 2)):
        with pytest.raises(UserError, match=r"need umap-learn: pip install 'vaegan\[cluster\]'"):
            call()
    request.getfixturevalue("umap")
    assert (pick_algorithm(None), pick_algorithm("kmeans")) == ("manifold", "kmeans")


def test_nearest_come_first(groups):
    z, _, _ = groups
    found = kmeans(z, 3)
    for cluster in range(3):
        nearest = found.nearest(cluster, 5)
        members = np.flatnonzero(found.assignment.numpy() == cluster)
        assert nearest.tolist() == sorted(members, key=lambda i: float(found.distances[i]))[:5]
    assert len(found.nearest(0, 1000)) == int((found.assignment == 0).sum())


def test_principal_components_by_svd():
    x = (
        torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
        @ torch.diag(torch.arange(1.0, 7)).double()
    )
    u, s, _ = np.linalg.svd((x - x.mean(0)).numpy(), full_matrices=False)
    np.testing.assert_allclose(principal_components(x, 3).abs().numpy(), np.abs(u * s)[:, :3], rtol=1e-4, atol=1e-5)
    assert principal_components(x, 99).shape == (50, 6)
    assert pca_map(x).shape == (50, 2)


@pytest.mark.parametrize("x", [torch.ones(1, 6), torch.ones(5, 6)])
@pytest.mark.filterwarnings("error")
def test_points_without_variance_have_a_map(x):
    assert pca_map(x).tolist() == [[0, 0]] * len(x)


def test_too_few_points():
    assert [default_k(labels) for labels in ((), ("one",), ("a", "b", "c"), range(102))] == [10, 10, 3, 50]
    with pytest.raises(UserError, match="3 images are too few for 4 clusters"):
        kmeans(torch.zeros(3, 2), 4)
    with pytest.raises(UserError, match="20 images are too few for 'manifold'; use more, or --method kmeans"):
        manifold(torch.zeros(20, 2), 4)
    with pytest.raises(UserError, match="a single image is too few for 'mixture'; use more, or --method kmeans"):
        mixture(torch.zeros(1, 2), 1)


def test_tsne_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(UserError, match=r"pip install 'vaegan\[tsne\]'"):
        tsne_map(torch.zeros(5, 3))


def test_tsne_hands_over_codes_and_seed(monkeypatch):
    asked = {}

    class TSNE:
        def __init__(self, **settings):
            asked.update(settings)

        def fit(self, z):
            return z[:, :2]

    monkeypatch.setitem(sys.modules, "openTSNE", types.SimpleNamespace(TSNE=TSNE))
    z = torch.randn(20, 3)
    torch.testing.assert_close(tsne_map(z, seed=5), z[:, :2])
    assert asked["random_state"] == 5
    assert asked["perplexity"] < 20
    torch.testing.assert_close(tsne_map(z[:, :1]), F.pad(z[:, :1], (0, 1)))  # it starts from two dimensions
    assert tsne_map(torch.ones(20, 3)).tolist() == [[0, 0]] * 20  # openTSNE would give NaN


def test_tsne_keeps_groups_together(groups):
    pytest.importorskip("openTSNE", reason="the extra tsne is not installed")
    z, truth, _ = groups
    places = tsne_map(z, seed=0)
    nearest = torch.cdist(places, places).fill_diagonal_(torch.inf).argmin(1)
    assert (truth[nearest] == truth).float().mean() > 0.95
    assert torch.equal(places, tsne_map(z, seed=0))
