"""Two real processes that train as one."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest
import torch

import vaegan
from vaegan.distributed import World
from vaegan.errors import UserError
from vaegan.recipes import config_for
from vaegan.training.setup import set_up

# Trains without drawing the curves.
TRAIN = """
import sys
from vaegan.cli import main
from vaegan.training import snapshots

snapshots.draw_losses = lambda records, path: path.touch()
sys.exit(main(["train", *sys.argv[1:]]))
"""

# The first process is slow to connect; the second leaves at once, and says whether the first was connected.
SLOW_START = """
import os, sys, time
from pathlib import Path
import torch.distributed as dist
from vaegan.distributed import joined

connected, start = Path(sys.argv[1]), dist.init_process_group

def slow(*arguments, **named):
    start(*arguments, **named)
    time.sleep(0.5)
    connected.touch()

if os.environ["RANK"] == "0":
    dist.init_process_group = slow
with joined("cpu"):
    sys.exit(0 if connected.exists() else 5)
"""

# Trains with two processes and, beside it, the same with one on the whole batch.
TWO_AND_ONE = """
import contextlib, sys
from pathlib import Path
import torch
import torch.distributed as dist
from vaegan.data import open_data
from vaegan.data.batches import Batches
from vaegan.distributed import World, joined, synchronise_batch_norms
from vaegan.recipes import config_for
from vaegan.training import Trainer
from vaegan.training.factories import build_model, build_objective, build_optimisers, loop_settings
from vaegan.training.setup import set_up

def make(config, data, world):
    told = {} if config.model.condition == "none" else {"condition": {"names": ["left", "right"]}}
    model = build_model(config, data.image_shape, told).train()
    if world.size > 1:
        for part in model.parts.values():
            synchronise_batch_norms(part)
    objective = build_objective(config, model, contextlib.nullcontext)
    batches = Batches(data.train, 16, seed=0, rank=world.rank, world_size=world.size, flip=True)

    def halves(seen):  # of each image: how bright they are
        return batches.at(seen).float().div(255).unflatten(2, (2, -1)).mean((1, 3, 4))

    return Trainer(objective, build_optimisers(config, objective), batches.at,
                   loop_settings(config, model, len(data.train)), device=torch.device("cpu"), world=world,
                   autocast=contextlib.nullcontext, conditions=halves if told else None)

small = {"model.encoder.channels": (4,), "model.decoder.channels": (4,), "model.decoder.first_channels": 4,
         "model.discriminator.channels": (4, 4), "model.discriminator.strides": (1, 2)}

def same_start(world):
    config = config_for("digits", small | {
        "data.source": sys.argv[1], "seed": world.rank, "train.precision": "fp32", "train.memory_format": "contiguous",
        "optim.ema": 0.9, "model.discriminator.spectral_norm": True})
    setup = set_up(config, None, world, torch.device("cpu"))
    for model in (setup.model, setup.output_model):
        for key, tensor in model.state_dict().items():
            others = [torch.empty_like(tensor) for _ in range(world.size)]
            dist.all_gather(others, tensor.contiguous())
            assert torch.equal(others[0], others[1]), key

def train_both(norm, world, condition="none"):
    config = config_for("digits", small | {
        "train.batch_size": 16, "optim.name": "sgd", "optim.lr": 0.05, "optim.beta1": 0.5, "loss.gamma": 0.1,
        "loss.adversarial": "minimax", "loss.r1_weight": 1.0, "loss.r1_every": 2, "loss.label_flip": 0.1,
        "model.condition": condition,
        **{f"model.{part}.norm": norm for part in ("encoder", "decoder", "discriminator")},
        **{f"model.{part}.hidden": (8,) for part in ("encoder", "discriminator")},
    })
    data = open_data(sys.argv[1])
    two, one = make(config, data, world), make(config, data, World())
    start = {name: p.detach().clone() for name, part in one.objective.parts.items() for p in part.parameters()}
    for _ in range(3):
        a, b = two.step(), one.step()
        for part, terms in b.losses.items():
            for name, value in terms.items():
                torch.testing.assert_close(a.losses[part][name], value, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(a.gradients[part], b.gradients[part], rtol=1e-3, atol=1e-5)
    for name, part in one.objective.parts.items():
        state = two.objective.parts[name].state_dict()
        assert not torch.equal(start[name], list(part.parameters())[-1])
        for key, tensor in part.state_dict().items():
            if key.endswith("num_batches_tracked"):
                continue
            where = f"{norm} {name} {key}"
            torch.testing.assert_close(state[key], tensor, rtol=1e-3, atol=1e-5, msg=lambda text: f"{where} {text}")
            others = [torch.empty_like(tensor) for _ in range(world.size)]
            dist.all_gather(others, state[key].contiguous())
            assert torch.equal(others[0], others[1]), where

with joined("cpu") as world:
    assert world.size == 2
    same_start(world)
    train_both("none", world)
    train_both("batch", world)
    train_both("none", world, "attributes")
    Path(sys.argv[2], f"rank-{world.rank}-agrees").touch()  # both ranks' lines may meet in one on stdout
"""
NO_NORM = "--model.encoder.norm none --model.decoder.norm none --model.discriminator.norm none"


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def has_steps(run):
    return (run / "metrics.jsonl").exists() and '"train"' in (run / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_two_processes_step_as_one_on_the_whole_batch(python, images_file, tmp_path):
    done = python("-c", TWO_AND_ONE, images_file, tmp_path, world=2)
    assert done.returncode == [0, 0], done.stderr
    assert sorted(path.name for path in tmp_path.glob("rank-*")) == ["rank-0-agrees", "rank-1-agrees"]


@pytest.mark.slow
def test_torchrun_trains_stops_in_order_and_resumes(start_python, python, command, tiny, tmp_path, capsys):
    words = [*tiny, *NO_NORM.split(), "--loss.adversarial", "minimax", "--optim.name", "sgd", "--optim.lr", "0.01"]
    words += [
        "--train.snapshot-epochs",
        "50000",
        "--train.log-images",
        "160",
        "--train.keep-checkpoints",
        "9",
    ]
    out = ["--out", str(tmp_path / "run")]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = start_python(*torchrun, "-m", "vaegan", "train", *words, *out, "--train.epochs", "100000")
    while not started.has_ended() and not has_steps(tmp_path / "run"):
        time.sleep(0.01)
    os.kill(started.pids[0], signal.SIGTERM)
    stopped = started.wait()
    assert len(re.findall(r"stopped at [\d,]+ images, everything saved", stopped.stdout)) == 1, stopped.stderr
    assert stopped.stdout.count("starting at 0 of ") == 1  # the other process is silent
    images = torch.load(max((tmp_path / "run" / "checkpoints").glob("[0-9]*.pt")))["images"]
    assert images > 0

    total = ["--train.images", str(images + 160)]
    done = python("-m", "vaegan", "train", *words, *out, *total, world=2)
    assert done.returncode == [0, 0], done.stderr
    assert done.stdout.count(f"resuming at {images:,} of {images + 160:,} images") == 1
    assert done.stdout.count("done in ") == 1
    assert command("train", *words, "--out", tmp_path / "one", *total) == 0
    two, one = vaegan.load(tmp_path / "run").state_dict(), vaegan.load(tmp_path / "one").state_dict()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-2, atol=1e-4)
    seen = [(record["images"], record["split"]) for record in records(tmp_path / "run")]
    assert len(seen) == len(set(seen))


@pytest.mark.slow
def test_an_orderly_end_four_times_in_a_row(python, tiny, tmp_path):
    words = ["--train.images", "64", "--train.snapshot-epochs", "0.3", "--train.sync-batchnorm", "true"]
    for number in range(4):
        done = python("-c", TRAIN, *tiny, *words, "--optim.ema", "0.9", "--out", tmp_path / str(number), world=2)
        assert done.returncode == [0, 0], done.stderr
        assert not re.search("abort|terminate|Traceback", done.stderr), done.stderr
    states = [torch.load(tmp_path / str(i) / "checkpoints" / "000000000064.pt")["parts"] for i in (0, 3)]
    for part, weights in states[0].items():
        assert all(torch.equal(tensor, states[1][part][name]) for name, tensor in weights.items())


def test_norms_over_processes_take_one_image_in_each(images_file):

    class Alone(World):
        """The first process of two, which hears nothing of the other."""

        def any(self, flag):
            return flag

        def share_bytes(self, data, of=0):
            return data

        def share_first(self, tensors):
            pass

    def built(**changes):
        config = config_for("digits", {"data.source": str(images_file), "train.batch_size": 2, **changes})
        return set_up(config, None, Alone(0, 2), torch.device("cpu"))

    assert built(**{"train.sync_batchnorm": True}).config.train.sync_batchnorm
    with pytest.raises(UserError, match="batch norm"):
        built()


def test_no_process_leaves_before_all_are_connected(python, tmp_path):
    """A mistake that one saw at once broke the start of the other, in a few of a hundred starts on a busy machine."""
    done = python("-c", SLOW_START, tmp_path / "connected", world=2)
    assert done.returncode == [0, 0], done.stderr


def test_a_mistake_ends_both_processes_with_a_line_each(python, tiny, tmp_path):
    done = python("-c", TRAIN, *tiny, "--train.batch-size", "15", "--out", tmp_path / "run", world=2)
    assert (done.returncode, done.stdout) == ([2, 2], ""), done.stderr
    line = "--train.batch-size 15 cannot be split evenly over 2 processes; make it a multiple of 2"
    assert done.stderr.count("\n") == 2  # two processes may write them into each other
    assert f"vaegan train: {line}" in done.stderr
    assert f"vaegan train (process 1): {line}" in done.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    done = python("-c", TRAIN, *tiny, "--out", tmp_path / "mine", world=2)
    assert (done.returncode, done.stdout) == ([2, 2], ""), done.stderr
    assert done.stderr.count("\n") == 2
    assert (
        f"vaegan train: --out {tmp_path / 'mine'} holds other files and is not a run; name a new folder" in done.stderr
    )
    assert "vaegan train (process 1): stopped because another process failed; see its message" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
