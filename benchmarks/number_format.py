"""A training step of recipes in each number format and memory layout, timed in turn.

    python benchmarks/number_format.py [--recipes mnist-mlp map-32] [--images 16] [--rounds 7]

Prints, as rows of a Markdown table, the median time of a step in plain float32 and how many times as fast the others
are. A CPU without bf16 is imitated by `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` in the environment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vaegan.distributed import World
from vaegan.recipes import RECIPES, config_for
from vaegan.training.device import computes_bf16, tune_allocator
from vaegan.training.setup import set_up

FORMATS = [(precision, layout) for precision in ("fp32", "bf16") for layout in ("contiguous", "channels_last")]
NAMED = ("mnist-mlp", "mnist-conv", "small-32", "photos-32", "conv-64", "map-32", "map-64")


def steps(name: str, size: int, folder: Path) -> dict[tuple[str, str], Callable[[], object]]:
    """Return a step of the recipe on so many images in each format of this machine."""
    channels, height, width = RECIPES[name].image_shape
    path = folder / f"{name}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (4 * size, height, width, channels), dtype=np.uint8))
    of_images = {"data.source": str(path), "data.cache": folder, "train.batch_size": size, "loss.perceptual": "none"}
    has_bf16, is_mlp = computes_bf16(torch.device("cpu")), RECIPES[name].config.model.network == "mlp"
    made: dict[tuple[str, str], Callable[[], object]] = {}
    for precision, layout in FORMATS:
        if (precision == "fp32" or has_bf16) and (layout == "contiguous" or not is_mlp):
            named = {"train.precision": precision, "train.memory_format": layout}
            made[precision, layout] = set_up(
                config_for(name, {**of_images, **named}), None, World(), torch.device("cpu")
            ).trainer.step
    return made


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=NAMED)
    parser.add_argument("--images", type=int, default=16, help="of a step (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    tune_allocator()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, steps of {options.images} images\n")
    print(f"| recipe | {' | '.join(map(' '.join, FORMATS))} |")
    print("|---" * (1 + len(FORMATS)) + "|")
    for name in options.recipes:
        seconds: dict[tuple[str, str], list[float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            made = steps(name, options.images, Path(folder))
        for _ in range(1 + options.rounds):  # the first warms up
            for form, step in made.items():
                begin = time.perf_counter()
                step()
                seconds.setdefault(form, []).append(time.perf_counter() - begin)
        medians = {form: statistics.median(values[1:]) for form, values in seconds.items()}
        plain = medians[FORMATS[0]]
        cells = [f"{plain / medians[form]:.2f}x" if form in medians else "–" for form in FORMATS[1:]]
        print(f"| {name} | {1e3 * plain:.0f} ms | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
