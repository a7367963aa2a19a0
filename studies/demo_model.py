"""The small model that the package carries as `demo`: train it, fit its priors, find the labels' vectors, pack it.

    python studies/demo_model.py --root DIR [--out src/vaegan/demo] [--runs runs/demo] [--device cpu]

A VAE/GAN of recipe `mnist-conv`, with half as many latent dimensions and narrow fully connected layers so that it fits
into 3 MB, trained for ten epochs on MNIST's 60,000 training images. The priors are mixtures of Gaussians, one for each
label. The digits beside it are 1,000 training images and 500 test images of MNIST, the first of each.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaegan.cli import main as vaegan
from vaegan.data import open_data
from vaegan.models import Model
from vaegan.runs.run_folder import MODEL, SETTINGS, VECTOR_TENSORS, VECTORS, RunFolder
from vaegan.settings_io import dump_yaml

NARROW = (
    "--model.latent-dim", "16", "--model.encoder.hidden", "48", "--model.discriminator.hidden", "48",
    "--train.epochs", "10", "--train.priors", "gaussian",
)  # fmt: skip
NUM_TRAIN, NUM_TEST = 1000, 500


def command(*words: str) -> None:
    """Run a command of vaegan; stop where it fails."""
    if code := vaegan(list(words)):
        raise SystemExit(code)


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write bytes in the format of MNIST's files (see `vaegan.data.named.mnist`)."""
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))


def pack(run: Path, out: Path) -> None:
    """Write the run's model, its settings with data source `demo`, and some digits."""
    out.mkdir(parents=True, exist_ok=True)
    model = Model.from_folder(run / MODEL)
    model.save(out)
    for name in (VECTORS, VECTOR_TENSORS):
        (out / name).write_bytes((run / MODEL / name).read_bytes())
    config = RunFolder(run).config
    data = config.data.model_copy(update={"source": "demo", "root": None})
    dump_yaml(config.model_copy(update={"data": data}), out / SETTINGS)
    digits = open_data(config.data)
    for prefix, images, num in (("train", digits.train, NUM_TRAIN), ("t10k", digits.test, NUM_TEST)):
        write_idx(out / f"{prefix}-images-idx3-ubyte.gz", images.images[:num, ..., 0])
        write_idx(out / f"{prefix}-labels-idx1-ubyte.gz", images.labels[:num].astype(np.uint8))
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder with MNIST's files")
    parser.add_argument("--out", type=Path, default=Path("src/vaegan/demo"))
    parser.add_argument("--runs", type=Path, default=Path("runs/demo"))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    run, device = str(arguments.runs), ("--device", arguments.device)
    command("train", "mnist-conv", "--data.root", arguments.root, "--out", run, *NARROW, *device)
    command("priors", run, "--priors", "mixture", "--by-label", "--num", "10000", *device)
    command("attributes", run, "--images", "60000", "--overwrite", *device)
    pack(arguments.runs, arguments.out)
