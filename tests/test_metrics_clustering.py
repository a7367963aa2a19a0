from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics

from vaegan.metrics.label_scores import cluster_scores


@pytest.fixture(params=[(4, 4), (6, 3), (2, 5)])
def assigned(request):
    num_clusters, num_labels = request.param
    rng = np.random.default_rng(num_clusters)
    labels = rng.integers(0, num_labels, 300)
    clusters = np.where(rng.random(300) < 0.5, labels % num_clusters, rng.integers(0, num_clusters, 300))
    return clusters, labels


def test_nmi_and_ari_by_hand():
    # Clusters of 3 and 1, labels of 2 and 2: the table is [[2, 1], [0, 1]].
    clusters, labels = [7, 7, 7, 8], ["a", "a", "b", "b"]
    of_clusters, of_labels = -0.75 * np.log(0.75) - 0.25 * np.log(0.25), np.log(2)
    both = -0.5 * np.log(0.5) - 2 * 0.25 * np.log(0.25)
    nmi = (of_clusters + of_labels - both) / ((of_clusters + of_labels) / 2)
    assert cluster_scores(clusters, labels)["nmi"] == pytest.approx(nmi)
    # Of 6 pairs 1 is together in both, 3 in the clusters, 2 in the labels; by chance 3 x 2 / 6 = 1 would be.
    assert cluster_scores(clusters, labels)["ari"] == pytest.approx((1 - 1) / ((3 + 2) / 2 - 1), abs=1e-12)
    # [[3, 0], [1, 1]]: of 10 pairs 3 are together in both, 4 in the clusters, 6 in the labels; by chance 4 x 6 / 10.
    assert cluster_scores([0, 0, 0, 1, 1], [0, 0, 0, 0, 1])["ari"] == pytest.approx((3 - 2.4) / ((4 + 6) / 2 - 2.4))


def test_matched_accuracy_is_the_best_of_all_matches(assigned):
    clusters, labels = assigned
    table = metrics.cluster.contingency_matrix(clusters, labels)
    table = table if len(table) <= len(table.T) else table.T
    matches = itertools.permutations(range(table.shape[1]), len(table))
    best = max(sum(table[k, c] for k, c in enumerate(match)) for match in matches)
    assert cluster_scores(clusters, labels)["accuracy"] == pytest.approx(best / len(labels))


def test_by_hand():
    # Cluster 5 has labels 0 0 1, cluster 9 has 1 1 1 2: both would like label 1.
    clusters, labels = [5, 5, 5, 9, 9, 9, 9], [0, 0, 1, 1, 1, 1, 2]
    scores = cluster_scores(clusters, labels)
    assert (scores["purity"], scores["accuracy"]) == pytest.approx((5 / 7, 5 / 7))
    assert cluster_scores([0, 0, 1, 1], [3, 3, 3, 8])["accuracy"] == pytest.approx(3 / 4)
    scores = cluster_scores([0, 0, 1, 1], [3, 3, 3, 3])
    assert (scores["purity"], scores["accuracy"]) == (1.0, 0.5)


def test_equal_but_for_names_is_best():
    labels = np.random.default_rng(0).integers(0, 5, 100)
    best = dict.fromkeys(("accuracy", "nmi", "ari", "purity"), 1.0)
    assert cluster_scores((labels + 3) % 5 * 10, labels) == pytest.approx(best)
    assert cluster_scores(np.zeros(7), np.ones(7)) == best
