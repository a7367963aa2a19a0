"""Claim 7: does k-means on codes find the digits?"""

from __future__ import annotations

import sys

import torch
from common.bases import conv
from common.charts import dots, new_figure, panel, strip, strips
from common.measures import Eye
from common.page import table_of
from common.results import Results, Statement
from common.runs import Figures
from common.statistics import Answer, exceeds
from common.study import Lab, Study, run_study
from torch import Tensor

from vaegan.latent.kmeans import Clusters, kmeans, principal_components
from vaegan.metrics.clustering import SCORES, contingency
from vaegan.models import Model

KINDS = {"AE": "ae", "VAE": "vae", "VAE/GAN": "vaegan"}
K = 10
FOUND = 0.8
RESTARTS = 10


def of_points(z: Tensor, labels: Tensor, seed: int) -> tuple[Clusters, Figures]:
    """Find clusters, and how well they match the labels.

    Returns:
        The clusters, and ``accuracy``, ``nmi``, ``ari``, ``purity`` (see `vaegan.metrics.clustering`) with ``digits``:
        how many labels are the most frequent one of some cluster.
    """
    found = kmeans(z, K, seed=seed, restarts=RESTARTS)
    clusters, digits = found.assignment.numpy(), labels.numpy()
    scores = {name: score(clusters, digits) for name, score in SCORES.items()}
    table = contingency(clusters, digits)
    return found, scores | {"digits": len(set(table.argmax(1).tolist()))}


def of_clusters(model: Model, eye: Eye) -> Figures:
    """Scores of clusters of mean codes."""
    return of_points(model.encode(eye.x), eye.labels, 0)[1]


def collect(lab: Lab) -> None:
    """Cluster codes of models that other studies train too, raw pixels and principal components."""
    for name, kind in KINDS.items():
        lab.follow(name, conv(kind=kind), lab.marks(1), {f"clusters-{K}": of_clusters})
    config = lab.config(conv(kind="vae"), 0)
    eye, dim = lab.eye(config), config.model.latent_dim
    for seed in lab.seeds:
        pixels = eye.x.flatten(1)
        for name, points in {"pixels": pixels, f"{dim} components": principal_components(pixels, dim)}.items():
            lab.results.add(name, seed, lab.images, of_points(points, eye.labels, seed)[1])
    model = lab.moment(conv(kind="vae"), 0, lab.images).model()
    found, _ = of_points(model.encode(eye.x), eye.labels, 0)
    table = contingency(found.assignment, eye.labels)
    order = sorted(range(len(table)), key=lambda k: (int(table[k].argmax()), -int(table[k].max())))
    nearest = torch.cat(
        [found.nearest(cluster, 20)[:20] for cluster in order if (found.assignment == cluster).sum() >= 20]
    )
    lab.results.pictures["VAE"] = strip(eye.x[nearest], columns=20)
    lab.results.extras["majorities"] = [int(table[k].argmax()) for k in order]
    lab.results.extras["components"] = f"{dim} components"


def judge(results: Results) -> list[Statement]:
    """Ask of each kind whether the clusters are the digits, and of the VAE whether it beats pixels."""
    statements = []
    for name in KINDS:
        accuracy, digits = results.mean(name, "accuracy"), results.values(name, "digits")
        answer: Answer = "yes" if accuracy.low > FOUND and min(digits) == K else "unclear"
        if accuracy.high < FOUND or max(digits) < K:
            answer = "no"
        told = ", ".join(f"{count:.0f}" for count in digits)
        statements.append(
            Statement.answered(
                f"k-means with k = {K} on codes of a {name} finds the ten digits.".replace("a AE", "an AE"),
                answer,
                f"With one digit a cluster {accuracy} of held-out images are right (ARI {results.mean(name, 'ari')}); "
                f"digits that are the majority of some cluster, by seed: {told}.",
            )
        )
    gains = {base: results.gap("VAE", base, "accuracy") for base in ("pixels", results.extras["components"])}
    answers = {exceeds(gain) for gain in gains.values()}
    told = "; ".join(f"{gain} above {base}" for base, gain in gains.items())
    all_alike: Answer = answers.pop() if len(answers) == 1 else "unclear"
    statements.append(
        Statement.answered(
            "A VAE's codes are better to cluster than raw pixels and principal components.", all_alike, f"{told}."
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
    """Accuracy and adjusted Rand index, and the VAE's clusters as images."""
    figure = new_figure(11, 4.6)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    accuracy, rand = left.subplots(2, 1)
    dots(panel(accuracy, f"Matched accuracy (dotted: {FOUND})"), results, "accuracy", results.variants)
    accuracy.axhline(FOUND, color="#888", lw=0.8, ls=":")
    dots(panel(rand, "Adjusted Rand index"), results, "ari", results.variants)
    for axes in (accuracy, rand):
        axes.set_ylim(0, 1)
    majorities = ", ".join(map(str, results.extras["majorities"]))
    strips(
        right,
        [
            (
                f"VAE, seed 0: a row per cluster, nearest to its centre;\nmost frequent digits {majorities}",
                results.pictures["VAE"],
            )
        ],
    )
    return figure


STUDY = Study(
    name="kmeans_digits",
    number=7,
    title="Does k-means on codes find the digits?",
    claim="k-means with k = 10 on a VAE's codes finds the ten digits.",
    how=f"""AE, VAE and VAE/GAN of study 5. k-means with {K} centres, the best of {RESTARTS} starts, on the mean codes
of held-out digits; the same on their pixels and on as many principal components as z has dimensions (there a seed is
that of k-means alone). Matched accuracy gives each cluster one digit and each digit one cluster, in the best way.""",
    rule=f"""Finds: the interval of the matched accuracy is above {FOUND} and every digit has a cluster in which it is
the most frequent, for every seed. Refuted: the interval is below {FOUND}, or some digit has none in any seed. Better:
the interval of the difference is above 0 for both; refuted if below for both. Else unclear.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
