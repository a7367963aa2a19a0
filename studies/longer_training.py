"""Claim 1: does a VAE/GAN lose digits the longer it trains?"""

from __future__ import annotations

import sys

from common.bases import MLP_GAMMA, mlp
from common.charts import COLOURS, images_axis, lines, logarithmic, new_figure, panel, strip, strips
from common.measures import decode_normal, of_samples
from common.page import table
from common.results import Results, Statement
from common.statistics import exceeds, paired
from common.study import Lab, Study, run_study

LIMIT = 20_000
MARKS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
FIRST = 1  # the mark that later ones are compared with, counted from 0
TINY = "reconstruction weight 1e-8"
NORMAL = f"reconstruction weight {MLP_GAMMA:g}"
WEIGHTS = {TINY: 1e-8, NORMAL: MLP_GAMMA}
MARGIN = 0.01
THERE = 0.03


def collect(lab: Lab) -> None:
    """Train both weights long, and count digits at each mark."""
    lab.results.about["epochs"] = f"{lab.images / LIMIT:g}"
    for name, gamma in WEIGHTS.items():
        config = mlp({"loss.gamma": gamma, "data.limit": LIMIT})
        lab.follow(name, config, lab.marks(*MARKS), {"samples": of_samples})
        for share in (MARKS[FIRST], MARKS[-1]):
            moment = lab.moment(config, 0, lab.marks(share)[0])
            lab.results.pictures[f"{name}, {moment.images:,} images"] = strip(decode_normal(moment.model(), 32))


def judge(results: Results) -> list[Statement]:
    """Compare the rarest digit's share at the end with an early one."""
    return [_lost(results, name) for name in WEIGHTS]


def _lost(results: Results, name: str) -> Statement:
    marks = results.marks(name)
    early, late = (results.values(name, "rarest", mark) for mark in (marks[FIRST], marks[-1]))
    loss = paired(early, late)
    answer = exceeds(loss, MARGIN)
    if answer == "no" and results.mean(name, "rarest", marks[FIRST]).mean < THERE:
        answer = "unclear"
    reason = (
        f"The rarest digit's share of samples goes from {results.mean(name, 'rarest', marks[FIRST])} at "
        f"{marks[FIRST]:,} images to {results.mean(name, 'rarest', marks[-1])} at {marks[-1]:,}: {loss} lost; coverage "
        f"from {results.mean(name, 'coverage', marks[FIRST])} to {results.mean(name, 'coverage', marks[-1])}."
    )
    return Statement.answered(f"With {name} digits are lost as training goes on.", answer, reason)


def table_of_marks(results: Results) -> str:
    """All marks of both weights."""
    columns = ("rarest", "entropy", "kl", "recall", "coverage", "frechet")
    rows = [
        [name, f"{mark:,}", *[results.mean(name, column, mark) for column in columns]]
        for name in results.variants
        for mark in results.marks(name)
    ]
    header = ["variant", "images", "rarest digit's share", "entropy of digits (nats)", "KL to the data's digits (nats)"]
    return table([*header, "recall", "coverage", "Fréchet distance"], rows)


def draw(results: Results) -> object:
    """Rarest share, coverage and distance on the way; samples early and late."""
    figure = new_figure(11, 6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    panels = upper.subplots(1, 3)
    titles = {
        "rarest": "Rarest digit's share of samples",
        "coverage": "Coverage of held-out images",
        "frechet": "Fréchet distance of samples",
    }
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        images_axis(panel(axes, title))
        for place, name in enumerate(results.variants):
            series = [results.values(name, column, mark) for mark in results.marks(name)]
            lines(axes, results.marks(name), series, name, COLOURS[place])
        if column != "frechet":
            axes.set_ylim(bottom=0)
    logarithmic(panels[2])
    panels[0].axhline(0.1, color="#888", lw=0.8, ls=":")
    panels[0].legend(fontsize=8, frameon=False)
    strips(lower, list(results.pictures.items()), columns=2)
    return figure


STUDY = Study(
    name="longer_training",
    number=1,
    title="Does a VAE/GAN lose digits the longer it trains?",
    claim="The longer a VAE/GAN trains, the rarer some digits become: mode collapse (seen at weight 1e-8).",
    how=f"""Fully connected VAE/GANs (recipe mnist-mlp, two layers of 512 in each part, constant rate, no averaged
weights) on {LIMIT:,} digits, for {{epochs}} passes over them; the decoder's weight of the reconstruction
(`loss.gamma`) is 1e-8 as published, where it knows next to nothing of reconstruction, or the recipe's {MLP_GAMMA:g}.
At each mark digits are decoded from N(0, I), and a classifier trained on the data says which they are. Of ten digits
each is a tenth of the data, near enough.""",
    rule=f"""Lost: the rarest digit's share fell from the second mark to the last by {MARGIN} at least in the mean,
and the interval of the fall is above 0. Refuted if all of it is below {MARGIN}, unless that digit was rare already
(share under {THERE}): unclear. Else unclear.""",
    images=700_000,
    collect=collect,
    judge=judge,
    table=table_of_marks,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
