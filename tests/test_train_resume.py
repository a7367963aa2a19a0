"""Real processes killed with SIGKILL, the same command again and again, and nobody can tell afterwards."""

from __future__ import annotations

import json
import signal

import pytest
import torch

# Trains, and dies by SIGKILL at a chosen moment, such as "checkpoint:112".
DOOMED = """
import os, signal, sys
from pathlib import Path
from vaegan.cli import main
from vaegan.runs.run_folder import RunFolder
from vaegan.training import snapshots, train
from vaegan.training.loop import Trainer

what, _, images = sys.argv[1].partition(":")
calls = 0
write, replace, step = Path.write_bytes, Path.replace, Trainer.step

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def write_half(path, data):
    checkpoint = what == "checkpoint" and path.name.startswith(f".{int(images):012d}.") and path.suffix == ".pt"
    if checkpoint or (what == "model" and path.suffix == ".safetensors"):
        write(path, data[: len(data) // 2])
        die()
    return write(path, data)

def replace_never(path, target):
    if what == "rename" and Path(target).name == f"{int(images):012d}.pt":
        assert Path(target).with_suffix(".sha256").is_file()
        die()
    return replace(path, target)

def step_once_more(trainer, **named):
    if what == "step" and trainer.images == int(images):
        die()
    if what == "calls":
        sys.setprofile(count)
    return step(trainer, **named)

def count(frame, event, value):
    global calls
    calls += event == "call"
    if calls == int(images):
        die()

def add_half(run, record):
    if what == "record" and record["images"] == int(images):
        with run.metrics_path.open("a") as file:
            file.write('{"images": 1')
        die()
    add(run, record)

add, RunFolder.add_record = RunFolder.add_record, add_half
Path.write_bytes, Path.replace, Trainer.step = write_half, replace_never, step_once_more
if what == "curves":
    snapshots.draw_losses = lambda *_: die()
sys.exit(main(["train", *sys.argv[2:]]))
"""

SCHEDULE = (
    "--train.epochs 3 --train.snapshot-epochs 0.5 --train.log-images 32 --train.keep-checkpoints 2 --data.flip "
    "--loss.kl-schedule linear --loss.kl-epochs 2 --optim.schedule cosine --optim.warmup-images 40 "
)
VAEGAN = SCHEDULE + (
    "--optim.ema 0.9 --optim.clip 5 --model.encoder.dropout 0.2 --model.discriminator.dropout 0.1 --loss.gate "
    "--loss.label-noise 0.1 --loss.label-flip 0.1 --loss.r1-weight 1 --loss.r1-every 3 "
    "--model.discriminator.spectral-norm --model.discriminator.minibatch-features 3"
)
VAE = SCHEDULE + (
    "--model.kind vae --loss.likelihood gaussian-learned --optim.name rmsprop --train.precision bf16 "
    "--train.memory-format channels_last --model.discriminator.channels none --model.discriminator.hidden none"
)


def records(run):
    """Records of a run without what differs from run to run: how fast it went."""
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "images_per_second"} for record in read]


def assert_same(a, b, where="state"):
    """Assert that nested states are equal, tensors bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def assert_same_runs(one, other):
    """Assert that two run folders hold the same files, and in them the same, but for what tells the time."""
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert records(one) == records(other)
    for name in files:
        if name.suffix in (".png", ".gif", ".safetensors", ".yaml") or name.name == "config.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
        elif name.suffix == ".pt":
            assert_same(torch.load(one / name, weights_only=True), torch.load(other / name, weights_only=True))


def warnings_of(done):
    """Return the warnings of a finished command, but for what a CPU that lacks bf16 says of it."""
    return [line for line in done.stderr.splitlines() if "only emulated" not in line]


@pytest.fixture(scope="module")
def uninterrupted(python, tiny, tmp_path_factory):
    """Train without a break: words -> run folder."""

    def run(words):
        out = tmp_path_factory.mktemp("whole") / "run"
        done = python("-m", "vaegan", "train", *tiny, *words, "--out", out)
        assert (done.returncode, warnings_of(done)) == (0, [])
        return out

    return run


@pytest.mark.slow
def test_a_run_killed_at_many_moments_ends_like_one_that_was_left_alone(python, tiny, uninterrupted, tmp_path):
    words, out = VAEGAN.split(), tmp_path / "run"
    whole = uninterrupted(words)
    moments = [
        ("checkpoint:0", 0),  # (when it dies, where the next process starts)
        ("step:0", 0),
        ("step:80", 64),
        ("checkpoint:112", 64),
        ("rename:112", 64),
        ("record:128", 112),
        ("model", 112),
        ("curves", 304),
    ]
    for moment, kept in moments:
        died = python("-c", DOOMED, moment, *tiny, *words, "--out", out)
        assert died.returncode == -signal.SIGKILL, died.stderr
        newest = max((out / "checkpoints").glob("[0-9]*.pt"), default=None)
        assert int(newest.stem if newest else 0) == kept, moment
    done = python("-m", "vaegan", "train", *tiny, *words, "--out", out)
    assert (done.returncode, warnings_of(done)) == (0, [])
    assert_same_runs(whole, out)
    state = torch.load(out / "checkpoints" / "000000000304.pt", weights_only=True)
    assert state["averages"].keys() == {"encoder", "decoder"}
    assert state["steps"] == 19
    seen = [(record["images"], record["split"]) for record in records(out)]
    assert len(seen) == len(set(seen))
    assert seen[-1] == (304, "test")
    assert any(record.get("skipped") for record in records(out)), "the gate never closed"


@pytest.mark.slow
def test_a_kill_at_no_special_moment(tiny, python, uninterrupted, tmp_path):
    words, out = VAE.split(), tmp_path / "run"
    whole = uninterrupted(words)
    for moment in ("calls:3000", "calls:30000"):  # of functions, counted from the first step on
        died = python("-c", DOOMED, moment, *tiny, *words, "--out", out)
        assert died.returncode == -signal.SIGKILL, died.stderr
    done = python("-m", "vaegan", "train", *tiny, *words, "--out", out)
    assert (done.returncode, warnings_of(done)) == (0, [])
    assert_same_runs(whole, out)
