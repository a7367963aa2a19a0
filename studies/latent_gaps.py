"""Claim 5: is an autoencoder's latent space full of gaps, and a VAE's continuous?"""

from __future__ import annotations

import sys

import torch
from common.bases import conv
from common.charts import dots, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import ReferenceData, decode_normal, image_metrics
from common.results import Results, Statement, table_of
from common.runs import Metrics
from common.statistics import RELATIVE, exceeds
from common.study import Study, run_study
from torch import Tensor

from vaegan.latent.code_paths import interpolate, smoothness
from vaegan.models import Model

KINDS = {"AE": "ae", "VAE": "vae", "VAE/GAN": "vaegan"}
PATH = 9
MARGIN = 0.02


def gap_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Measure images decoded from midpoints of codes and from random codes.

    Returns:
        ``normal``, ``fitted``: Fréchet distances of decoded N(0, I) and of a Gaussian with the codes' mean and
        covariance; ``middle``, ``ends``: of decoded midpoints of two images' codes, and of the decoded codes;
        ``middle_confidence``, ``ends_confidence``: mean probability of the classifier's most likely digit; ``drop``
        between them; ``unsure``: the share of midpoints where that probability is below 0.9; ``leap``: largest over
        mean step of a path (see `vaegan.latent.code_paths`).
    """
    z = model.encode(reference.x)
    other = z.roll(1, 0)
    ends = image_metrics(model.decode(z), reference)
    between = model.decode(0.5 * (z + other))
    middle = image_metrics(between, reference)
    probabilities = reference.extractor.label_probabilities(reference.extractor.features(between))
    path = interpolate(z[:200], other[:200], PATH)
    images = model.decode(path.flatten(0, 1)).reshape(*path.shape[:2], *reference.x.shape[1:])
    return {
        "normal": image_metrics(decode_normal(model, reference.num), reference)["frechet"],
        "fitted": image_metrics(model.decode(draw_fitted(z)), reference)["frechet"],
        "ends": ends["frechet"],
        "middle": middle["frechet"],
        "ends_confidence": ends["confidence"],
        "middle_confidence": middle["confidence"],
        "drop": ends["confidence"] - middle["confidence"],
        "unsure": float((probabilities.amax(1) < 0.9).float().mean()),
        "leap": float(smoothness(images).largest.mean()),
    }


def draw_fitted(z: Tensor, seed: int = 0) -> Tensor:
    """Draw as many codes from a Gaussian with the mean and covariance of ``z``."""
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.cov(z.double().T))
    codes: Tensor = z.double().mean(0) + noise * values.clamp_min(0).sqrt() @ vectors.T
    return codes.float()


def collect(lab: Lab) -> None:
    """Train the three kinds; save images of random codes and of paths of the first seed."""
    for name, kind in KINDS.items():
        config = conv(kind=kind)
        lab.measure(name, config, lab.marks(1), {"gaps": gap_metrics})
        if model := lab.first_model(config):
            x = lab.reference(lab.config(config, 0)).x
            z = model.encode(x[:8])
            paths = interpolate(z[0::2][:2], z[1::2][:2], 16).transpose(0, 1).flatten(0, 1)
            lab.results.strips[f"{name}: N(0, I)"] = strip(decode_normal(model, 32))
            lab.results.strips[f"{name}: from one digit to another"] = strip(model.decode(paths))


def judge(results: Results) -> list[Statement]:
    """Compare the AE with the VAE: random codes, then midpoints."""
    normal = results.gap("AE", "VAE", "normal")
    drop = results.gap("AE", "VAE", "drop")
    return [
        Statement(
            "Codes drawn from N(0, I) decode worse in an AE than in a VAE.",
            exceeds(normal, RELATIVE * results.mean("VAE", "normal").mean, "Fréchet distance"),
            f"Fréchet distance {results.mean('AE', 'normal')} against {results.mean('VAE', 'normal')}, difference "
            f"{normal}. With a Gaussian fitted to the codes: {results.mean('AE', 'fitted')} against "
            f"{results.mean('VAE', 'fitted')}.",
        ),
        Statement(
            "Halfway between two codes, an AE fails to draw a digit more often than a VAE.",
            exceeds(drop, MARGIN, "lost confidence"),
            f"From the ends to the middle of a path, the classifier's confidence falls by {results.mean('AE', 'drop')} "
            f"in an AE and by {results.mean('VAE', 'drop')} in the VAE, difference {drop}; Fréchet distance of "
            f"midpoints {results.mean('AE', 'middle')} against {results.mean('VAE', 'middle')}.",
        ),
    ]


def table(results: Results) -> str:
    """All metrics."""
    first = [
        ("N(0, I)", "normal"),
        ("Gaussian fitted to codes", "fitted"),
        ("midpoints", "middle"),
        ("reconstructions", "ends"),
    ]
    second = [
        ("confidence at the ends", "ends_confidence"),
        ("confidence at midpoints", "middle_confidence"),
        ("midpoints below 0.9", "unsure"),
        ("largest over mean step", "leap"),
    ]
    return f"{table_of(results, first, first='Fréchet distance of')}\n\n{table_of(results, second, first='paths of')}"


def draw(results: Results) -> object:
    """Three metrics, then images of random codes and paths of each kind."""
    chart = new_chart(11, 6.8)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1, 1))
    normal, middle, drop = upper.subplots(1, 3)
    dots(panel(normal, "Fréchet distance of decoded N(0, I)"), results, "normal")
    dots(panel(middle, "Fréchet distance of decoded midpoints"), results, "middle")
    dots(panel(drop, "Confidence lost halfway along a path"), results, "drop")
    for axes in (normal, middle, drop):
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    show_strips(lower, results.strips, columns=2)
    return chart


STUDY = Study(
    name="latent_gaps",
    number=5,
    title="Is an autoencoder's latent space full of gaps?",
    claim="An AE's latent space has gaps, so sampling or interpolating in it is meaningless; a VAE's is continuous.",
    method=f"""AE, VAE (both with Bernoulli pixels) and VAE/GAN with the same convolutional encoder and decoder
(recipe mnist-conv at half its width). The mean code of each held-out digit and that of the digit before it in the file
are joined by a straight path of {PATH} codes. Confidence is the mean probability that a classifier trained on the data
gives to its most likely digit.""",
    rule=f"""The difference is that of Fréchet distances first, of the confidence losses second. The smallest that
counts is {RELATIVE:.0%} of the VAE's distance, and {MARGIN}. Confirmed: the interval of the difference is above 0, with
a mean of at least that. No difference: the interval is within ± that. Refuted: all of it is below that.""",
    images=150_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
