"""Clusters for people: the images nearest to each centre, and what each cluster is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .grid import Bytes

if TYPE_CHECKING:
    from ..latent.kmeans import Clusters


def gallery(images: Bytes, clusters: Clusters, num: int, blank: int) -> Bytes:
    """Return for each cluster its images nearest to its centre, the nearest first.

    Args:
        images: uint8 `(N, H, W, C)`, those that were clustered.
        clusters: K of them.
        num: images of a cluster.
        blank: value of the tiles left over where a cluster has fewer.

    Returns:
        uint8 `(K, num, H, W, C)`.
    """
    shown = np.full((len(clusters.centres), num, *images.shape[1:]), blank, np.uint8)
    for cluster, row in enumerate(shown):
        nearest = clusters.nearest(cluster, num).numpy()
        row[: len(nearest)] = images[nearest]
    return shown


def cluster_names(clusters: Clusters, labels: NDArray[Any] | None, label_names: Sequence[str]) -> list[str]:
    """Return a name for each cluster: its number, its size, and where there are labels its most frequent one.

    Args:
        clusters: K of them.
        labels: int `(N,)`, indices into ``label_names``, or None.
        label_names: names of all labels.
    """
    names = []
    for cluster in range(len(clusters.centres)):
        members = (clusters.assignment == cluster).numpy()
        name = f"{cluster}: {members.sum():,} image{'s' if members.sum() != 1 else ''}"
        if labels is not None and members.any():
            counts = np.bincount(labels[members], minlength=len(label_names))
            name += f", {counts.max() / members.sum():.0%} “{label_names[int(counts.argmax())]}”"
        names.append(name)
    return names
