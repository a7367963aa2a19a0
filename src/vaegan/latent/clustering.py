"""Clusters and two-dimensional maps of codes; the same algorithms serve pixels and principal components.

k-means minimises the sum of squared distances to the nearest of k centres; a Gaussian mixture maximises the likelihood
of sum_k pi_k N(z | mu_k, Sigma_k) and assigns each code to its most likely component. Both take the best of several
starts.

Maps place codes on a plane: their two principal components, or t-SNE (van der Maaten and Hinton 2008, "Visualizing data
using t-SNE"), which preserves neighbourhoods, but not distances between groups, nor their sizes. t-SNE comes with the
extra 'tsne' (openTSNE).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError


@dataclass(frozen=True)
class Clusters:
    """Clusters of N points."""

    assignment: Tensor  # int64 `(N,)`, the cluster of each point
    centres: Tensor  # `(K, D)`, the centre of each cluster
    distances: Tensor  # `(N,)`, of each point to the centre of its cluster

    def nearest(self, cluster: int, num: int) -> Tensor:
        """Return indices of the `num` points of a cluster (or all) that are nearest to its centre, nearest first."""
        members = (self.assignment == cluster).nonzero()[:, 0]
        return members[self.distances[members].argsort(stable=True)[:num]]


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

    _check(z, k)
    fitted = KMeans(k, n_init=restarts, random_state=seed).fit(z.cpu().numpy())
    return _clusters(z, fitted.labels_, fitted.cluster_centers_)


def mixture(z: Tensor, k: int, *, seed: int = 0, restarts: int = 3, covariance: str = "full") -> Clusters:
    """Find k clusters by a mixture of k Gaussians, started by k-means; arguments and errors as `kmeans`.

    Each dimension of the points is scaled to variance 1 first, for numerical stability. The covariance is 'full', or
    'diag' for independent dimensions.
    """
    from sklearn.mixture import GaussianMixture

    _check(z, k)
    scale = z.double().std(0).clamp_min(1e-12)
    scaled = ((z.double() - z.double().mean(0)) / scale).cpu().numpy()
    fitted = GaussianMixture(k, covariance_type=covariance, n_init=restarts, random_state=seed, reg_covar=1e-4)
    assignment = fitted.fit_predict(scaled)
    return _clusters(z, assignment, fitted.means_ * scale.cpu().numpy() + z.double().mean(0).cpu().numpy())


def principal_components(x: Tensor, num: int) -> Tensor:
    """Return the coordinates `(N, num)` of points `(N, D)` along their directions of largest variance.

    There are at most min(N, D). The sign of each direction is such that its largest coordinate in D is positive.
    """
    from sklearn.decomposition import PCA

    num = min(num, *x.shape)
    return torch.from_numpy(PCA(num, random_state=0).fit_transform(x.cpu().double().numpy())).float()


MOST_CLUSTERS = 50
ALGORITHMS: dict[str, Callable[..., Clusters]] = {"kmeans": kmeans, "mixture": mixture}
"""Every algorithm by its name; each takes points, k, seed and restarts."""


def default_k(label_names: Sequence[str]) -> int:
    """Return how many clusters to look for: one for each label, at most `MOST_CLUSTERS`; 10 without labels."""
    return min(len(label_names), MOST_CLUSTERS) if len(label_names) > 1 else 10


def _check(z: Tensor, k: int) -> None:
    if len(z) < k:
        raise UserError(
            f"{len(z)} images are too few for {k} clusters; take more images (--split train) or fewer clusters (--k)"
        )


def _clusters(z: Tensor, assignment: object, centres: object) -> Clusters:
    assigned, middle = torch.as_tensor(assignment).long(), torch.as_tensor(centres, dtype=torch.float32)
    return Clusters(assigned, middle, (z.cpu().float() - middle[assigned]).norm(dim=1))


def pca_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return the two principal components `(N, 2)` of codes `(N, Z)`, 0 for one that is missing; ``seed`` is unused."""
    points = principal_components(z, 2)
    return F.pad(points, (0, 2 - points.shape[1]))


def tsne_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return points `(N, 2)` of codes `(N, Z)` by t-SNE; UserError if openTSNE is not installed."""
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise UserError("t-SNE needs openTSNE: pip install 'vaegan[tsne]', or take the map pca") from error
    perplexity = min(30.0, max(1.0, (len(z) - 1) / 3))
    points = TSNE(perplexity=perplexity, random_state=seed).fit(z.cpu().double().numpy())
    return torch.tensor(points).float()


MAPS = {"pca": pca_map, "tsne": tsne_map}
"""Every map by its name; each takes codes and a seed."""
