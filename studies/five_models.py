"""AE, VAE, GAN, VAE_Dis_l and VAE/GAN compared: the same networks on MNIST, several seeds, then `vaegan compare`.

    python studies/five_models.py --data.root data/mnist             # train the missing runs, then compare
    python studies/five_models.py --data.root data/mnist --list      # print the commands and the expected minutes

All use the networks, optimiser, batches and epochs of the recipe mnist-conv. AE and VAE have Bernoulli pixels and a
weight of 1 for all terms, which needs a sigmoid as the decoder's output; VAE_Dis_l compares features in layer l of the
final discriminator of the GAN with the same seed. Each run is evaluated after training. Run the same command to resume.
Page, JSON and a Markdown table are written beside the runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common import side_by_side

from vaegan.cli import main as vaegan

RECIPE = "mnist-conv"
MEASURING = 2
"""Approximate minutes to evaluate a run on 10,000 images with several priors."""
KINDS: dict[str, side_by_side.Settings] = {kind: {} for kind in ("ae", "vae", "gan", "vae-dis-l", "vaegan")}
"""Kind of model -> changes to the recipe; the GAN comes before VAE_Dis_l, which needs it."""


def settings_of(kind: str, seed: int, out: Path) -> side_by_side.Settings:
    """Return the changes to the recipe of a run."""
    metric = {"loss.metric": str(out / f"gan-{seed}")} if kind == "vae-dis-l" else {}
    return {"model.kind": kind, **KINDS[kind], **metric}


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training, a GAN's before that of the VAE_Dis_l which needs it."""
    return side_by_side.trainings(RECIPE, KINDS, seeds, out, lambda kind, seed: settings_of(kind, seed, out), more)


def main() -> int:
    """Train, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", help="folder of MNIST's files")
    side_by_side.options(parser, Path("runs/five"), num=10_000)
    options, more = parser.parse_known_args()
    data = [*(["--data.root", options.root] if options.root else []), *more]
    commands = trainings(options.seeds, options.out, data)
    last = side_by_side.comparison(KINDS, options.seeds, options.out, options.num)
    side_by_side.announce(commands, last, MEASURING)
    if options.list:
        return 0
    return side_by_side.carry_out(commands, side_by_side.evaluated(options.num)) or vaegan(last)


if __name__ == "__main__":
    sys.exit(main())
