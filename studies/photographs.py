"""CIFAR-10, a VAE and a VAE/GAN with the same encoder and decoder: reconstructions, and samples of a flow over codes.

    python studies/photographs.py --data cifar10 --data.root data             # train the missing runs, then compare
    python studies/photographs.py --data cifar10 --data.root data --list      # print commands and expected minutes

Both use the recipe photos-32; any source of 32x32 colour images will do. The VAE's pixels are Gaussian with the
best-fitting variance (sigma-VAE, arXiv:2006.13202), so its likelihood and KL need no weights. The perceptual loss uses
a network that was trained to predict rotations, so that the features of the evaluation, a classifier's, are independent
of training. Samples are drawn from a flow that is fitted to the VAE/GAN's codes, by label where there are labels, and
from a mixture, which is faster, fitted to the VAE's. Page, JSON, a Markdown table and a picture are written beside the
runs. Run the same command to resume. Unknown options are passed to `vaegan train`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from common import side_by_side
from PIL import Image
from readme_picture import picture

from vaegan.cli import main as vaegan
from vaegan.runs.opened import OpenedRun

RECIPE = "photos-32"
SHARED = {"data.flip": "True", "train.images": "500000", "train.priors": "none", "train.best_metric": "none"}
KINDS: dict[str, side_by_side.Settings] = {
    "vae": side_by_side.SIGMA_VAE,
    "vaegan": {"loss.perceptual": "rotations"},
}
"""Kind of model -> further changes to the recipe."""
PRIORS = {"vae": "mixture", "vaegan": "flow"}
"""Kind of model -> the prior of its samples."""
NUM_SHOWN = 8


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training."""
    return side_by_side.trainings(
        RECIPE, KINDS, seeds, out, lambda kind, seed: {**SHARED, "model.kind": kind, **KINDS[kind]}, more
    )


def draw(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the first held-out images, and what each of the runs, by kind, makes of them and draws anew."""
    opened = {kind: OpenedRun(run) for kind, run in runs.items()}
    real = np.array(next(iter(opened.values())).data().test.images[: 2 * NUM_SHOWN])
    Image.fromarray(picture({kind: run.model() for kind, run in opened.items()}, real)).save(path, optimize=True)


def main() -> int:
    """Train, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/photographs"), num=10_000)
    parser.add_argument("--flow-steps", type=int, default=10_000, help="training steps of each flow (%(default)s)")
    parser.add_argument("--guidance", type=float, default=2.5, help="of flows by label (%(default)s)")
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, more)
    last = side_by_side.comparison(KINDS, options.seeds, options.out, options.num)
    side_by_side.announce(commands, last)
    if options.list:
        return 0

    def fit(run: Path) -> int:
        opened = OpenedRun(run)
        prior = PRIORS[opened.config.model.kind]
        how = ["--flow-steps", str(options.flow_steps)] if prior == "flow" else []
        if how and opened.data().train.labels is not None:
            how += ["--by-label", "--guidance", str(options.guidance)]
        return side_by_side.fitted(run, prior, *how)

    code = side_by_side.carry_out(commands, fit) or vaegan(last)
    if not code:
        draw({kind: options.out / f"{kind}-{options.seeds[0]}" for kind in KINDS}, options.out / "photographs.png")
    return code


if __name__ == "__main__":
    sys.exit(main())
