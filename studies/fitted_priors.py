"""Samples of an AE, a VAE and a VAE/GAN from N(0, I) and from fitted priors, as in Table 1 of the paper on RAEs.

    python studies/fitted_priors.py --data.root data/mnist             # train and measure what is missing
    python studies/fitted_priors.py --data.root data/mnist --list      # the commands and expected minutes

The paper (Ghosh et al., arXiv:1903.12436) fits a mixture of ten Gaussians to the codes of the finished model, and
measures on MNIST, with 16 dimensions of z, the Fréchet distances of reconstructions, of samples from N(0, I) and from
the mixture, and of images between two others. Here they have the networks, optimiser and epochs of the recipe
mnist-conv, AE and VAE with Bernoulli pixels, and the mixture has as many Gaussians as fit held-out codes best.

The paper's features are Inception's: `--extractor inception` measures in them where its weights are in the cache or can
be downloaded. The default is a classifier that the project trains itself, whose distances are on another scale; so the
table also has each one's ratio to the real-data baseline, training images in place of samples.

Run the same command to resume. OUT/fitted_priors.md and .json have the table. Unknown options are passed to `vaegan
train`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from common import side_by_side
from common.statistics import interval, number

from vaegan.data import ImageData
from vaegan.files import read_json, write_json
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import FeatureExtractor, open_extractor
from vaegan.models import Model
from vaegan.pixels import to_unit
from vaegan.runs.opened import OpenedRun

RECIPE = "mnist-conv"
COLUMNS = ("reconstructions", "N(0, I)", "mixture", "between two images")
KINDS = {"ae": "AE", "vae": "VAE", "vaegan": "VAE/GAN"}
SHARED = {"model.latent-dim": "16", "train.priors": "mixture", "train.best-metric": "none"}

Distances = Mapping[str, Sequence[Sequence[float]]]
"""Kind of model -> for each seed the Fréchet distances in the order of `COLUMNS`."""


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training."""
    return side_by_side.trainings(RECIPE, KINDS, seeds, out, lambda kind, seed: {"model.kind": kind, **SHARED}, more)


def unfitted(model: Model, data: ImageData, extractor: FeatureExtractor, num: int) -> list[float]:
    """Return the Fréchet distances to held-out images of what `vaegan evaluate` does not measure in every kind.

    Of as many images decoded from N(0, I), which is not the prior of an AE, and halfway between the codes of two.
    """
    x = to_unit(torch.from_numpy(data.test.images[:num]))
    z = model.encode(x)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    real = Moments(extractor.features(x))
    codes = (noise, 0.5 * (z + z.roll(1, 0)))
    return [frechet_distance(real, Moments(extractor.features(model.decode(each)))) for each in codes]


def measure_unfitted(run: Path, num: int, extractor: str) -> None:
    """Write `unfitted` of a run into its folder, unless it is there."""
    file = run / f"unfitted-{extractor}-{num}.json"
    if not file.exists():
        opened = OpenedRun(run)
        data = opened.data()
        write_json(file, unfitted(opened.model(), data, open_extractor(extractor, data), num))


def results(seeds: Sequence[int], out: Path, num: int, extractor: str) -> tuple[Distances, float]:
    """Return all distances, and that of the real-data baseline."""
    distances: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    real = 0.0
    for kind, rows in distances.items():
        for run in (out / f"{kind}-{seed}" for seed in seeds):
            found = read_json(run / "evaluation.json")
            groups = found["reconstructions"], found["samples"]["mixture"]
            reconstructions, mixture = (group["frechet_distance"]["value"] for group in groups)
            normal, between = read_json(run / f"unfitted-{extractor}-{num}.json")
            rows.append([reconstructions, normal, mixture, between])
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
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, more)
    if options.list:
        side_by_side.announce(commands)
        return 0
    evaluated = side_by_side.evaluated(options.num, extractor=options.extractor, more=["--published", "none"])

    def measure(run: Path) -> int:
        code = evaluated(run)
        if code == 0:
            measure_unfitted(run, options.num, options.extractor)
        return code

    if code := side_by_side.carry_out(commands, measure):
        return code
    distances, real = results(options.seeds, options.out, options.num, options.extractor)
    text = table(distances, real)
    write_json(options.out / "fitted_priors.json", {"real": real, "distances": distances})
    (options.out / "fitted_priors.md").write_text(text, encoding="utf-8")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
