"""Claim 9: is VAE/GAN sharper than a VAE, and steadier than a GAN?"""

from __future__ import annotations

import math
import sys

import numpy as np
from common.bases import conv
from common.charts import COLOURS, dots, images_axis, lines, logarithmic, new_figure, panel, strip, strips
from common.measures import decode_normal, of_reconstructions, of_samples
from common.page import table_of
from common.results import Results, Statement
from common.statistics import Answer, exceeds, interval, number, spread_ratio
from common.study import Lab, Study, run_study

KINDS = {"VAE": "vae", "GAN": "gan", "VAE/GAN": "vaegan"}
MARKS = (1 / 3, 2 / 3, 5 / 6, 1)
SHARPER_BY = 0.05


def collect(lab: Lab) -> None:
    """Train the three kinds; measure them at several marks, for how far each wanders on its way."""
    for name, kind in KINDS.items():
        measures = {"samples": of_samples} | ({"reconstructions": of_reconstructions} if kind != "gan" else {})
        lab.follow(name, conv(kind=kind), lab.marks(*MARKS), measures)
        lab.picture(f"{name}: samples", conv(kind=kind), decode_normal)
    x = lab.eye(lab.config(conv(), 0)).x
    lab.results.pictures["held-out images"] = strip(x[:32])


def wander(results: Results, variant: str) -> list[float]:
    """Standard deviation of each seed's Fréchet distance over its later marks, relative to their mean."""
    runs = zip(*[results.values(variant, "frechet", mark) for mark in results.marks(variant)[1:]], strict=True)
    return [float(np.std(run, ddof=1) / np.mean(run)) for run in runs]


def spread(values: list[float]) -> float:
    """Standard deviation of the values that are numbers."""
    return float(np.std([value for value in values if math.isfinite(value)], ddof=1))


def judge(results: Results) -> list[Statement]:
    """Compare sharpness with the VAE's, spread with the GAN's."""
    sharper = results.gap("VAE/GAN", "VAE", "sharpness")
    nearer = results.gap("VAE", "VAE/GAN", "frechet")
    mine, theirs = (results.values(kind, "frechet") for kind in ("VAE/GAN", "GAN"))
    ratio, low, high = spread_ratio(theirs, mine)
    moves = interval([a - b for a, b in zip(wander(results, "GAN"), wander(results, "VAE/GAN"), strict=True)])
    steadier: Answer = "yes" if low > 1 else "no" if high < 1 else "unclear"
    return [
        Statement.answered(
            "VAE/GAN's samples are sharper than a VAE's.",
            exceeds(sharper, SHARPER_BY),
            f"Sharpness (1 is the data's) {results.mean('VAE/GAN', 'sharpness')} against "
            f"{results.mean('VAE', 'sharpness')}, difference {sharper}.",
        ),
        Statement.answered(
            "VAE/GAN's samples are nearer to the data than a VAE's.",
            exceeds(nearer),
            f"Fréchet distance {results.mean('VAE/GAN', 'frechet')} against {results.mean('VAE', 'frechet')}, "
            f"difference {nearer}.",
        ),
        Statement.answered(
            "VAE/GAN ends more alike from seed to seed than a GAN.",
            steadier,
            f"Standard deviation of the Fréchet distance over seeds: GAN {number(spread(theirs))}, VAE/GAN "
            f"{number(spread(mine))}; ratio {number(ratio)}, interval {number(low)} to {number(high)} (F).",
        ),
        Statement.answered(
            "VAE/GAN moves less from one moment of training to the next than a GAN.",
            exceeds(moves),
            "Relative standard deviation of the Fréchet distance over the later marks of a run: GAN "
            f"{interval(wander(results, 'GAN'))}, VAE/GAN {interval(wander(results, 'VAE/GAN'))}, difference {moves}.",
        ),
    ]


def table(results: Results) -> str:
    """Samples of all, reconstructions where there are any."""
    samples = table_of(
        results,
        [
            ("Fréchet distance", "frechet"),
            ("sharpness (data: 1)", "sharpness"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("coverage", "coverage"),
            ("rarest digit's share", "rarest"),
        ],
        first="samples of",
    )
    reconstructions = table_of(
        results,
        [
            ("pixel MSE", "mse"),
            ("feature error", "feature_error"),
            ("Fréchet distance", "frechet_rec"),
            ("sharpness (data: 1)", "sharpness_rec"),
        ],
        first="reconstructions of",
        variants=[variant for variant in results.variants if variant != "GAN"],
    )
    return f"{samples}\n\n{reconstructions}"


def draw(results: Results) -> object:
    """Fréchet distance on the way, sharpness at the end, samples."""
    figure = new_figure(11, 6.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    way, sharp, coverage = upper.subplots(1, 3, width_ratios=(1.5, 1, 1))
    logarithmic(panel(way, "Fréchet distance of samples, each seed"))
    images_axis(way)
    for place, variant in enumerate(results.variants):
        marks = results.marks(variant)
        series = [results.values(variant, "frechet", mark) for mark in marks]
        lines(way, marks, series, variant, COLOURS[place], band=False)
    way.legend(fontsize=8, frameon=False)
    dots(panel(sharp, "Sharpness of samples (data: 1)"), results, "sharpness", results.variants)
    sharp.axhline(1, color="#888", lw=0.8, ls=":")
    dots(panel(coverage, "Coverage of held-out images"), results, "coverage", results.variants)
    strips(lower, list(results.pictures.items()), columns=2)
    return figure


STUDY = Study(
    name="sharper_steadier",
    number=9,
    title="Is VAE/GAN sharper than a VAE and steadier than a GAN?",
    claim="VAE/GAN draws sharper than a VAE and trains more steadily than a GAN.",
    how="""VAE (Bernoulli pixels), GAN and VAE/GAN with the same convolutional decoder (and discriminator), as recipe
mnist-conv at half its width, constant rate, no averaged weights. Samples are decoded from N(0, I). Sharpness is the
mean variance of an image's Laplacian over the data's. Steadiness is looked at twice: over seeds at the end, and over
the later marks ({marks} training images) within each run.""",
    rule=f"""Sharper: the interval of the difference is above 0 and its mean at least {SHARPER_BY}; refuted if all of
it is below that. Nearer, and moves less: the interval is above 0; refuted if below. More alike over seeds: the
interval of the ratio of standard deviations is above 1; refuted if below. Else unclear.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
    seeds=4,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
