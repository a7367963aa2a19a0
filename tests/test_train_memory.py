"""Memory of a training: it grows neither with steps nor with the data set."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

MIB = 2**20

# Trains, and prints at the start and after chosen numbers of steps the memory in use: of its own, of mapped files.
WATCHED = """
import sys
from vaegan.cli import main
from vaegan.training.loop import Trainer

at = [int(number) for number in sys.argv[1].split(",")]
step = Trainer.step

def tell(steps):
    with open("/proc/self/status") as file:
        kib = dict(line.split()[:2] for line in file if line.startswith("Rss"))
    print("memory", steps, kib["RssAnon:"], kib["RssFile:"])

def watched(trainer, **named):
    result = step(trainer, **named)
    if result.steps in at:
        tell(result.steps)
    return result

Trainer.step = watched
tell(0)
sys.exit(main(["train", *sys.argv[2:]]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory in use from /proc"),
]


def memory(text):
    """Bytes in use by number of steps: (own, mapped from files)."""
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith("memory ")]
    return {int(steps): (1024 * int(own), 1024 * int(mapped)) for steps, own, mapped in rows}


def test_memory_does_not_grow_with_steps(python, tiny, tmp_path):
    words = [
        "--train.images",
        16 * 500,
        "--train.snapshot-epochs",
        "10",
        "--train.log-images",
        "16",
        "--train.keep-checkpoints",
        "1",
    ]
    done = python("-c", WATCHED, "200,500", *tiny, *words, "--optim.ema", "0.9", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    used = memory(done.stdout)
    assert used[500][0] - used[200][0] < 2.4 * MIB  # 8 KiB a step


def test_a_large_array_is_read_batch_by_batch(python, tiny, tmp_path):
    path = tmp_path / "many.npy"
    # 30,000 images of 64x64: 369 MB, of which the disk holds nothing but the header.
    many = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(30_000, 64, 64, 3))
    size = many.nbytes
    many[:256] = np.random.default_rng(0).integers(0, 255, (256, 64, 64, 3))
    del many
    words = [
        "--data",
        path,
        "--data.cache",
        tmp_path / "cache",
        "--train.images",
        16 * 40,
        "--train.keep-checkpoints",
        "1",
    ]
    done = python("-c", WATCHED, "1,40", *tiny, *words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b2[67],\d{3} training images", done.stdout)
    used = memory(done.stdout)
    assert size > 350 * MIB
    assert sum(used[40]) - sum(used[0]) < 200 * MIB
    assert sum(used[40]) - sum(used[1]) < 64 * MIB
