"""Claim 6: what does KL alone do to the codes?"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
from common.bases import conv
from common.charts import dots, new_figure, panel
from common.measures import Eye, drawn, of_codes
from common.page import table_of
from common.results import Results, Statement
from common.runs import Figures
from common.statistics import Answer, number
from common.study import Lab, Study, run_study

from vaegan.models import Model

LOSSES = {
    "KL alone": {"loss.encoder_llike_weight": 0.0},
    "likelihood alone": {"loss.kl_weight": 0.0},
    "both": {},
}
NUM_POINTS = 1500
NO_BETTER = 0.05


def of_points(model: Model, eye: Eye) -> Figures:
    """Return codes drawn from q(z|x) of some held-out images, and their labels."""
    z = drawn(*model.posterior(eye.x[:NUM_POINTS]), 1)
    return {"z": z.double().round(decimals=3).tolist(), "labels": eye.labels[:NUM_POINTS].tolist()}


def collect(lab: Lab) -> None:
    """Train VAEs with a plane as latent space; keep the first seed's codes for the picture."""
    for name, changes in LOSSES.items():
        config = conv({"model.latent_dim": 2, **changes}, kind="vae")
        lab.follow(name, config, lab.marks(1), {"codes": of_codes})
        eye = lab.eye(lab.config(config, 0))
        moment = lab.moment(config, 0, lab.images)
        lab.results.extras[name] = moment.figures(f"points-{eye.tag}", partial(of_points, eye=eye))
        share = eye.labels.bincount().amax() / len(eye.labels)
        lab.results.extras["guess"] = float(share)


def judge(results: Results) -> list[Statement]:
    """Ask whether neighbours among codes still share their digit."""
    guess = results.extras["guess"]
    alone, likelihood, both = (results.mean(name, "knn") for name in LOSSES)
    destroyed: Answer = (
        "yes" if alone.high < guess + NO_BETTER else "no" if alone.low > guess + NO_BETTER else "unclear"
    )
    kept: Answer = "yes" if both.low > guess + NO_BETTER else "no" if both.high < guess + NO_BETTER else "unclear"
    return [
        Statement.answered(
            "With KL alone the codes keep nothing of the digits.",
            destroyed,
            f"Nearest neighbours among drawn codes give the right digit to {alone} of images, guessing "
            f"{number(guess)}; {_also(results, 'KL alone')}. By mean codes, however small: "
            f"{results.mean('KL alone', 'knn_mean')}.",
        ),
        Statement.answered(
            "With KL and likelihood together they do.",
            kept,
            f"Right digit for {both} ({_also(results, 'both')}), with likelihood alone {likelihood} "
            f"({_also(results, 'likelihood alone')}).",
        ),
    ]


def _also(results: Results, name: str) -> str:
    return f"silhouette {results.mean(name, 'silhouette')}, {results.mean(name, 'nats')} nats"


def table(results: Results) -> str:
    """All figures."""
    columns = [
        ("KL (nats per image)", "nats"),
        ("active of 2 dimensions", "active"),
        ("k-NN accuracy, drawn codes", "knn"),
        ("silhouette, drawn codes", "silhouette"),
        ("k-NN accuracy, mean codes", "knn_mean"),
        ("silhouette, mean codes", "silhouette_mean"),
    ]
    return table_of(results, columns, first="encoder descends")


def draw(results: Results) -> object:
    """Codes on the plane, coloured by digit, and accuracy."""
    figure = new_figure(12, 3.7)
    panels = figure.subplots(1, 4, width_ratios=(1, 1, 1, 0.8))
    for axes, name in zip(panels, LOSSES, strict=False):
        z, labels = (np.asarray(results.extras[name][key]) for key in ("z", "labels"))
        for digit in np.unique(labels):
            chosen = z[labels == digit]
            axes.scatter(*chosen.T, s=4, color=f"C{digit}", linewidths=0, label=str(digit))
        panel(axes, name)
        far = np.quantile(np.abs(z), 0.995) * 1.1
        axes.set(xlim=(-far, far), ylim=(-far, far), aspect="equal")
    panels[0].legend(fontsize=7, markerscale=2, ncols=2, handletextpad=0.1, columnspacing=0.6, loc="upper right")
    dots(panel(panels[3], "k-NN accuracy of drawn codes"), results, "knn", results.variants)
    panels[3].set_ylim(0, 1)
    panels[3].axhline(results.extras["guess"], color="#888", lw=0.8, ls=":")
    return figure


STUDY = Study(
    name="kl_alone",
    number=6,
    title="What does the KL term do alone?",
    claim="KL alone destroys all structure of the codes; with the likelihood, clusters stay.",
    how="""VAEs (recipe mnist-conv at half its width, Bernoulli pixels, z of 2 dimensions, so that the picture shows
all there is) whose encoder descends KL alone, the likelihood alone, or both. Codes are drawn from q(z|x), as the
decoder gets them; a held-out digit gets the label that most of its 10 nearest training codes have. What is left in
the mean codes is also told: there, a difference counts however small it is beside the noise.""",
    rule=f"""First: confirmed if the whole interval of the drawn codes' accuracy is less than {NO_BETTER} above always
naming the most frequent digit, refuted if all of it is above that. Second: the reverse. Else unclear.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
