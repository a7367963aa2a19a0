"""Claim 1: does a VAE/GAN lose digits the longer it trains?"""

from __future__ import annotations

import sys

from common.bases import MLP_GAMMA, mlp
from common.charts import COLOURS, images_axis, lines, logarithmic, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import decode_normal, sample_metrics
from common.results import Results, Statement, table
from common.statistics import exceeds, paired
from common.study import Study, run_study

LIMIT = 20_000
MARKS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
EARLY = 1  # index of the mark that the last one is compared with
TINY = "reconstruction weight 1e-8"
NORMAL = f"reconstruction weight {MLP_GAMMA:g}"
WEIGHTS = {TINY: 1e-8, NORMAL: MLP_GAMMA}
MARGIN = 0.01
PRESENT_FROM = 0.03


def collect(lab: Lab) -> None:
    """Train long with both weights, and count digits at each mark."""
    lab.results.about["epochs"] = f"{lab.images / LIMIT:g}"
    for name, gamma in WEIGHTS.items():
        config = mlp({"loss.gamma": gamma, "data.limit": LIMIT})
        lab.measure(name, config, lab.marks(*MARKS), {"samples": sample_metrics})
        for share in (MARKS[EARLY], MARKS[-1]):
            (images,) = lab.marks(share)
            if model := lab.first_model(config, images):
                lab.results.strips[f"{name}, {images:,} images"] = strip(decode_normal(model, 32))


def judge(results: Results) -> list[Statement]:
    """Compare the rarest digit's share at the end with an early one."""
    return [_lost(results, name) for name in WEIGHTS]


def _lost(results: Results, name: str) -> Statement:
    marks = results.marks(name)
    early, late = (results.values(name, "rarest", mark) for mark in (marks[EARLY], marks[-1]))
    loss = paired(early, late)
    (rare, covered), (rare_late, covered_late) = (
        [results.mean(name, metric, mark) for metric in ("rarest", "coverage")] for mark in (marks[EARLY], marks[-1])
    )
    answer = exceeds(loss, MARGIN, "the rarest digit's share").given(
        rare.mean >= PRESENT_FROM, f"a digit is rare already at {marks[EARLY]:,} images"
    )
    reason = (
        f"The rarest digit's share of samples goes from {rare} at {marks[EARLY]:,} images to {rare_late} at "
        f"{marks[-1]:,}, a loss of {loss}; coverage goes from {covered} to {covered_late}."
    )
    return Statement(f"With {name}, digits are lost as training continues.", answer, reason)


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
    """Rarest share, coverage and distance during training; samples early and late."""
    chart = new_chart(11, 6)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1.2, 1))
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
    show_strips(lower, results.strips, columns=2)
    return chart


STUDY = Study(
    name="longer_training",
    number=1,
    title="Does a VAE/GAN lose digits the longer it trains?",
    claim="The longer a VAE/GAN trains, the rarer some digits become: mode collapse (observed at weight 1e-8).",
    method=f"""Fully connected VAE/GANs (recipe mnist-mlp, two layers of 512 in each network, constant learning rate,
no weight averaging) on {LIMIT:,} digits for {{epochs}} epochs. The decoder's reconstruction weight (`loss.gamma`) is
1e-8, as published, which leaves almost no reconstruction loss, or the recipe's {MLP_GAMMA:g}. At each mark, samples
are decoded from N(0, I) and labelled by a classifier trained on the data. Each of the ten digits is about a tenth of
the data.""",
    rule=f"""The premise is that at the second mark no digit is rare: the rarest digit's mean share is at least
{PRESENT_FROM}. Lost: it falls from there to the last mark by at least {MARGIN} in the mean, and the interval of the
fall is above 0. No difference: the interval is within ±{MARGIN}. Refuted: all of it is below {MARGIN}.""",
    images=700_000,
    collect=collect,
    judge=judge,
    table=table_of_marks,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
