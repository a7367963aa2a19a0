"""Claim 11: does clustering the manifold of codes find the digits, where k-means does not?"""

from __future__ import annotations

import sys

import numpy as np
import torch
from common.bases import PLAIN
from common.charts import dots, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import ReferenceData, select_images
from common.results import Results, Statement, table_of
from common.runs import Metrics
from common.statistics import above, exceeds, paired
from common.study import Study, run_study
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vaegan.config import Config
from vaegan.latent.clustering import ALGORITHMS, manifold, pick_algorithm
from vaegan.metrics.label_scores import cluster_scores
from vaegan.models import Model
from vaegan.recipes import config_for
from vaegan.settings_io import with_settings

RECIPES = {"AE": "kmeans-mnist-ae", "VAE/GAN": "mnist-conv"}
SHARES = {"AE": 1.0, "VAE/GAN": 0.1}
"""Of the study's images that each sees: 20 and 2 epochs."""
MIN_ACCURACY = {"AE": 0.95, "VAE/GAN": 0.9}
MARGIN = 0.01
RESTARTS = 10


def recipe(name: str) -> Config:
    """Return a recipe as it is, in fp32, with what studies leave out of all runs."""
    quiet = {name: value for name, value in PLAIN.items() if not name.startswith("optim.")}
    quiet |= {"train.precision": "fp32", "train.memory_format": "contiguous"}
    return with_settings(config_for(name), quiet)


def method_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Scores of each method, as ``accuracy_kmeans`` and so on: clusters of all training images, which others join."""
    z, labels = model.encode(reference.x), reference.labels
    z_train, k = train_codes(model, reference), int(labels.max()) + 1
    found = {name: fit(z_train, k, seed=0, restarts=RESTARTS).assign(z) for name, fit in ALGORITHMS.items()}
    return {
        f"{score}_{name}": value
        for name, assignment in found.items()
        for score, value in cluster_scores(assignment, labels).items()
    }


def probe_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Accuracy of a linear classifier of codes, fitted to those of all training images and their labels."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(train_codes(model, reference).numpy(), reference.data.train.labels)
    return {"accuracy_probe": float(probe.score(model.encode(reference.x).numpy(), reference.labels.numpy()))}


def train_codes(model: Model, reference: ReferenceData) -> torch.Tensor:
    """Mean codes of all training images."""
    images = reference.data.train.images
    return torch.cat([model.encode(select_images(images, rows)) for rows in np.array_split(np.arange(len(images)), 60)])


MEASURES = {"clusters-of-all": method_metrics, "linear-probe": probe_metrics}


def collect(lab: Lab) -> None:
    """Cluster the codes of both models; show each cluster of the VAE/GAN's."""
    pick_algorithm("manifold")  # or say, before any training, that it is not installed
    for name, of in RECIPES.items():
        lab.measure(name, recipe(of), lab.marks(SHARES[name]), MEASURES)
    config = recipe(RECIPES["VAE/GAN"])
    x, (images,) = lab.reference(lab.config(config, 0)).x, lab.marks(SHARES["VAE/GAN"])
    if model := lab.first_model(config, images):
        clusters = manifold(model.encode(x), 10, restarts=RESTARTS)
        rows = [clusters.nearest(k, 20) for k in range(10)]
        lab.results.strips["VAE/GAN"] = strip(x[torch.cat([row for row in rows if len(row) == 20])], columns=20)


def judge(results: Results) -> list[Statement]:
    """Compare the manifold's accuracy with a bound, and with that of k-means seed by seed."""
    statements = []
    for name, bound in MIN_ACCURACY.items():
        codes = f"the codes of {'an' if name[0] == 'A' else 'a'} {name}"
        accuracy = results.mean(name, "accuracy_manifold")
        gap = paired(*(results.values(name, f"accuracy_{of}") for of in ("manifold", "kmeans")))
        answer = above(accuracy, bound, "a matched accuracy", MARGIN)
        found = f"With one digit per cluster, {accuracy} of held-out images are correct (bound: {bound})."
        statements += [
            Statement(f"A mixture on UMAP of {codes} finds the digits.", answer, found),
            Statement(
                f"On {codes} it is better than k-means.",
                exceeds(gap, MARGIN, "matched accuracy"),
                f"k-means: {results.mean(name, 'accuracy_kmeans')} correct; difference {gap}.",
            ),
        ]
    return statements


COLUMNS = [
    ("k-means", "accuracy_kmeans"),
    ("mixture", "accuracy_mixture"),
    ("manifold", "accuracy_manifold"),
    ("NMI of manifold", "nmi_manifold"),
    ("ARI of manifold", "ari_manifold"),
    ("linear probe, with labels", "accuracy_probe"),
]


def table(results: Results) -> str:
    """Accuracies of all methods."""
    return table_of(results, COLUMNS, first="matched accuracy on codes of")


def draw(results: Results) -> object:
    """Accuracies, and images of the VAE/GAN's clusters."""
    chart = new_chart(11, 4.6)
    left, right = chart.subfigures(1, 2, width_ratios=(1, 1.15))
    for axes, (title, metric) in zip(left.subplots(1, 3), COLUMNS, strict=False):  # the accuracies
        dots(panel(axes, f"Accuracy: {title}"), results, metric)
        axes.set_ylim(0, 1)
    strips = {
        f"{name}, seed 0: a row per cluster, nearest to its centre": image for name, image in results.strips.items()
    }
    show_strips(right, strips)
    return chart


STUDY = Study(
    name="cluster_methods",
    number=11,
    title="Does a mixture on the manifold of codes find the digits?",
    claim="UMAP and a mixture of Gaussians on the codes of an autoencoder find the ten digits (N2D, arXiv:1908.05968).",
    method=f"""Recipes {" and ".join(RECIPES.values())}, in fp32, after 20 and 2 epochs. k-means, a mixture of
Gaussians, and a mixture on a UMAP embedding in 10 dimensions (manifold), each with 10 clusters and the best of
{RESTARTS} restarts, which is chosen without labels, on the mean codes of all training digits. {{samples}} held-out
digits then join the nearest centre, the most likely component, or the cluster of their nearest neighbours. Matched
accuracy assigns digits to clusters one to one, in the best way. The linear probe is a logistic regression that is
fitted to the codes of all training digits and their labels.""",
    rule=f"""Finds: the interval of the matched accuracy is above {MIN_ACCURACY["AE"]} for an AE,
{MIN_ACCURACY["VAE/GAN"]} for a VAE/GAN; refuted if below; no difference if it has the bound inside and is within
±{MARGIN} of it. Better: the interval of the difference is above 0, with a mean of at least {MARGIN}; no difference if
it is within ±{MARGIN}; refuted if all of it is below {MARGIN}.""",
    images=1_200_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
    seeds=5,
    samples=10_000,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
