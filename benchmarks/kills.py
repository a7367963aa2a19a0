"""Kill trainings at chance moments, resume them, and compare with a training that nobody killed.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--only encode]

Each round starts over in the same run folder and sends SIGKILL to the training at a moment drawn from its whole
length, the writing of files, pictures and priors included. Five of eleven rounds finish the training and kill `vaegan
export`, `evaluate`, `attributes`, `priors` or `encode` instead, which is then run again. After the kill the training is
resumed. All weights, priors, states of checkpoints, pictures and latents have to equal those of an undisturbed run bit
for bit, and no file may be there that the undisturbed run does not have. Then a short training starts over
(`--overwrite`) and has to equal an undisturbed short one, so that no old file is left.

Commands run as real processes, forked from this one so that torch is imported once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vaegan.cli import main as vaegan
from vaegan.files import is_leftover
from vaegan.report.curves import draw_losses

TRAINING = (
    "digits --device cpu --train.precision fp32 --train.memory-format contiguous --train.tensorboard false "
    "--train.images 256 --train.snapshot-epochs 0.06 --train.batch-size 32 --train.best-metric none "
    "--train.held-out-images 64 --train.priors gaussian --optim.schedule cosine --optim.ema 0.9 "
    "--model.latent-dim 4 --model.encoder.hidden 16 --model.decoder.hidden 16 --model.discriminator.hidden 16"
)
SHORT = ["--train.images", "32", "--train.priors", ""]
OTHERS = {
    "export": ["--format", "safetensors"],
    "evaluate": ["--num", "100", "--extractor", "pixels"],
    "attributes": ["--num", "4", "--images", "100"],
    "priors": ["--priors", "gaussian", "--num", "200"],
    "encode": ["--format", "safetensors", "--flip", "--shard", "50"],
}


def import_all() -> None:
    """Import what the commands need, so that forked processes have it."""
    for module in ("training", "exporting", "evaluation.measure", "views.attribute_edits", "latent.fit_priors"):
        importlib.import_module(f"vaegan.{module}")
    for module in ("torch._dynamo", "sklearn.datasets", "rich.logging", "rich.progress"):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:  # fonts are read at the first drawing
        draw_losses([], Path(folder, "losses.png"))


def start(words: list[str]) -> int:
    """Run `vaegan` with these words in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    if "--loud" not in sys.argv:
        os.dup2(silence, 2)
    os._exit(vaegan(words))


def ended(process: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(words: list[str]) -> float:
    """Run `vaegan` to its end, which must be a good one; return how long it took."""
    begin = time.perf_counter()
    code = ended(start(words))
    if code:
        raise SystemExit(f"vaegan {' '.join(words)} ended with {code}; try --loud")
    return time.perf_counter() - begin


def killed(words: list[str], after: float) -> bool:
    """Run `vaegan` and kill it after some seconds; return whether it was still running then."""
    process = start(words)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    return ended(process) == -signal.SIGKILL


def content(folder: Path) -> dict[str, object]:
    """Return what must be equal: all files by name, with the content of those that do not tell the time."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        whole = ("model/config.json", "config.yaml", "data.json")
        if path.suffix in (".safetensors", ".png", ".gif") or name in whole or path.parent.name == "latents":
            found[name] = path.read_bytes()
        elif path.suffix == ".pt":
            found[name] = torch.load(path, weights_only=True)
        elif "export/" not in name:
            found[name] = None
    return found


def same(one: object, other: object) -> bool:
    """Compare nested values, tensors bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def is_still_the_last(out: Path) -> bool:
    """Whether a training was killed before it started over: the settings are the short one's of the round before."""
    settings = out / "config.yaml"
    return settings.is_file() and f"images: {SHORT[1]}\n" in settings.read_text()


def main() -> None:
    """Kill, resume, compare; print a table and exit with 1 if any run differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["train", *OTHERS], help="the one command to kill")
    parser.add_argument("--loud", action="store_true", help="show what the commands print to standard error")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    import_all()
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    with tempfile.TemporaryDirectory() as name:
        whole, short, out = (Path(name, word) for word in ("whole", "short", "run"))
        train = ["train", *TRAINING.split(), "--data.cache", str(Path(name, "cache")), "--out"]
        seconds = {"train": run([*train, str(whole)])}
        wanted = {"train": content(whole)}
        run([*train, str(short), *SHORT])
        shorter = content(short)
        for command, words in OTHERS.items():
            shutil.copytree(whole, out)
            seconds[command] = run([command, str(out), *words])
            wanted[command] = content(out)
            shutil.rmtree(out)
        with contextlib.suppress(KeyboardInterrupt):  # the table is of what has been done
            while (num := sum(row[0] for row in rows.values())) < options.kills:
                print(f"{num} of {options.kills} kills", file=sys.stderr, end="\r", flush=True)
                command = options.only or chance.choice([*["train"] * 6, *OTHERS])
                if command == "train":
                    words = [*train, str(out), "--overwrite"]
                else:
                    run([*train, str(out), "--overwrite"])
                    words = [command, str(out), *OTHERS[command]]
                if not killed(words, chance.uniform(0.0, seconds[command])):
                    continue  # it was faster this time
                row = rows[command]
                row[0] += 1
                row[1] += any(map(is_leftover, out.rglob(".*")))
                run([*train, str(out), *(["--overwrite"] if is_still_the_last(out) else [])])
                if command != "train":
                    run(words)
                got = content(out)
                row[2] += got.keys() == wanted[command].keys()
                row[3] += same(got, wanted[command])
                if others := [n for n in got | wanted[command] if not same(got.get(n), wanted[command].get(n))]:
                    print("these differ:", *others, file=sys.stderr)
                row[4] += ended(start([*train, str(out), *SHORT, "--overwrite"])) == 0 and same(content(out), shorter)
    head = ("killed", "kills", "inside a write", "nothing left", "equal bit for bit", "--overwrite works")
    table = [head, *((command, *map(str, row)) for command, row in sorted(rows.items()))]
    table.append(("all", *(str(sum(column)) for column in zip(*rows.values(), strict=True))))
    for number, line in enumerate(table):
        print("| " + " | ".join(line) + " |")
        if number == 0:
            print("|---" * len(head) + "|")
    if any(value < row[0] for row in rows.values() for value in row[2:]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
