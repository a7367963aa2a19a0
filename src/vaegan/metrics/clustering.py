"""How well clusters agree with labels that had no part in making them.

All are functions of the table n_kc, the number of images of cluster k with label c, n in all. Clusters have no names,
so none of these depends on how clusters or labels are numbered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def contingency(clusters: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return n_kc: how many images each cluster (row) has of each label (column), both in order of their numbers."""
    names_k, k = np.unique(np.asarray(clusters), return_inverse=True)
    names_c, c = np.unique(np.asarray(labels), return_inverse=True)
    table = np.zeros((len(names_k), len(names_c)), np.int64)
    np.add.at(table, (k, c), 1)
    return table


def purity(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Share of images whose label is the most frequent one of their cluster; 1 is best, and more clusters help."""
    table = contingency(clusters, labels)
    return float(table.max(1).sum() / table.sum())


def matched_accuracy(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Share of images that are right when each cluster stands for one label and each label for one cluster.

    Of all such matches the best counts (Kuhn 1955, "The Hungarian method for the assignment problem"); images of
    clusters left over are wrong.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(clusters, labels)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def normalised_mutual_information(clusters: ArrayLike, labels: ArrayLike) -> float:
    """I(K; C) / ((H(K) + H(C)) / 2), in [0, 1]; 1 if there is but one cluster and one label.

    Strehl and Ghosh 2002, "Cluster ensembles", with the arithmetic mean.
    """
    p = contingency(clusters, labels) / np.size(labels)
    entropies = _entropy(p.sum(1)), _entropy(p.sum(0))
    if sum(entropies) == 0:
        return 1.0
    return float(2 * (sum(entropies) - _entropy(p)) / sum(entropies))


def adjusted_rand_index(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Share of pairs of images treated alike by both, set to 0 for chance and to 1 for the best.

    Hubert and Arabie 1985, "Comparing partitions", eq. 5: with pairs C(n) = n (n - 1) / 2, it is
    (sum C(n_kc) - E) / ((sum C(n_k.) + sum C(n_.c)) / 2 - E) where E = sum C(n_k.) sum C(n_.c) / C(n).
    """
    table = contingency(clusters, labels)
    both, rows, columns = (_pairs(counts) for counts in (table, table.sum(1), table.sum(0)))
    expected = rows * columns / max(_pairs(table.sum()), 1)
    best = (rows + columns) / 2
    return 1.0 if best == expected else float((both - expected) / (best - expected))


SCORES = {
    "accuracy": matched_accuracy,
    "nmi": normalised_mutual_information,
    "ari": adjusted_rand_index,
    "purity": purity,
}
"""Every score by its short name."""


def _entropy(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _pairs(counts: NDArray[np.int64] | np.int64) -> float:
    counts = np.asarray(counts, float)
    return float((counts * (counts - 1) / 2).sum())
