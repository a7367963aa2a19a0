"""Clusters of codes: the images nearest to each centre, their names, and how well they fit the labels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import ImageSet
from ..latent.clustering import ALGORITHMS, Clusters, kmeans, principal_components
from ..metrics.label_scores import cluster_scores
from ..pixels import Shown
from ..progress import Watch
from ..report.scatter import Grouping
from .view import View


def cluster_names(clusters: Clusters, labels: NDArray[Any] | None, label_names: Sequence[str]) -> list[str]:
    """Return a name for each cluster: its number, its size, and where there are labels its most frequent one."""
    names = []
    for cluster in range(len(clusters.centres)):
        members = (clusters.assignment == cluster).numpy()
        name = f"{cluster}: {members.sum():,} image{'s' if members.sum() != 1 else ''}"
        if labels is not None and members.any():
            counts = np.bincount(labels[members], minlength=len(label_names))
            name += f", {counts.max() / members.sum():.0%} “{label_names[int(counts.argmax())]}”"
        names.append(name)
    return names


def cluster_gallery(images: ImageSet, clusters: Clusters, num: int, shown: Shown, blank: float = 1.0) -> View:
    """Return a cluster in each row, `(K, num, H, W, C)`: its images nearest to its centre, the nearest first.

    Tiles left over are ``blank``, from 0 (black) to 1 (white).
    """
    names = cluster_names(clusters, images.labels, images.label_names)
    empty = images.pixels.low + blank * images.pixels.span
    tiles = np.full((len(names), num, *images.images.shape[1:]), empty, images.images.dtype)
    for cluster, row in enumerate(tiles):
        nearest = clusters.nearest(cluster, num).numpy()
        row[: len(nearest)] = images.images[nearest]
    return View(
        tiles,
        shown=shown,
        rows=names,
        caption="Each row is a cluster, the images nearest to its centre first, with the most frequent label.",
    )


def groupings(images: ImageSet, clusters: Clusters, names: Sequence[str]) -> list[Grouping]:
    """Return what a map of the codes can be coloured by: clusters, and labels where there are any."""
    by = [Grouping("clusters", clusters.assignment.numpy(), names)]
    return by if images.labels is None else [*by, Grouping("labels", images.labels, images.label_names)]


def label_scores(clusters: Clusters, images: ImageSet) -> dict[str, float]:
    """Return `cluster_scores` against the labels; empty without labels."""
    if images.labels is None:
        return {}
    return cluster_scores(clusters.assignment, images.labels)


def conclusion(clusters: Clusters, images: ImageSet) -> str:
    """Say in one sentence how well clusters follow the labels (by the ARI), or how large they are without labels."""
    sizes = clusters.assignment.bincount(minlength=len(clusters.centres))
    if images.labels is None:
        return f"There are no labels to compare with; clusters have {int(sizes.min())} to {int(sizes.max())} images"
    scores = label_scores(clusters, images)
    how = "closely follow" if scores["ari"] > 0.8 else "partly follow" if scores["ari"] > 0.2 else "hardly follow"
    alone = np.bincount(images.labels).max() / len(images)
    return (
        f"Clusters {how} the labels: {scores['purity']:.0%} of the images are in a cluster of mostly their own label, "
        f"{alone:.0%} have the most frequent label (all scores: higher is better, at most 1)"
    )


def clusterings(
    codes: Tensor,
    images: ImageSet,
    k: int,
    method: str,
    *,
    seeds: Sequence[int],
    restarts: int,
    baselines: bool,
    watch: Watch,
) -> Iterator[tuple[str, int, Clusters]]:
    """Yield what was clustered, the seed, and the clusters; the codes `(N, Z)` with the first seed come first.

    The method is one of `latent.clustering.ALGORITHMS`; of its restarts the best counts. Baselines are the pixels and
    as many of their principal components as the codes have dimensions.
    """
    cluster = ALGORITHMS[method]
    points = {"codes": (codes, cluster)}
    if baselines:
        pixels = images.unit().permute(0, 2, 3, 1).flatten(1)
        # Pixels have too many dimensions for the covariances of a mixture.
        of_pixels = kmeans if method == "mixture" else cluster
        points |= {"pixels": (pixels, of_pixels), "PCA": (principal_components(pixels, codes.shape[1]), cluster)}
    jobs = [(name, seed) for name in points for seed in seeds]
    for name, seed in watch(jobs, len(jobs), "clustering"):
        z, algorithm = points[name]
        yield name, seed, algorithm(z, k, seed=seed, restarts=restarts)
