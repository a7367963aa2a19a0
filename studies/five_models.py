"""AE, VAE, GAN, VAE_Dis_l and VAE/GAN side by side: the same networks on MNIST, several seeds, then `vaegan compare`.

    python studies/five_models.py --data.root data/mnist             # train what is not trained yet, then compare
    python studies/five_models.py --data.root data/mnist --list      # say what that would be, and how long it may take

All have the networks, optimiser, batches and epochs of the recipe mnist-conv. AE and VAE take pixels as Bernoulli, with
weight 1 for all terms, which needs a sigmoid at the decoder's end; VAE_Dis_l compares in layer l of the discriminator
that the GAN of the same seed ended with. Each run is evaluated when it is trained. A script that was stopped goes on
where it was. Page, JSON and a table for a README are written beside the runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common import side_by_side

from vaegan.cli import main as vaegan

RECIPE = "mnist-conv"
PIXELS = {
    "model.output": "sigmoid",
    "loss.likelihood": "bernoulli",
    "loss.gamma": "1",
    "loss.kl-weight": "1",
    "loss.encoder-llike-weight": "1",
}
MEASURING = 2
"""Minutes, about, for a run of 10,000 images of each kind and several priors."""
KINDS: dict[str, side_by_side.Settings] = {"ae": PIXELS, "vae": PIXELS, "gan": {}, "vae-dis-l": {}, "vaegan": {}}
"""Kind of model and what it changes in the recipe; the GAN comes before the model that builds on it."""


def settings_of(kind: str, seed: int, out: Path) -> side_by_side.Settings:
    """Return what the run of a kind and seed changes in the recipe."""
    metric = {"loss.metric": str(out / f"gan-{seed}")} if kind == "vae-dis-l" else {}
    return {"model.kind": kind, **KINDS[kind], **metric}


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training; a GAN's comes before that of the model that builds on it."""
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
