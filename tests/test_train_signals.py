"""Ctrl-C and SIGTERM: the step is completed, everything is saved, one line says how to resume."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import torch
from PIL import Image

import vaegan
from vaegan.cli import train as cli_train
from vaegan.cli.parse import parse
from vaegan.objectives import VAEGANObjective
from vaegan.training import Stopped, train

# Trains, and gets a signal in the middle of the step after so many images.
SIGNALLED = """
import os, sys
from vaegan.cli import main
from vaegan.objectives import VAEGANObjective

number, steps = int(sys.argv[1]), int(sys.argv[2])
step, count = VAEGANObjective.step, 0

def signalled(*arguments, **named):
    global count
    count += 1
    result = step(*arguments, **named)
    if count == steps:
        os.kill(os.getpid(), number)
    return result

VAEGANObjective.step = signalled
sys.exit(main(["train", *sys.argv[3:]]))
"""
WORDS = ["--train.epochs", "2", "--optim.ema", "0.9", "--train.log-images", "48", "--loss.adversarial", "minimax"]


def newest_state(run):
    return torch.load(max((run / "checkpoints").glob("[0-9]*.pt")), weights_only=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(number, code, python, command, tiny, tmp_path, capsys):
    out = tmp_path / "run"
    words = [*tiny, *WORDS, "--out", out]
    more, but = (["--overwrite"], " without --overwrite") if number == signal.SIGTERM else ([], "")
    done = python("-c", SIGNALLED, int(number), 5, *words, *more)
    assert (done.returncode, done.stderr) == (code, "")
    last = done.stdout.splitlines()[-1]
    assert last == f"stopped at 80 images, everything saved; run the same command{but} to resume: {out}"
    assert newest_state(out)["images"] == 80
    with Image.open(out / "losses.png") as curves:
        assert curves.width > 300
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["images"] for record in records] == [0, 48, 80]

    assert command("train", *words) == 0
    assert "resuming at 80 of 208 images" in capsys.readouterr().out
    assert command("train", *tiny, *WORDS, "--out", tmp_path / "whole") == 0
    state, whole = newest_state(out), newest_state(tmp_path / "whole")
    assert state["images"] == whole["images"] == 208
    for part, weights in whole["averages"].items():
        for name, tensor in weights.items():
            assert torch.equal(state["averages"][part][name], tensor)


def test_a_stopped_run_that_is_then_made_shorter_saves_its_model(python, command, tiny, tmp_path):
    """Between snapshots, before the first one and after it: where it stopped it has no model of these weights."""
    words = [*tiny, *WORDS, "--out", tmp_path]
    for steps, images, shorter in ((3, 48, 32), (2, 80, 80)):
        assert python("-c", SIGNALLED, int(signal.SIGTERM), steps, *words).returncode == 143
        assert newest_state(tmp_path)["images"] == images
        assert command("train", *words, "--train.images", shorter) == 0
        model = vaegan.load(tmp_path)
        assert model.info["images"] == images
        for part, weights in newest_state(tmp_path)["averages"].items():
            assert all(torch.equal(tensor, weights[name]) for name, tensor in model.parts[part].state_dict().items())
        assert (tmp_path / "samples" / f"{images:012d}.png").is_file()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["images"] for record in records if record["split"] == "test"] == [48, 80]


def test_a_signal_from_outside(start_python, tiny, tmp_path):
    words = [*tiny, "--train.epochs", "100000", "--train.snapshot-epochs", "50000", "--train.log-images", "16"]
    started = start_python("-m", "vaegan", "train", *words, "--out", tmp_path)
    while not started.has_ended() and not (tmp_path / "metrics.jsonl").exists():
        time.sleep(0.01)
    os.kill(started.pids[0], signal.SIGTERM)
    done = started.wait()
    assert done.returncode == 143
    assert done.stdout.splitlines()[-1].startswith("stopped at ")
    assert newest_state(tmp_path)["images"] > 0


def test_a_signal_in_the_last_step_changes_nothing(python, tiny, tmp_path):
    done = python("-c", SIGNALLED, int(signal.SIGTERM), 7, *tiny, "--out", tmp_path)
    assert done.returncode == 0
    assert "done in " in done.stdout


def test_the_library_raises_and_leaves_the_handlers_as_they_were(tiny, tmp_path, monkeypatch):
    step = VAEGANObjective.step

    def signalled(*arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments, **named)

    config = parse(cli_train.Options, tiny, "vaegan train").settings
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(VAEGANObjective, "step", signalled)
    with pytest.raises(Stopped, match="SIGINT"):
        train(config, tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert newest_state(tmp_path)["images"] == 16
