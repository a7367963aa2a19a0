"""Claim 6: what does the KL term alone do to the codes?"""

from __future__ import annotations

import sys

import numpy as np
from common.bases import conv
from common.charts import dots, new_chart, panel
from common.lab import Lab
from common.measures import ReferenceData, code_metrics, sample_posterior
from common.results import Results, Statement, table_of
from common.runs import Metrics
from common.statistics import above, number
from common.study import Study, run_study

from vaegan.models import Model

LOSSES = {
    "KL alone": {"loss.encoder_llike_weight": 0.0},
    "likelihood alone": {"loss.kl_weight": 0.0},
    "both": {},
}
NUM_POINTS = 1500
NO_BETTER = 0.05


def codes_by_digit(model: Model, reference: ReferenceData) -> Metrics:
    """Return for each digit the codes `(N, 2)` of some held-out images, drawn from q(z|x)."""
    z = sample_posterior(*model.posterior(reference.x[:NUM_POINTS]), 1).double().round(decimals=3)
    labels = reference.labels[:NUM_POINTS]
    return {str(digit): z[labels == digit].tolist() for digit in labels.unique().tolist()}


def collect(lab: Lab) -> None:
    """Train VAEs with a two-dimensional latent space; save the first seed's codes for the chart."""
    for name, changes in LOSSES.items():
        config = conv({"model.latent_dim": 2, **changes}, kind="vae")
        lab.measure(name, config, lab.marks(1), {"codes": code_metrics})
        reference = lab.reference(lab.config(config, 0))
        lab.results.extras[name] = {}
        if model := lab.first_model(config):
            lab.results.extras[name] = codes_by_digit(model, reference)
        lab.results.extras["guess"] = float(reference.labels.bincount().amax() / len(reference.labels))


def judge(results: Results) -> list[Statement]:
    """Test whether neighbouring codes still belong to the same digit."""
    guess = results.extras["guess"]
    alone, likelihood, both = (results.mean(name, "knn") for name in LOSSES)
    return [
        Statement(
            "With KL alone the codes carry no information about the digit.",
            above(alone, guess + NO_BETTER, "a k-NN accuracy", reverse=True),
            f"k-NN on codes drawn from q(z|x) labels {alone} of images correctly, chance is {number(guess)}; "
            f"{_also(results, 'KL alone')}. On mean codes, at any scale: {results.mean('KL alone', 'knn_mean')}.",
        ),
        Statement(
            "With KL and likelihood together the codes separate the digits.",
            above(both, guess + NO_BETTER, "a k-NN accuracy"),
            f"Correct: {both} ({_also(results, 'both')}), with likelihood alone {likelihood} "
            f"({_also(results, 'likelihood alone')}).",
        ),
    ]


def _also(results: Results, name: str) -> str:
    return f"silhouette {results.mean(name, 'silhouette')}, KL {results.mean(name, 'nats')} nats"


def table(results: Results) -> str:
    """All metrics."""
    columns = [
        ("KL (nats per image)", "nats"),
        ("active of 2 dimensions", "active"),
        ("k-NN accuracy, drawn codes", "knn"),
        ("silhouette, drawn codes", "silhouette"),
        ("k-NN accuracy, mean codes", "knn_mean"),
        ("silhouette, mean codes", "silhouette_mean"),
    ]
    return table_of(results, columns, first="encoder minimises")


def draw(results: Results) -> object:
    """Codes in the plane, coloured by digit, and accuracy."""
    chart = new_chart(12, 3.7)
    panels = chart.subplots(1, 4, width_ratios=(1, 1, 1, 0.8))
    for axes, name in zip(panels, LOSSES, strict=False):
        codes = {digit: np.asarray(z) for digit, z in results.extras[name].items()}
        for digit, z in codes.items():
            axes.scatter(*z.T, s=4, color=f"C{digit}", linewidths=0, label=digit)
        panel(axes, name)
        far = np.quantile(np.abs(np.concatenate([*codes.values()] or [[1.0]])), 0.995) * 1.1
        axes.set(xlim=(-far, far), ylim=(-far, far), aspect="equal")
    if results.extras["KL alone"]:
        panels[0].legend(fontsize=7, markerscale=2, ncols=2, handletextpad=0.1, columnspacing=0.6, loc="upper right")
    dots(panel(panels[3], "k-NN accuracy of drawn codes"), results, "knn")
    panels[3].set_ylim(0, 1)
    panels[3].axhline(results.extras["guess"], color="#888", lw=0.8, ls=":")
    return chart


STUDY = Study(
    name="kl_alone",
    number=6,
    title="What does the KL term do alone?",
    claim="KL alone destroys all structure in the codes; with the likelihood, clusters remain.",
    method="""VAEs (recipe mnist-conv at half its width, Bernoulli pixels, two-dimensional z, so that the chart shows
all of it) whose encoder minimises KL alone, the likelihood loss alone, or both. Codes are drawn from q(z|x), as the
decoder receives them; a held-out digit gets the majority label of its 10 nearest training codes. Mean codes are
measured as well: there, a difference counts however small it is compared with the noise.""",
    rule=f"""First: confirmed if the whole interval of the accuracy on drawn codes is less than {NO_BETTER} above
chance (always predicting the most frequent digit), refuted if all of it is above that. Second: the reverse.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
