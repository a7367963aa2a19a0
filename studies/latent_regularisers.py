"""Claim 10: do equivariance and alignment make the codes of a latent diffusion autoencoder easier to model?"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from common.bases import PLAIN
from common.charts import dots, new_chart, panel, show_strips
from common.lab import Lab
from common.measures import ReferenceData, sample_posterior
from common.results import Results, Statement, table_of
from common.statistics import RELATIVE, exceeds
from common.study import Study, run_study
from torch import Tensor

from vaegan.config import Config
from vaegan.latent.latent_shards import channel_moments
from vaegan.metrics.codes import linear_probe
from vaegan.models import Model
from vaegan.objectives.code_losses import transformed
from vaegan.priors.fit import fit_priors
from vaegan.recipes import config_for
from vaegan.settings_io import with_settings

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "equivariance": {"loss.equivariance_weight": 1.0},
    "alignment": {"loss.alignment_weight": 0.1, "loss.alignment": "rotations"},
    "both": {"loss.equivariance_weight": 1.0, "loss.alignment_weight": 0.1, "loss.alignment": "rotations"},
}
WIDTHS = (16, 32)
ATTRIBUTES = ("smiling", "eyeglasses", "hat", "beard", "mustache", "bangs", "blond_hair", "eyes_open", "rosy_cheeks")
PRIORS = ("gaussian", "mixture")
MARGIN = 0.01


def maps(changes: dict[str, Any]) -> Config:
    """Return the settings of a variant: a VAE after recipe kl-f4 on drawn faces of 32 pixels, of few convolutions."""
    own = {
        **PLAIN,
        "data.source": "shapes-faces", "data.size": 32, "data.flip": False,
        "model.kind": "vae", "model.network": "conv", "loss.perceptual": "none", "loss.balance": None,
        "model.encoder.channels": WIDTHS, "model.encoder.kernel": 3,
        "model.decoder.first_channels": WIDTHS[-1], "model.decoder.channels": WIDTHS[::-1],
        "model.decoder.kernel": 4, "model.decoder.output_kernel": 3,
        # The rate falls, or chance at the end would hide differences this small.
        "optim.lr": 2e-3, "optim.schedule": "cosine", "optim.final_lr_factor": 0.01,
        "train.batch_size": 16, "train.precision": "fp32", "train.memory_format": "contiguous",
    }  # fmt: skip
    return with_settings(config_for("kl-f4"), {**own, **changes})


def latent_metrics(model: Model, reference: ReferenceData) -> dict[str, Any]:
    """Measure reconstructions, and codes scaled to mean 0 and deviation 1 in each channel.

    Returns:
        ``mse`` of reconstructions of held-out images; ``turned``, that of codes and images halved and rotated by 90
        degrees; ``fine``, the share of the codes' variance at more than half the highest frequency; ``nats`` per
        dimension, -log p(z) of held-out codes under the better of a Gaussian and a mixture fitted to training codes;
        ``probe``, the mean accuracy of linear probes of the attributes.
    """
    x, (height, width) = reference.x, reference.x.shape[2:]
    factor = model.factor or 1
    mu, logvar = model.posterior(x)
    mu_train, logvar_train = model.posterior(reference.x_train)
    z, z_train = sample_posterior(mu, logvar, 1), sample_posterior(mu_train, logvar_train, 2)
    moments = channel_moments(model.maps(z_train))
    mean, squares = (torch.tensor(moments[name]).float().view(-1, 1, 1) for name in ("mean", "squares"))
    codes, codes_train = ((model.maps(each) - mean) / (squares / moments["count"]).sqrt() for each in (z, z_train))
    small = transformed(model.maps(mu), (height // factor // 2, width // factor // 2), 1)
    priors = fit_priors(codes_train.flatten(1), names=PRIORS, seed=0)
    return {
        "mse": float((model.decode(mu) - x).square().mean()),
        "turned": float((model.decode(small) - transformed(x, (height // 2, width // 2), 1)).square().mean()),
        "fine": fine_share(codes),
        "nats": -max(prior.score.mean for prior in priors.values() if prior.score) / model.latent_dim,
        "probe": probe_accuracy(mu_train, mu, reference),
    }


def fine_share(codes: Tensor) -> float:
    """Share of the power of maps `(N, C, h, w)`, without their means, at over half the highest frequency of a side."""
    power = torch.fft.fft2(codes.double()).abs().square().mean((0, 1))
    sides = [torch.fft.fftfreq(side).abs() for side in power.shape]
    power[0, 0] = 0.0
    return float(power[torch.maximum(sides[0][:, None], sides[1]) > 0.25].sum() / power.sum())


def probe_accuracy(z_train: Tensor, z: Tensor, reference: ReferenceData) -> float:
    """Mean over attributes of the accuracy of a linear probe."""
    names = reference.data.test.attribute_names
    labels = []
    for images in (reference.data.train, reference.data.test):
        assert images.attributes is not None
        labels.append(torch.from_numpy(images.attributes[reference.rows(len(images))] >= 0.5).long())
    columns = [names.index(name) for name in ATTRIBUTES if name in names]
    accuracies = [linear_probe(z_train, labels[0][:, at], z, labels[1][:, at]).float().mean() for at in columns]
    return float(np.mean(accuracies))


def collect(lab: Lab) -> None:
    """Train all variants; save reconstructions and decoded transformed codes of the first seed."""
    for name, changes in VARIANTS.items():
        config = maps(changes)
        lab.measure(name, config, lab.marks(1), {"latents": latent_metrics})
        x = lab.reference(lab.config(config, 0)).x[:16]

        def turned(model: Model, x: Tensor = x) -> Tensor:
            codes = transformed(model.maps(model.encode(x)), model.code_shape[1:], 1)
            return torch.cat([model.reconstruct(x), model.decode(codes.flatten(1))])

        lab.add_strip(f"{name}: reconstructions, and of codes rotated by 90 degrees", config, turned)


def judge(results: Results) -> list[Statement]:
    """Compare each with plain training, seed by seed."""

    def compared(text: str, metric: str, name: str, unit: str, margin: float = 0.0, *, more: bool = True) -> Statement:
        gap = results.gap(name, "plain", metric) if more else results.gap("plain", name, metric)
        plain = results.mean("plain", metric)
        found = f"{unit[0].upper()}{unit[1:]}: {results.mean(name, metric)} against {plain}, difference {gap}."
        return Statement(text, exceeds(gap, margin or RELATIVE * plain.mean, unit), found)

    return [
        compared("With equivariance, scaled and rotated codes decode to scaled and rotated images.", "turned",
                 "equivariance", "MSE of halved, rotated images", more=False),
        compared("Equivariance makes codes smoother.", "fine", "equivariance",
                 "share of variance at high spatial frequencies", MARGIN, more=False),
        compared("Equivariance makes codes easier for a fitted prior.", "nats", "equivariance",
                 "nats per dimension of held-out standardised codes", MARGIN, more=False),
        compared("Equivariance costs reconstruction.", "mse", "equivariance", "MSE of reconstructions"),
        compared("Alignment makes attributes easier to read from codes.", "probe", "alignment",
                 "accuracy of linear probes", MARGIN),
        compared("Alignment makes codes easier for a fitted prior.", "nats", "alignment",
                 "nats per dimension of held-out standardised codes", MARGIN, more=False),
        compared("Alignment costs reconstruction.", "mse", "alignment", "MSE of reconstructions"),
    ]  # fmt: skip


COLUMNS = [
    ("MSE", "mse"),
    ("MSE of halved, rotated images", "turned"),
    ("high frequencies", "fine"),
    ("nats per dimension", "nats"),
    ("linear probes", "probe"),
]


def table(results: Results) -> str:
    """All metrics."""
    return table_of(results, COLUMNS, first="training")


def draw(results: Results) -> object:
    """Metrics of codes, then images."""
    chart = new_chart(13, 6.2)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1, 1))
    titles = ("Reconstruction MSE", "Share of high frequencies", "Nats per dimension", "Accuracy of linear probes")
    for axes, title, metric in zip(upper.subplots(1, 4), titles, ("mse", "fine", "nats", "probe"), strict=True):
        dots(panel(axes, title), results, metric)
    show_strips(lower, results.strips, columns=2)
    return chart


STUDY = Study(
    name="latent_regularisers",
    number=10,
    title="Do equivariance and alignment make codes easier to model?",
    claim="Equivariant codes (EQ-VAE) and codes aligned with features (VA-VAE) are easier for a generative model.",
    method=f"""VAE with maps of 3 channels at a quarter of the resolution: recipe kl-f4 with plain convolutions of
{" and ".join(map(str, WIDTHS))} channels instead of residual blocks, without perceptual and adversarial loss, on drawn
faces of 32 x 32 pixels, in batches of 16 and with a learning rate that falls to a hundredth. The alignment is with a
network trained on rotation prediction, which has seen no attributes. Codes are scaled to mean 0 and deviation 1 in each
channel before priors ({" and ".join(PRIORS)}) are fitted to training codes; the nats are of a tenth that was held out,
by the better prior. Linear probes predict {len(ATTRIBUTES)} attributes of held-out images.""",
    rule=f"""The smallest difference that counts is {MARGIN} for shares, nats and accuracies, {RELATIVE:.0%} of plain
training's for errors. Confirmed: the interval of the difference to plain training is above 0, with a mean of at least
that. No difference: the interval is within ± that. Refuted: all of it is below that.""",
    images=20_000,
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
    source="shapes-faces",
    seeds=10,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
