"""Agreement of clusters with labels that were not used to make them.

All scores are functions of the table n_kc, the number of images of cluster k with label c; none depends on how clusters
and labels are numbered. Purity and matched accuracy are not in scikit-learn.
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
    """Share of images that are right when clusters and labels are matched one to one.

    The best of all matches counts (Kuhn 1955, "The Hungarian method for the assignment problem"); images of unmatched
    clusters are wrong.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(clusters, labels)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def normalised_mutual_information(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Return I(K; C) / ((H(K) + H(C)) / 2), in [0, 1] (Strehl and Ghosh 2002, with the arithmetic mean)."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(labels, clusters))


def adjusted_rand_index(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of pairs treated alike by both, rescaled to 0 by chance, 1 at best (Hubert and Arabie 1985)."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(labels, clusters))


SCORES = {
    "accuracy": matched_accuracy,
    "nmi": normalised_mutual_information,
    "ari": adjusted_rand_index,
    "purity": purity,
}
"""Every score by its short name."""
