"""Samples of an AE, a VAE and a VAE/GAN from N(0, I), a mixture and a second VAE, as in two papers on such priors.

    python studies/fitted_priors.py --data.root data/mnist             # train and measure what is missing
    python studies/fitted_priors.py --data.root data/mnist --list      # the commands and expected minutes

Ghosh et al. (arXiv:1903.12436) fit a mixture of ten Gaussians to the codes of the finished model, and measure on MNIST,
with 16 dimensions of z, the Fréchet distances of reconstructions, of samples from N(0, I) and from the mixture, and of
images between two others. Here they have the networks, optimiser and epochs of the recipe mnist-conv, AE and VAE with
Bernoulli pixels, and the mixture has as many Gaussians as fit held-out codes best.

Dai & Wipf (arXiv:1903.05789) train a second VAE on codes drawn from q(z|x), with as many dimensions as they have and
three fully connected layers of 1024 units (https://github.com/daib13/TwoStageVAE), and draw codes from it. Here it has
the activations and the optimiser of mnist-mlp, one draw of each code (an AE's own codes), and --second-epochs, not 800.

Their features are Inception's: `--extractor inception` measures in them where its weights are in the cache or can be
downloaded. The default is a classifier that the project trains itself, whose distances are on another scale; so the
table also has each one's ratio to the real-data baseline, training images in place of samples.

Run the same command to resume. OUT/fitted_priors.md and .json have the table. Unknown options are passed to `vaegan
train`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from common import side_by_side
from common.statistics import interval, number
from torch import Tensor

from vaegan.cli import main as vaegan
from vaegan.data import ImageData
from vaegan.errors import UserError
from vaegan.files import read_json, write_json, written_beside
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import FeatureExtractor, open_extractor
from vaegan.models import Model
from vaegan.pixels import to_unit
from vaegan.runs.opened import OpenedRun

RECIPE = "mnist-conv"
COLUMNS = ("reconstructions", "N(0, I)", "mixture", "second VAE", "between two images")
KINDS = {"ae": "AE", "vae": "VAE", "vaegan": "VAE/GAN"}
SHARED = {"model.latent-dim": "16", "train.priors": "mixture", "train.best-metric": "none"}
SECOND = side_by_side.SIGMA_VAE | {
    "model.kind": "vae", "train.precision": "fp32", "train.priors": "", "train.best-metric": "none",
}  # fmt: skip
SECOND |= {f"model.{part}.hidden": "1024,1024,1024" for part in ("encoder", "decoder")}
"""Changes to the recipe mnist-mlp for the VAE of codes."""

Distances = Mapping[str, Sequence[Sequence[float]]]
"""Kind of model -> for each seed the Fréchet distances in the order of `COLUMNS`."""


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training."""
    return side_by_side.trainings(RECIPE, KINDS, seeds, out, lambda kind, seed: {"model.kind": kind, **SHARED}, more)


def second_codes(run: Path, model: Model, data: ImageData, num: int, epochs: float) -> Tensor:
    """Return codes `(num, Z)` drawn from a second VAE, of the codes of a run's training images, trained unless it was.

    To it codes are images of one row, whose lowest number is 0 and highest 1. They are in RUN-codes.npy, the VAE in
    RUN-second-EPOCHS.
    """
    file, out = run.with_name(f"{run.name}-codes.npy"), run.with_name(f"{run.name}-second-{epochs:g}")
    if not file.exists():
        x = to_unit(torch.from_numpy(data.train.images))
        with written_beside(file) as beside, beside.open("wb") as opened:
            np.save(opened, model.encode(x, sample=model.kind != "ae", seed=0)[:, None].numpy())
    codes = torch.from_numpy(np.load(file))
    low, high = codes.min().item(), codes.max().item()
    words = ["mnist-mlp", "--data", str(file), "--data.size", f"1x{model.latent_dim}", "--data.channels", "1"]
    words += ["--data.range", str(low), str(high), "--model.latent-dim", str(model.latent_dim)]
    words += ["--train.epochs", f"{epochs:g}", "--out", str(out)]
    words += [word for name, value in SECOND.items() for word in (f"--{name}", value)]
    if vaegan(["train", *words]):
        raise UserError(f"the second VAE of {run} was not trained")
    return low + (high - low) * noisy(OpenedRun(out).model(), (codes[:, None] - low) / (high - low), num)


def noisy(second: Model, x: Tensor, num: int) -> Tensor:
    """Return samples of a VAE of images like ``x``, `(N, 1, 1, Z)`, as rows `(num, Z)`, with the noise of p(x|z).

    The variance of the noise is the mean squared error of reconstructions, the maximum-likelihood estimate.
    """
    error = second.decode(second.encode(x, sample=True, seed=0)) - x
    noise = torch.randn(num, x.shape[-1], generator=torch.Generator().manual_seed(0))
    return second.sample(num, seed=0).flatten(1) + error.square().mean().sqrt() * noise


def unfitted(
    model: Model, data: ImageData, extractor: FeatureExtractor, num: int, second: Tensor
) -> tuple[float, float, float]:
    """Return the Fréchet distances to held-out images of what `vaegan evaluate` does not measure in every kind.

    Of as many images decoded from N(0, I), which is not the prior of an AE, from codes ``second``, and from halfway
    between the codes of two images.
    """
    x = to_unit(torch.from_numpy(data.test.images[:num]))
    z = model.encode(x)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    real = Moments(extractor.features(x))

    def distance(codes: Tensor) -> float:
        return frechet_distance(real, Moments(extractor.features(model.decode(codes))))

    return distance(noise), distance(second), distance(0.5 * (z + z.roll(1, 0)))


def unfitted_name(num: int, extractor: str, epochs: float) -> str:
    """Return the name of the file in a run that has `unfitted` measured like this."""
    return f"unfitted-{extractor}-{num}-{epochs:g}.json"


def measure_unfitted(run: Path, num: int, extractor: str, epochs: float) -> None:
    """Write `unfitted` of a run into its folder, unless it is there."""
    file = run / unfitted_name(num, extractor, epochs)
    if not file.exists():
        opened = OpenedRun(run)
        model, data = opened.model(), opened.data()
        second = second_codes(run, model, data, num, epochs)
        write_json(file, unfitted(model, data, open_extractor(extractor, data), num, second))


def results(seeds: Sequence[int], out: Path, num: int, extractor: str, epochs: float) -> tuple[Distances, float]:
    """Return all distances, and that of the real-data baseline."""
    distances: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    real = 0.0
    for kind, rows in distances.items():
        for run in (out / f"{kind}-{seed}" for seed in seeds):
            found = read_json(run / "evaluation.json")
            groups = found["reconstructions"], found["samples"]["mixture"]
            reconstructions, mixture = (group["frechet_distance"]["value"] for group in groups)
            normal, second, between = read_json(run / unfitted_name(num, extractor, epochs))
            rows.append([reconstructions, normal, mixture, second, between])
            real = found["yardstick"]["frechet_distance"]["value"]
    return distances, real


def table(distances: Distances, real: float) -> str:
    """Return each with its ratio to the baseline as Markdown."""
    lines = [f"| Fréchet distance of | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for kind, rows in distances.items():
        columns = [interval(values) for values in zip(*rows, strict=True)]
        cells = [f"{column} ({number(column.mean / real)} times real)" for column in columns]
        lines.append(f"| {KINDS[kind]} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nReal images: {number(real)}.\n"


def main() -> int:
    """Train, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/fitted-priors"), num=10_000)
    parser.add_argument("--extractor", default="classifier", help="whose features are compared (%(default)s)")
    parser.add_argument("--second-epochs", type=float, default=20, help="of the VAE of codes (%(default)s)")
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, more)
    if options.list:
        side_by_side.announce(commands)
        return 0
    evaluated = side_by_side.evaluated(options.num, extractor=options.extractor, more=["--published", "none"])

    def measure(run: Path) -> int:
        code = evaluated(run)
        if code == 0:
            measure_unfitted(run, options.num, options.extractor, options.second_epochs)
        return code

    if code := side_by_side.carry_out(commands, measure):
        return code
    distances, real = results(options.seeds, options.out, options.num, options.extractor, options.second_epochs)
    text = table(distances, real)
    write_json(options.out / "fitted_priors.json", {"real": real, "distances": distances})
    (options.out / "fitted_priors.md").write_text(text, encoding="utf-8")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
