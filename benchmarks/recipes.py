"""Images/s of every recipe compared with the expected time of `vaegan recipes --about NAME` on two cores.

    python benchmarks/recipes.py [--recipes digits mnist-conv] [--seconds 10]

Each recipe's trainer is set up as `vaegan train` does, on random images of its size. After two warm-up steps it trains
for some seconds (at least three steps). Prints images/s, the hours of the whole training at that speed, the expected
hours, and their ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vaegan.distributed import World
from vaegan.recipes import RECIPES, Recipe, config_for
from vaegan.training.device import tune_allocator
from vaegan.training.profiling import expected_seconds
from vaegan.training.setup import set_up


def measure(recipe: Recipe, folder: Path, seconds: float) -> None:
    """Print the row of one recipe."""
    channels, height, width = recipe.image_shape
    size = recipe.config.train.batch_size
    path = folder / f"{recipe.name}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (4 * size, height, width, channels), dtype=np.uint8))
    config = config_for(recipe.name, {"data.source": str(path), "data.cache": folder})
    built = set_up(config, None, World(), torch.device("cpu"))
    for _ in range(2):
        built.trainer.step()
    begin, num_steps = time.perf_counter(), 0
    while num_steps < 3 or time.perf_counter() - begin < seconds:
        built.trainer.step()
        num_steps += 1
    speed = num_steps * size / (time.perf_counter() - begin)
    hours = (config.train.images or config.train.epochs * recipe.num_images) / speed / 3600
    expected = expected_seconds(recipe.config, recipe.image_shape, recipe.num_images) / 3600
    number_format = f"{built.config.train.precision} {built.config.train.memory_format}"
    print(
        f"| {recipe.name} | {number_format} | {speed:.4g} | {hours:.3g} | {expected:.3g} | {expected / hours:.2f} |",
        flush=True,
    )


def main() -> None:
    """Measure the chosen recipes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, recipe in RECIPES.items() if recipe.config.init_from is None]  # others need a model
    parser.add_argument("--recipes", nargs="+", choices=names, default=names)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    tune_allocator()
    columns = ("recipe", "number format", "images/s", "hours at that speed", "hours expected", "ratio")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    with tempfile.TemporaryDirectory() as name:
        for recipe in options.recipes:
            measure(RECIPES[recipe], Path(name), options.seconds)


if __name__ == "__main__":
    main()
