"""Claim 7: does k-means on codes find the digits?"""

from __future__ import annotations

import sys

import torch
from common.bases import conv
from common.charts import dots, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import ReferenceData
from common.results import Results, Statement, table_of
from common.runs import Metrics
from common.statistics import above, all_of, exceeds
from common.study import Study, run_study
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from vaegan.latent.clustering import Clusters, kmeans, principal_components
from vaegan.metrics.label_scores import cluster_scores
from vaegan.models import Model

KINDS = {"AE": "ae", "VAE": "vae", "VAE/GAN": "vaegan"}
K = 10
MIN_ACCURACY = 0.8
MARGIN = 0.05
RESTARTS = 10


def cluster(z: Tensor, labels: Tensor, seed: int) -> tuple[Clusters, Metrics]:
    """Cluster points, and compare the clusters with the labels.

    Returns:
        The clusters, and ``accuracy``, ``nmi``, ``ari``, ``purity`` with ``digits``:
        how many labels are the most frequent one of some cluster.
    """
    clusters = kmeans(z, K, seed=seed, restarts=RESTARTS)
    counts = contingency_matrix(clusters.assignment, labels)
    return clusters, cluster_scores(clusters.assignment, labels) | {"digits": len(set(counts.argmax(1).tolist()))}


def cluster_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Scores of clusters of mean codes."""
    return cluster(model.encode(reference.x), reference.labels, 0)[1]


def collect(lab: Lab) -> None:
    """Cluster the codes of models shared with other studies, raw pixels and principal components."""
    for name, kind in KINDS.items():
        lab.measure(name, conv(kind=kind), lab.marks(1), {f"clusters-{K}": cluster_metrics})
    config = lab.config(conv(kind="vae"), 0)
    reference, dim = lab.reference(config), config.model.latent_dim
    for seed in lab.seeds:
        pixels = reference.x.flatten(1)
        for name, points in {"pixels": pixels, f"{dim} components": principal_components(pixels, dim)}.items():
            lab.results.add(name, seed, lab.images, cluster(points, reference.labels, seed)[1])
    lab.results.extras |= {"majorities": [], "components": f"{dim} components"}
    if model := lab.first_model(conv(kind="vae")):
        clusters, _ = cluster(model.encode(reference.x), reference.labels, 0)
        counts = contingency_matrix(clusters.assignment, reference.labels)
        order = sorted(range(len(counts)), key=lambda k: (int(counts[k].argmax()), -int(counts[k].max())))
        nearest = torch.cat([clusters.nearest(k, 20)[:20] for k in order if (clusters.assignment == k).sum() >= 20])
        lab.results.strips["VAE"] = strip(reference.x[nearest], columns=20)
        lab.results.extras["majorities"] = [int(counts[k].argmax()) for k in order]


def judge(results: Results) -> list[Statement]:
    """Test for each kind whether the clusters are the digits, and whether the VAE beats pixels."""
    statements = []
    for name in KINDS:
        accuracy, digits = results.mean(name, "accuracy"), results.values(name, "digits")
        answer = all_of(
            above(accuracy, MIN_ACCURACY, "a matched accuracy"),
            above(results.mean(name, "digits"), K - 0.5, "a number of digits with a cluster"),
        )
        by_seed = ", ".join(f"{count:.0f}" for count in digits)
        statements.append(
            Statement(
                f"k-means with k = {K} on the codes of a {name} finds the ten digits.".replace("a AE", "an AE"),
                answer,
                f"With one digit per cluster, {accuracy} of held-out images are correct (ARI "
                f"{results.mean(name, 'ari')}); digits that are the majority of some cluster, by seed: {by_seed}.",
            )
        )
    gains = {base: results.gap("VAE", base, "accuracy") for base in ("pixels", results.extras["components"])}
    differences = "; ".join(f"{gain} above {base}" for base, gain in gains.items())
    statements.append(
        Statement(
            "A VAE's codes cluster better than raw pixels and principal components.",
            all_of(*[exceeds(gain, MARGIN, f"accuracy above {base}") for base, gain in gains.items()]),
            f"Matched accuracy is {differences}.",
        )
    )
    return statements


def table(results: Results) -> str:
    """All scores."""
    columns = [
        ("matched accuracy", "accuracy"),
        ("NMI", "nmi"),
        ("ARI", "ari"),
        ("purity", "purity"),
        ("digits with a cluster", "digits"),
    ]
    return table_of(results, columns, first=f"k-means, k = {K}, on")


def draw(results: Results) -> object:
    """Accuracy and adjusted Rand index, and images of the VAE's clusters."""
    chart = new_chart(11, 4.6)
    left, right = chart.subfigures(1, 2, width_ratios=(1, 1.15))
    accuracy, rand = left.subplots(2, 1)
    dots(panel(accuracy, f"Matched accuracy (dotted: {MIN_ACCURACY})"), results, "accuracy")
    accuracy.axhline(MIN_ACCURACY, color="#888", lw=0.8, ls=":")
    dots(panel(rand, "Adjusted Rand index"), results, "ari")
    for axes in (accuracy, rand):
        axes.set_ylim(0, 1)
    majorities = ", ".join(map(str, results.extras["majorities"]))
    title = f"seed 0: a row per cluster, nearest to its centre;\nmost frequent digits {majorities}"
    show_strips(right, {f"{name}, {title}": image for name, image in results.strips.items()})
    return chart


STUDY = Study(
    name="kmeans_digits",
    number=7,
    title="Does k-means on codes find the digits?",
    claim="k-means with k = 10 on a VAE's codes finds the ten digits.",
    method=f"""AE, VAE and VAE/GAN of study 5. k-means with {K} centres, the best of {RESTARTS} restarts, on the mean
codes of held-out digits, on their pixels, and on as many principal components as z has dimensions (there, the seed is
that of k-means alone). Matched accuracy assigns digits to clusters one to one, in the best way.""",
    rule=f"""Finds: the interval of the matched accuracy is above {MIN_ACCURACY}, and that of the number of digits that
are the most frequent one in some cluster is above {K - 0.5}. Refuted: one of them is below. Better: the interval of the
difference is above 0 for both, with a mean of at least {MARGIN}. No difference: one of the intervals is within
±{MARGIN}. Refuted: all of one is below {MARGIN}.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
