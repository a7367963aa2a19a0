"""Claim 9: is VAE/GAN sharper than a VAE, and steadier than a GAN?"""

from __future__ import annotations

import math
import sys

import numpy as np
from common.bases import conv
from common.charts import COLOURS, dots, images_axis, lines, logarithmic, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import decode_normal, reconstruction_metrics, sample_metrics
from common.results import Results, Statement, table_of
from common.statistics import RELATIVE, exceeds, interval, number, spread_ratio, varies_more
from common.study import Study, run_study

KINDS = {"VAE": "vae", "GAN": "gan", "VAE/GAN": "vaegan"}
MARKS = (1 / 3, 2 / 3, 5 / 6, 1)
SHARPER_BY = 0.05
VARIES_BY = 0.05
FACTOR = 1.5


def collect(lab: Lab) -> None:
    """Train the three kinds; measure them at several marks, for how much each varies during training."""
    for name, kind in KINDS.items():
        measures = {"samples": sample_metrics} | ({"reconstructions": reconstruction_metrics} if kind != "gan" else {})
        lab.measure(name, conv(kind=kind), lab.marks(*MARKS), measures)
        lab.add_strip(f"{name}: samples", conv(kind=kind), decode_normal)
    x = lab.reference(lab.config(conv(), 0)).x
    lab.results.strips["held-out images"] = strip(x[:32])


def variation(results: Results, variant: str) -> list[float]:
    """Standard deviation of each seed's Fréchet distance over its later marks, relative to their mean."""
    runs = zip(*[results.values(variant, "frechet", mark) for mark in results.marks(variant)[1:]], strict=True)
    return [float(np.std(run, ddof=1) / np.mean(run)) for run in runs]


def spread(values: list[float]) -> float:
    """Standard deviation of the values that are numbers."""
    return float(np.std([value for value in values if math.isfinite(value)], ddof=1))


def judge(results: Results) -> list[Statement]:
    """Compare sharpness with the VAE's, and spread with the GAN's."""
    sharper = results.gap("VAE/GAN", "VAE", "sharpness")
    closer = results.gap("VAE", "VAE/GAN", "frechet")
    mine, theirs = (results.values(kind, "frechet") for kind in ("VAE/GAN", "GAN"))
    ratio, low, high = spread_ratio(theirs, mine)
    varies = interval([a - b for a, b in zip(variation(results, "GAN"), variation(results, "VAE/GAN"), strict=True)])
    return [
        Statement(
            "VAE/GAN's samples are sharper than a VAE's.",
            exceeds(sharper, SHARPER_BY, "sharpness"),
            f"Sharpness (1 is the data's) {results.mean('VAE/GAN', 'sharpness')} against "
            f"{results.mean('VAE', 'sharpness')}, difference {sharper}.",
        ),
        Statement(
            "VAE/GAN's samples are closer to the data than a VAE's.",
            exceeds(closer, RELATIVE * results.mean("VAE", "frechet").mean, "Fréchet distance"),
            f"Fréchet distance {results.mean('VAE/GAN', 'frechet')} against {results.mean('VAE', 'frechet')}, "
            f"difference {closer}.",
        ),
        Statement(
            "VAE/GAN varies less from seed to seed than a GAN.",
            varies_more(theirs, mine, FACTOR, "standard deviation"),
            f"Standard deviation of the Fréchet distance over seeds: GAN {number(spread(theirs))}, VAE/GAN "
            f"{number(spread(mine))}; ratio {number(ratio)}, interval {number(low)} to {number(high)} (F).",
        ),
        Statement(
            "VAE/GAN varies less during training than a GAN.",
            exceeds(varies, VARIES_BY, "relative standard deviation"),
            "Relative standard deviation of the Fréchet distance over the later marks of a run: GAN "
            f"{interval(variation(results, 'GAN'))}, VAE/GAN {interval(variation(results, 'VAE/GAN'))}, "
            f"difference {varies}.",
        ),
    ]


def table(results: Results) -> str:
    """Samples of all kinds, reconstructions of those that reconstruct."""
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
    """Fréchet distance during training, sharpness and coverage at the end, samples."""
    chart = new_chart(11, 6.2)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1.15, 1))
    way, sharp, coverage = upper.subplots(1, 3, width_ratios=(1.5, 1, 1))
    logarithmic(panel(way, "Fréchet distance of samples, each seed"))
    images_axis(way)
    for place, variant in enumerate(results.variants):
        marks = results.marks(variant)
        series = [results.values(variant, "frechet", mark) for mark in marks]
        lines(way, marks, series, variant, COLOURS[place], band=False)
    way.legend(fontsize=8, frameon=False)
    dots(panel(sharp, "Sharpness of samples (data: 1)"), results, "sharpness")
    sharp.axhline(1, color="#888", lw=0.8, ls=":")
    dots(panel(coverage, "Coverage of held-out images"), results, "coverage")
    show_strips(lower, results.strips, columns=2)
    return chart


STUDY = Study(
    name="sharper_steadier",
    number=9,
    title="Is VAE/GAN sharper than a VAE and steadier than a GAN?",
    claim="A VAE/GAN's samples are sharper than a VAE's, and it trains more steadily than a GAN.",
    method="""VAE (Bernoulli pixels), GAN and VAE/GAN with the same convolutional decoder (and discriminator), recipe
mnist-conv at half its width, constant learning rate, no weight averaging. Samples are decoded from N(0, I). Sharpness
is the mean variance of an image's Laplacian, relative to the data's. Steadiness is measured over seeds at the end,
and within each run over all marks but the first (marks: {marks} training images).""",
    rule=f"""Sharper, closer, and less variation during training: the interval of the difference is above 0, with a
mean of at least {SHARPER_BY}, {RELATIVE:.0%} of the VAE's distance, and {VARIES_BY}. No difference: the interval is
within ± that. Refuted: all of it is below that. Less variation from seed to seed: the interval of the ratio of standard
deviations is above 1; refuted if below 1; no difference if it has 1 inside and is between 1/{FACTOR} and {FACTOR}.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
    seeds=4,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
