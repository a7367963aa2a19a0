"""Peak memory of `vaegan train` for a recipe at its full size on a folder of images, and its adaptive weight.

    python benchmarks/memory.py [--recipe kl-f4] [--steps 100] [--batch-size 4]

Writes synthetic faces as PNG into a folder and runs `vaegan train` on it in another process, from decoding the folder
to saving the model, with the recipe's batch size by default. Prints the peak resident memory of that process, the
losses of the first and the last record, and the range of the weight of L_GAN at the decoder. POSIX only. Unknown
options are passed to `vaegan train`.
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
    """Write ``num`` synthetic faces of ``size`` pixels as PNG."""
    folder.mkdir()
    for i, image in enumerate(open_data("shapes-faces", size=size, limit=num).train.images[:num]):
        Image.fromarray(image).save(folder / f"{i:04}.png")


def run(command: list[str]) -> tuple[int, float]:
    """Run a command; return its exit code and the peak of its resident memory in bytes."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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


def main() -> int:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kl-f4", choices=list(RECIPES))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--images", type=int, default=200, help="number of images in the folder")
    parser.add_argument("--out", type=Path, help="save the run here")
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
