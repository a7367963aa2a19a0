"""Run the whole test suite many times in a row, some of them beside a busy process: a suite that is exact never fails.

    python tools/whole_runs.py                       # ten runs, the last five beside a busy process
    python tools/whole_runs.py --runs 2 --busy 1 -- -n 0 tests/test_loop.py

What follows `--` goes to pytest in place of `-n 2 --dist worksteal`. Each run's output is a file in `--logs`. The exit
code is 1 if a run has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUSY = """
import torch
torch.set_num_threads(2)
x = torch.randn(1000, 1000)
while True:
    x @ x
"""


def main() -> int:
    """Run, and print a line for each run: number, neighbour, minutes and pytest's last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="how many in a row")
    parser.add_argument("--busy", type=int, default=5, help="how many of them, the last, beside a busy process")
    parser.add_argument("--logs", type=Path, default=Path("runs/suite"), help="folder of the outputs")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", *(options.pytest or ["-n", "2", "--dist", "worksteal"])]
    failed = 0
    for number in range(1, options.runs + 1):
        is_busy = number > options.runs - options.busy
        start = time.monotonic()
        log = options.logs / f"{number}.txt"
        with log.open("w") as output, busy_process() if is_busy else contextlib.nullcontext():
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(words, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False)
        failed += done.returncode != 0
        last = log.read_text().rstrip().rpartition("\n")[2]
        beside = "beside a busy process" if is_busy else "alone"
        print(f"{number}: {beside}, {(time.monotonic() - start) / 60:.1f} min: {last}", flush=True)
    print(f"{options.runs - failed} of {options.runs} runs passed")
    return int(failed > 0)


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Keep two cores busy for a while."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], env=os.environ | {"OMP_NUM_THREADS": "2"})
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
