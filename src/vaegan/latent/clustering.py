"""Clusters and two-dimensional maps of codes; the same algorithms serve pixels and principal components.

k-means minimises the sum of squared distances to the nearest of k centres; a Gaussian mixture maximises the likelihood
of sum_k pi_k N(z | mu_k, Sigma_k) and assigns each code to its most likely component. Both take the best of several
starts. Groups of codes are often curved: a mixture on a UMAP embedding, which unfolds them, finds such groups (N2D,
McConville et al., arXiv:1908.05968). UMAP comes with the extra 'cluster' (umap-learn).

Maps place codes on a plane: their two principal components, or t-SNE (van der Maaten and Hinton 2008, "Visualizing data
using t-SNE"), which preserves neighbourhoods, but not distances between groups, nor their sizes. t-SNE comes with the
extra 'tsne' (openTSNE).
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import some_rows
from ..errors import UserError
from ..progress import BEAT_SECONDS, log, paced


@dataclass(frozen=True)
class Clusters:
    """Clusters of N points."""

    assignment: Tensor  # int64 `(N,)`, the cluster of each point
    centres: Tensor  # `(K, D)`, the centre of each cluster
    distances: Tensor  # `(N,)`, of each point to the centre of its cluster
    predict: Callable[[Tensor], Any] | None = None  # the clusters of other points, where it is not the nearest centre

    def nearest(self, cluster: int, num: int) -> Tensor:
        """Return indices of the `num` points of a cluster (or all) that are nearest to its centre, nearest first."""
        members = (self.assignment == cluster).nonzero()[:, 0]
        return members[self.distances[members].argsort(stable=True)[:num]]

    def assign(self, z: Tensor) -> Tensor:
        """Return the cluster of each of other points `(M, D)`, int64 `(M,)`."""
        if self.predict is None:
            return torch.cdist(z.cpu().float(), self.centres).argmin(1)
        return torch.as_tensor(self.predict(z)).long()

    def of(self, z: Tensor) -> "Clusters":
        """Return the same clusters with other points `(M, D)` in them."""
        return _clusters(z, self.assign(z), self.centres, self.predict)


def kmeans(z: Tensor, k: int, *, seed: int = 0, restarts: int = 10) -> Clusters:
    """Find k clusters by k-means.

    Args:
        z: points `(N, D)`.
        k: number of clusters.
        seed: of the first centres (k-means++).
        restarts: starts, of which the best is returned.

    Raises:
        UserError: if there are fewer points than clusters.
    """
    from sklearn.cluster import KMeans

    check_enough(len(z), k)
    points = z.cpu().numpy()
    starts = _starts(lambda state: KMeans(k, n_init=1, random_state=state).fit(points), seed, restarts, "k-means")
    best = min(starts, key=lambda fitted: float(fitted.inertia_))
    return _clusters(z, best.labels_, best.cluster_centers_)


def mixture(z: Tensor, k: int, *, seed: int = 0, restarts: int = 10, covariance: str = "full") -> Clusters:
    """Find k clusters by a mixture of k Gaussians, started by k-means; arguments and errors as `kmeans`.

    Restarts are compared by the likelihood of at most 10,000 points, drawn by the seed, and the best is then fitted to
    all. The covariance is 'full', or 'diag' for independent dimensions.
    """
    from sklearn.mixture import GaussianMixture

    check_enough(len(z), k)
    if len(z) < 2:
        raise UserError("a single image is too few for 'mixture'; use more, or --method kmeans")
    mean = z.cpu().double().mean(0)
    scale = (z.cpu().double() - mean).square().mean().sqrt().clamp_min(1e-12)  # one for all, as k-means starts it

    def scaled(points: Tensor) -> Any:
        return ((points.cpu().double() - mean) / scale).numpy()

    def fit(among: Any, **start: Any) -> Any:
        return GaussianMixture(k, covariance_type=covariance, reg_covar=1e-4, **start).fit(among)

    among = scaled(z)
    some = among[some_rows(len(z), max(k, _MOST_COMPARED), seed)]
    starts = _starts(lambda state: fit(some, random_state=state), seed, restarts, "mixture")
    best = max(starts, key=lambda fitted: float(fitted.lower_bound_))
    if len(some) < len(among):
        best = fit(among, weights_init=best.weights_, means_init=best.means_, precisions_init=best.precisions_)
    centres = best.means_ * scale.numpy() + mean.numpy()
    return _clusters(z, best.predict(among), centres, lambda points: best.predict(scaled(points)))


def _starts(fit: Callable[[np.random.RandomState], Any], seed: int, num: int, what: str) -> Iterator[Any]:
    """Yield the results of several starts, which are those of scikit-learn's ``n_init``; slow ones are logged."""
    state = np.random.RandomState(seed)
    return paced((fit(state) for _ in range(num)), num, what)


_MOST_COMPARED = 10_000
_NEIGHBOURS = 20
_MOST_DIMENSIONS = 10
_MOST_FITTED = 100_000
_ROWS = 10_000  # points whose neighbours are looked up at a time
_MISSING = "clusters by 'manifold' need umap-learn: pip install 'vaegan[cluster]'"


def manifold(z: Tensor, k: int, *, seed: int = 0, restarts: int = 10) -> Clusters:
    """Find k clusters by a mixture of k Gaussians on a UMAP embedding; arguments as `kmeans`.

    The embedding has k dimensions, at least 2 and at most 10. Of more than 100,000 points as many are drawn by the seed
    and embedded; the others, like new points, join the cluster of their nearest neighbours. The centre of a cluster is
    the mean of its points.

    Raises:
        UserError: if umap-learn is not installed, or if there are fewer points than clusters or than 21.
    """
    from sklearn.neighbors import KNeighborsClassifier

    check_enough(len(z), k)
    if len(z) <= _NEIGHBOURS:
        raise UserError(f"{len(z)} images are too few for 'manifold'; use more, or --method kmeans")
    z = z.cpu().float()
    rows = torch.from_numpy(some_rows(len(z), _MOST_FITTED, seed))
    if len(rows) < len(z):
        log.info("UMAP embeds %d of %d codes; the others are assigned by their nearest neighbours", len(rows), len(z))
    embedding = _umap(z[rows], min(max(k, 2), _MOST_DIMENSIONS), seed)
    found = mixture(embedding, k, seed=seed, restarts=restarts)
    neighbours = KNeighborsClassifier(_NEIGHBOURS, weights="distance")
    neighbours.fit(z[rows].numpy(), found.assignment.numpy())

    def predict(points: Tensor) -> Tensor:
        parts = torch.split(points.cpu().float(), _ROWS)
        labels = [torch.from_numpy(neighbours.predict(part.numpy())) for part in paced(parts, len(parts), "neighbours")]
        return torch.cat(labels)

    assignment = torch.full((len(z),), -1).index_copy(0, rows, found.assignment)
    if len(others := (assignment < 0).nonzero()[:, 0]):
        assignment[others] = predict(z[others])
    sums, sizes = torch.zeros(k, z.shape[1]).index_add(0, assignment, z), assignment.bincount(minlength=k)
    return _clusters(z, assignment, sums / sizes.clamp_min(1)[:, None], predict)


def _write(text: str) -> None:
    if text := text.strip():
        log.info("%s", text)


def _umap(z: Tensor, dim: int, seed: int) -> Tensor:
    """Return the UMAP embedding `(N, dim)` of points `(N, D)` that N2D uses; slow work is logged."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise UserError(_MISSING) from error
    log.info("UMAP embeds %d codes in %d dimensions", len(z), dim)
    bar: dict[str, Any] = {"disable": False, "mininterval": BEAT_SECONDS, "delay": BEAT_SECONDS, "leave": False}
    bar |= {"miniters": 1, "file": SimpleNamespace(write=_write, flush=lambda: None)}
    bar["bar_format"] = "UMAP: {n_fmt} of {total_fmt} epochs, {remaining} left"
    # With several threads, UMAP gives other numbers each time.
    umap = UMAP(_NEIGHBOURS, dim, min_dist=0.0, random_state=seed, n_jobs=1, tqdm_kwds=bar)
    threads = torch.get_num_threads()
    embedding = umap.fit_transform(z.numpy())
    torch.set_num_threads(threads)  # numba, which compiles UMAP, sets those of torch as well
    return torch.as_tensor(embedding, dtype=torch.float32)


def principal_components(x: Tensor, num: int) -> Tensor:
    """Return the coordinates `(N, num)` of points `(N, D)` along their directions of largest variance.

    There are at most min(N, D). The sign of each direction is such that its largest coordinate in D is positive.
    """
    from sklearn.decomposition import PCA

    num = min(num, *x.shape)
    with np.errstate(invalid="ignore"):  # a single point has no variance
        return torch.from_numpy(PCA(num, random_state=0).fit_transform(x.cpu().double().numpy())).float()


MOST_CLUSTERS = 50
ALGORITHMS: dict[str, Callable[..., Clusters]] = {"kmeans": kmeans, "mixture": mixture, "manifold": manifold}
"""Every algorithm by its name; each takes points, k, seed and restarts."""


def pick_algorithm(name: str | None) -> str:
    """Return the algorithm of this name, or without one the best installed; UserError if the one named is not."""
    installed = importlib.util.find_spec("umap") is not None
    if name == "manifold" and not installed:
        raise UserError(_MISSING)
    if name is None and not installed:
        log.info("clusters by k-means; those by 'manifold' are often better: pip install 'vaegan[cluster]'")
    return name or ("manifold" if installed else "kmeans")


def default_k(label_names: Sequence[str]) -> int:
    """Return how many clusters to look for: one for each label, at most `MOST_CLUSTERS`; 10 without labels."""
    return min(len(label_names), MOST_CLUSTERS) if len(label_names) > 1 else 10


def check_enough(num: int, k: int) -> None:
    """Raise UserError if there are fewer images than clusters."""
    if num < k:
        are = "image is" if num == 1 else "images are"
        raise UserError(f"{num} {are} too few for {k} clusters; use more images or fewer clusters (--k)")


def _clusters(
    z: Tensor, assignment: object, centres: object, predict: Callable[[Tensor], Any] | None = None
) -> Clusters:
    assigned, middle = torch.as_tensor(assignment).long(), torch.as_tensor(centres, dtype=torch.float32)
    return Clusters(assigned, middle, (z.cpu().float() - middle[assigned]).norm(dim=1), predict)


def pca_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return the two principal components `(N, 2)` of codes `(N, Z)`, 0 for one that is missing; ``seed`` is unused."""
    points = principal_components(z, 2)
    return F.pad(points, (0, 2 - points.shape[1]))


def import_tsne() -> Any:
    """Return openTSNE's class; UserError if it is not installed."""
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise UserError("t-SNE needs openTSNE: pip install 'vaegan[tsne]', or use --map pca") from error
    return TSNE


def tsne_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return points `(N, 2)` of codes `(N, Z)` by t-SNE; UserError if openTSNE is not installed."""
    tsne = import_tsne()
    if (z == z[0]).all():
        return torch.zeros(len(z), 2)  # there are no neighbours to preserve
    z = F.pad(z, (0, max(0, 2 - z.shape[1])))  # it starts from two principal components
    perplexity = min(30.0, max(1.0, (len(z) - 1) / 3))
    points = tsne(perplexity=perplexity, random_state=seed).fit(z.cpu().double().numpy())
    return torch.tensor(points).float()


MAPS = {"pca": pca_map, "tsne": tsne_map}
"""Every map by its name; each takes codes and a seed."""
