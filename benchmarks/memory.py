"""Peak memory of `vaegan train`, and how its adaptive weight behaves: a recipe at its real size on a folder of images.

    python benchmarks/memory.py [--recipe kl-f4] [--steps 100] [--batch-size 4]

Drawn faces are written as PNG into a folder, and `vaegan train` sees them in a process of its own, from the decoding
of the folder to the model's file; batches are the recipe's unless told otherwise. Prints the peak of that process
(resident, as the system counts it), the losses at the first and the last record, and the least and the greatest weight
of L_GAN at the decoder. POSIX only; words that the script does not know go to `vaegan train`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from vaegan.data import open_data
from vaegan.recipes import RECIPES, config_for

GIB = 2**30


def write_folder(folder: Path, num: int, size: int) -> None:
    """Write drawn faces of ``size`` pixels as PNG."""
    folder.mkdir()
    for i, image in enumerate(open_data("shapes-faces", size=size, limit=num).train.images[:num]):
        Image.fromarray(image).save(folder / f"{i:04}.png")


def run(words: list[str]) -> tuple[int, float]:
    """Run a command; return its exit code and the peak of its resident memory in bytes."""
    process = subprocess.Popen(words)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def records_of(run_folder: Path) -> list[dict[str, Any]]:
    """Return the training's records."""
    lines = (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["split"] == "train"]


def report(records: list[dict[str, Any]], peak: float, seconds: float, steps: int) -> str:
    """Say what was measured."""
    first, last = (
        ", ".join(f"{part} {name} {value:.4g}" for part, of in record["losses"].items() for name, value in of.items())
        for record in (records[0], records[-1])
    )
    weights = [record["routes"]["decoder/balance"] for record in records if "decoder/balance" in record["routes"]]
    lines = [
        f"peak memory {peak / GIB:.2f} GiB, {seconds:.0f} s for {steps} steps and all around them",
        f"first record, {records[0]['images']} images: {first}",
        f"last record, {records[-1]['images']} images: {last}",
    ]
    if weights:
        lines.append(
            f"weight of L_GAN at the decoder: {min(weights):.3g} to {max(weights):.3g}, {weights[-1]:.3g} at last"
        )
    return "\n".join(lines)


def main() -> int:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kl-f4", choices=list(RECIPES))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--images", type=int, default=200, help="in the folder")
    parser.add_argument("--out", type=Path, help="keep the run here")
    options, more = parser.parse_known_args()
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
