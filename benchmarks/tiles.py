"""How much an image that is computed in tiles differs from the whole one, and how much memory each takes.

    python benchmarks/tiles.py [RUN] [--size 512] [--images 6000] [--large 1536]

RUN is a model whose codes are maps; without one a small VAE of factor 4 is trained on drawn faces of 64x64 pixels, once
with attention and once without. The image is a mosaic of drawn faces that it has not seen. Prints the largest and the
mean absolute difference of the reconstruction from that of the whole image, in steps of 1/255, and the largest of the
codes in standard deviations of a code; then the peak resident memory of reconstructing a larger image whole and in
tiles, each in a process of its own. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import vaegan
from vaegan.data.synthetic.faces import FACES_SOURCE
from vaegan.models import Model
from vaegan.pixels import to_unit

SETTINGS = {
    "model.kind": "vae", "model.network": "residual", "model.latent": "map", "model.latent_dim": 3,
    "model.output": "centred", "model.init": "torch", "loss.likelihood": "laplace", "loss.kl_weight": 1e-3,
    "model.encoder.channels": (8, 16, 16), "model.encoder.groups": 4, "model.encoder.blocks": 1,
    "model.decoder.channels": (16, 16, 8), "model.decoder.groups": 4, "model.decoder.blocks": 1,
    "data": "shapes-faces", "data.size": 64, "data.limit": 3000, "train.batch_size": 16, "optim.lr": 1e-3,
    "train.snapshot_epochs": 10, "train.precision": "fp32", "train.tensorboard": False, "train.priors": (),
    "train.best_metric": "none",
}  # fmt: skip


def mosaic(size: int) -> torch.Tensor:
    """Return drawn faces of 64 pixels side by side, `(1, 3, size, size)` in [0, 1]."""
    num = -(-size // 64)
    faces = FACES_SOURCE.paint(FACES_SOURCE.factors(1, num * num), (64, 64)).reshape(num, num, 64, 64, 3)
    whole = np.ascontiguousarray(faces.transpose(0, 2, 1, 3, 4).reshape(num * 64, num * 64, 3)[:size, :size])
    return to_unit(torch.from_numpy(whole)[None])


def trained(folder: Path, num_images: int, *, attention: bool) -> Model:
    """Train the small model."""
    of_parts = {f"model.{part}.attention": attention for part in ("encoder", "decoder")}
    vaegan.train("digits", **SETTINGS, **of_parts, out=folder, **{"train.images": num_images})
    return vaegan.load(folder)


def rows(model: Model, x: torch.Tensor) -> list[tuple[object, ...]]:
    """Return tile, overlap, largest and mean difference of pixels, largest of codes."""
    z, size, factor = model.encode(x), x.shape[2], model.factor or 1
    whole, table = model.decode(z), []
    print(f"mean absolute error of the whole image: {255 * float((whole - x).abs().mean()):.2f} of 255")
    for tile in (side for side in (64, 128, 256) if side < size):
        for overlap in (0, tile // 4 // factor * factor, tile // 2 // factor * factor):
            tiled = model.tiled(tile, overlap)
            of_codes = (tiled.encode(x) - z).abs().max() / z.std()
            error = 255 * (tiled.reconstruct(x) - whole).abs()
            table.append((tile, overlap, *(f"{float(v):.2f}" for v in (error.max(), error.mean(), of_codes))))
    return table


def peak(folder: Path, size: int, tile: int) -> float:
    """Return the peak resident memory, in MiB, of a process that reconstructs an image whole, or in tiles if not 0."""
    command = [sys.executable, __file__, str(folder), "--size", str(size), "--only", str(tile)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 2**10


def reconstruct_only(model: Model, size: int, tile: int) -> None:
    """Reconstruct an image and print the peak resident memory of this process, in KiB."""
    (model.tiled(tile) if tile else model).reconstruct(mosaic(size))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--large", type=int, default=1536)
    parser.add_argument("--only", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        reconstruct_only(vaegan.load(options.run), options.size, options.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = {} if options.run is None else {str(options.run): options.run}
        for attention in () if runs else (True, False):
            name = f"attention {attention}"
            trained(Path(folder) / name, options.images, attention=attention)
            runs[name] = Path(folder) / name
        for name, run in runs.items():
            table = rows(vaegan.load(run), mosaic(options.size))
            print(f"\n{name}, image of {options.size}x{options.size}")
            print("| tile | overlap | largest difference, of 255 | mean | codes, largest, in standard deviations |")
            print("|---|---|---|---|---|")
            for row in table:
                print("| " + " | ".join(map(str, row)) + " |")
            whole, tiled, little = (peak(run, *each) for each in ((options.large, 0), (options.large, 256), (256, 0)))
            print(f"peak memory at {options.large}x{options.large}: {whole:.0f} MiB, in tiles of 256 {tiled:.0f} MiB")
            print(f"(an image of 256x256 alone: {little:.0f} MiB)")


if __name__ == "__main__":
    main()
