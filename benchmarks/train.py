"""`vaegan train` end to end compared with its bare step, in turn: the cost of snapshots, checkpoints, data and records.

    python benchmarks/train.py [--recipe mnist-conv] [--root DIR] [--epochs 1] [--rounds 3]

Each round trains the recipe for some epochs into a temporary folder, exactly as the command does, and measures the time
from the first step to the last snapshot, and that of fitting priors after it. It then times bare steps (objective and
optimisers on one batch in memory) of the same network in the same number format. Prints images/s of both, their ratio,
and the seconds for the priors, which do not depend on how long one trains. Without `--root`, the data are 60,000 random
images of 28x28.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vaegan.objectives import Noise
from vaegan.recipes import config_for
from vaegan.training import train
from vaegan.training.device import autocast_for, layout_of
from vaegan.training.factories import build_model, build_objective, build_optimisers
from vaegan.training.optimisers import assign_gradients

Config = type(config_for("digits"))


def end_to_end(config: Config, folder: Path) -> tuple[float, float]:
    """Return images/s of a training, without the opening of data, and the seconds of what follows its last step."""
    times: list[float] = []

    class Lines(logging.Handler):
        """Stores the times at which training starts and ends."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(("starting at", "fitting priors")):
                times.append(time.perf_counter())

    logger, handler = logging.getLogger("vaegan"), Lines()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    run = train(config, folder)
    end = time.perf_counter()
    logger.removeHandler(handler)
    images = max(record["images"] for record in run.records())
    started, trained, *_ = (*times, end)
    return images / (trained - started), end - trained


def bare(config: Config, image_shape: tuple[int, int, int], num_steps: int) -> float:
    """Return images/s of steps alone."""
    model = build_model(config, image_shape).train()
    model.to(memory_format=layout_of(config.train.memory_format))
    objective = build_objective(config, model, autocast_for(config.train.precision, torch.device("cpu")))
    optimisers = build_optimisers(config, objective)
    size = config.train.batch_size
    x = torch.rand(size, *image_shape).contiguous(memory_format=layout_of(config.train.memory_format))
    begin = time.perf_counter()
    for i in range(num_steps):
        result = objective.step(x, Noise.draw(size, model.latent_dim, seed=0, images=i * size))
        for part, gradients in result.gradients.items():
            assign_gradients(objective.weights[part], gradients)
            optimisers[part].step()
            optimisers[part].zero_grad()
    return num_steps * size / (time.perf_counter() - begin)


def main() -> None:
    """Measure a recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist-conv")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        overrides = {"train.epochs": options.epochs, "data.root": options.root}
        if options.root is None:
            path = Path(name) / "images.npy"
            np.save(path, np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), dtype=np.uint8))
            overrides |= {"data.source": str(path)}
        whole, after, alone = [], [], []
        for round_ in range(options.rounds):
            folder = Path(name) / str(round_)
            speed, seconds = end_to_end(config_for(options.recipe, overrides), folder)
            whole.append(speed)
            after.append(seconds)
            config = train(config_for(options.recipe, overrides), folder).config
            size = config.data.size
            assert size is not None
            steps = round(options.epochs * 60_000 / config.train.batch_size)
            alone.append(bare(config, (config.data.channels or 1, size, size), min(steps, 200)))
            print(f"round {round_ + 1}: train {whole[-1]:.0f} images/s, bare step {alone[-1]:.0f}", flush=True)
    number_format = f"{config.train.precision} {config.train.memory_format}"
    a, b, priors = statistics.median(whole), statistics.median(alone), statistics.median(after)
    columns = ("recipe", "number format", "vaegan train, images/s", "bare step, images/s", "ratio", "priors, s")
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    recipe = f"{options.recipe}, {options.epochs:g} epochs"
    print(f"| {recipe} | {number_format} | {a:.0f} | {b:.0f} | {a / b:.3f} | {priors:.1f} |")


if __name__ == "__main__":
    main()
