"""The README's picture: the same drawn faces by a VAE, a GAN and a VAE/GAN, held out and new.

    python studies/readme_picture.py        # trains what is not trained yet, then writes docs/images/readme.png

Three trainings of some minutes each on two cores; a script that was stopped resumes. All three have the networks,
optimiser and batches of the recipe small-32, at 48x48, and see 20,000 drawn faces four times. The VAE has the paper's
Gaussian likelihood of pixels, variance 1 where images are in [-1, 1], and all weights 1; GAN and VAE/GAN have an R1
penalty, and the VAE/GAN starts as an autoencoder. Nothing is picked: the faces are the first held-out ones, the
samples the first of seed 0, from a mixture fitted to the codes (the GAN's: from N(0, I)).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import vaegan
from vaegan.data import open_data
from vaegan.pixels import to_uint8, to_unit
from vaegan.report.grid import grid, sheet

ROOT = Path(__file__).parents[1]
RECIPE, SOURCE = "small-32", "shapes-faces"
SHARED: dict[str, Any] = {
    "data.size": 48, "data.flip": False, "data.limit": 20_000, "train.images": 80_000, "train.batch_size": 32,
    "train.snapshot_epochs": 1.0, "train.tensorboard": False, "train.best_metric": "none", "train.priors": ("mixture",),
}  # fmt: skip
"""What all three change in the recipe."""
KINDS: dict[str, dict[str, Any]] = {
    "vae": {
        "loss.likelihood": "gaussian", "loss.pixel_variance": 0.25, "loss.gamma": 1.0, "loss.kl_weight": 1.0,
        "loss.encoder_llike_weight": 1.0, "train.pretrain_epochs": 0.0,
    },
    "gan": {"loss.r1_weight": 1.0},
    "vaegan": {"loss.r1_weight": 0.2, "loss.r1_every": 4, "train.pretrain_epochs": 1.0},
}  # fmt: skip
"""Kind of model and what it changes besides."""
TITLES = {"vae": "VAE", "gan": "GAN", "vaegan": "VAE/GAN"}
NUM_SHOWN = 4


def trained(kind: str, out: Path) -> vaegan.Model:
    """Return the model of a kind, trained if it is not yet."""
    settings = SHARED | KINDS[kind] | {"model.kind": kind}
    vaegan.train(RECIPE, data=SOURCE, out=out / kind, seed=0, **settings)
    return vaegan.load(out / kind)


def picture(models: dict[str, vaegan.Model], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay images in rows, held-out ones on the left and new ones on the right.

    Args:
        models: by kind.
        real: uint8 `(2 N, H, W, C)`; the first half is reconstructed.

    Returns:
        uint8 `(H', W', C)`; the left of a model without an encoder is white.
    """
    num = len(real) // 2
    rows = [(real[:num], real[num:])]
    for model in models.values():
        held_out = np.full_like(real[:num], 255)
        if "encoder" in model.parts:
            held_out = to_uint8(model.reconstruct(to_unit(torch.from_numpy(real[:num]))))
        rows.append((held_out, to_uint8(model.sample(num, seed=0))))
    blocks = np.stack([[grid(images, num, scale=2) for images in row] for row in rows])
    return sheet(
        blocks, ("held-out images", "new images"), ("real", *(TITLES[kind] for kind in models)), pad=8, scale=1
    )


def main(words: Sequence[str] | None = None) -> int:
    """Train, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/readme-picture"), help="folder of the runs (%(default)s)"
    )
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/images/readme.png", help="(%(default)s)")
    options = parser.parse_args(words)
    models = {kind: trained(kind, options.out) for kind in KINDS}
    faces = open_data(SOURCE, size=SHARED["data.size"], limit=SHARED["data.limit"]).test
    real = np.array(faces.images[: 2 * NUM_SHOWN])
    Image.fromarray(picture(models, real)).save(options.picture, optimize=True)
    print(options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
