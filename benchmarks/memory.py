"""Peak memory of `vaegan train` for a recipe at its full size on a folder of images, and its adaptive weight.

    python benchmarks/memory.py [--recipe kl-f4] [--steps 100] [--batch-size 4]
    python benchmarks/memory.py --table [--recipe kl-f8] [--size 256] [--batch-sizes 1,2]

Writes synthetic faces as PNG into a folder and runs `vaegan train` on it in another process, from decoding the folder
to saving the model, with the recipe's batch size by default. Prints the peak resident memory of that process, the
losses of the first and the last record, and the range of the weight of L_GAN at the decoder. POSIX only. Unknown
options are passed to `vaegan train`.

With `--table`: what each option that saves memory saves. For each option and batch size another process makes two steps
with all of a recipe's networks, at random weights and on random images, and a random network for the perceptual loss.
Prints a table of the peak resident memory, of that before the first step (weights and torch), and of the seconds of the
second step. Rows in bf16 are left out on a CPU that emulates it. Unknown options are settings of all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from vaegan.cli import train as command
from vaegan.cli.parse import parse
from vaegan.data import open_data
from vaegan.metrics.extractors.classifier import Classifier
from vaegan.networks.recompute import recompute_activations
from vaegan.recipes import RECIPES, config_for
from vaegan.training.device import autocast_for, computes_bf16, tune_allocator
from vaegan.training.factories import build_model, build_objective, build_optimisers, loop_settings
from vaegan.training.loop import Trainer

GIB = 2**30
KIB = 1 if sys.platform == "darwin" else 1024  # bytes of one unit of ru_maxrss
PARTS = "--train.parts decoder,discriminator"
ACCUMULATE, CHECKPOINTS, BF16 = "--train.accumulate 2", "--train.checkpoint-activations", "--train.precision bf16"
ROWS = {
    "plain": "",
    f"`{PARTS}`": PARTS,
    f"`{ACCUMULATE}`": ACCUMULATE,
    f"`{CHECKPOINTS}`": CHECKPOINTS,
    f"`{BF16}`": BF16,
    f"`{PARTS} {CHECKPOINTS}`": f"{PARTS} {CHECKPOINTS}",
    f"`{BF16} {CHECKPOINTS}`": f"{BF16} {CHECKPOINTS}",
    "all four": f"{PARTS} {CHECKPOINTS} {BF16} {ACCUMULATE}",
}
"""What a row of the table is called, and its words behind `vaegan train`."""


def write_folder(folder: Path, num: int, size: int) -> None:
    """Write ``num`` synthetic faces of ``size`` pixels as PNG."""
    folder.mkdir()
    for i, image in enumerate(open_data("shapes-faces", size=size, limit=num).train.images[:num]):
        Image.fromarray(image).save(folder / f"{i:04}.png")


def run(command: list[str]) -> tuple[int, float]:
    """Run a command; return its exit code and the peak of its resident memory in bytes."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * KIB


def records_of(run_folder: Path) -> list[dict[str, Any]]:
    """Return the records of the training split."""
    lines = (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["split"] == "train"]


def report(records: list[dict[str, Any]], peak: float, seconds: float, steps: int) -> str:
    """Return the measurements as text."""
    first, last = (
        ", ".join(
            f"{part} {name} {value:.4g}" for part, losses in record["losses"].items() for name, value in losses.items()
        )
        for record in (records[0], records[-1])
    )
    weights = [record["routes"]["decoder/balance"] for record in records if "decoder/balance" in record["routes"]]
    lines = [
        f"peak memory {peak / GIB:.2f} GiB, {seconds:.0f} s for the whole run of {steps} steps",
        f"first record, {records[0]['images']} images: {first}",
        f"last record, {records[-1]['images']} images: {last}",
    ]
    if weights:
        lines.append(
            f"weight of L_GAN at the decoder: {min(weights):.3g} to {max(weights):.3g}, {weights[-1]:.3g} at the end"
        )
    return "\n".join(lines)


def peak() -> float:
    """Return the peak resident memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB / GIB


def measure(words: list[str], size: int) -> dict[str, float]:
    """Make two steps with these settings on images (3, size, size); return GiB before, GiB at most, seconds."""
    tune_allocator()
    parts: tuple[str, ...] = ()
    if "--train.parts" in words:  # set below, as `vaegan train` would ask for the model that they come from
        place = words.index("--train.parts")
        parts = tuple(words[place + 1].split(","))
        words = words[:place] + words[place + 2 :]
    config = parse(command.Options, words, "memory.py").settings
    t = config.train.model_copy(update={"parts": parts})
    config = config.model_copy(update={"train": t})
    shape, device = (3, size, size), torch.device("cpu")
    model = build_model(config, shape)
    for part in model.parts.values() if t.checkpoint_activations else ():
        recompute_activations(part)
    model.train()
    layers = Classifier(shape, 4).eval().requires_grad_(False).layers
    objective = build_objective(
        config, model, autocast_for("bf16" if t.precision == "bf16" else "fp32", device), layers
    )
    images = torch.randint(0, 256, (t.batch_size, size, size, 3), dtype=torch.uint8)
    optimisers = build_optimisers(config, objective)
    trainer = Trainer(objective, optimisers, lambda seen: images, loop_settings(config, model, 10**6))
    before = peak()
    trainer.step()
    begin = time.perf_counter()
    trainer.step()
    return {"before": before, "peak": peak(), "seconds": time.perf_counter() - begin}


def print_table(recipe: str, size: int, batch_sizes: list[int], more: list[str]) -> None:
    """Measure each row in a process of its own and print it."""
    columns = [f"{what}, batch {batch}" for batch in batch_sizes for what in ("GiB", "GiB before", "s")]
    print(f"| {recipe}, {size}x{size} | {' | '.join(columns)} |")
    print("|---" * (1 + len(columns)) + "|", flush=True)
    for name, words in ROWS.items():
        if BF16 in words and not computes_bf16(torch.device("cpu")):
            continue
        cells = []
        for batch in batch_sizes:
            own = [recipe, "--train.batch-size", str(batch), *words.split(), *more]
            if "accumulate" in words and batch < 2:
                cells += ["-"] * 3
                continue
            call = [sys.executable, __file__, "--size", str(size), "--measure", json.dumps(own)]
            done = json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)
            cells += [f"{done['peak']:.2f}", f"{done['before']:.2f}", f"{done['seconds']:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=list(RECIPES), help="default: kl-f4; kl-f8 of the table")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--images", type=int, default=200, help="number of images in the folder")
    parser.add_argument("--out", type=Path, help="save the run here")
    parser.add_argument("--table", action="store_true", help="measure the options that save memory")
    parser.add_argument("--size", type=int, default=256, help="height and width of the table's images")
    parser.add_argument("--batch-sizes", default="1,2", help="of the table")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options, more = parser.parse_known_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.size)))
        return 0
    if options.table:
        print_table(options.recipe or "kl-f8", options.size, [int(n) for n in options.batch_sizes.split(",")], more)
        return 0
    options.recipe = options.recipe or "kl-f4"
    config = config_for(options.recipe)
    size = options.batch_size or config.train.batch_size
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "photos", options.out or Path(name) / "run"
        write_folder(folder, options.images, RECIPES[options.recipe].image_shape[-1])
        begin = time.perf_counter()
        code, peak = run([
            sys.executable, "-m", "vaegan", "train", options.recipe, "--data", str(folder), "--out", str(out),
            "--data.cache", str(Path(name) / "cache"), "--train.batch-size", str(size),
            "--train.images", str(size * options.steps), "--train.log-images", str(5 * size), *more,
        ])  # fmt: skip
        if code:
            return code
        print(report(records_of(out), peak, time.perf_counter() - begin, options.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
