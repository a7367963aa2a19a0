"""Rates that fall where nothing improves: factors by hand, against torch's own schedule, and through a whole run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import vaegan
from vaegan.cli import main
from vaegan.schedules import Plateau
from vaegan.training import snapshots

WORDS = [
    *["--optim.schedule", "plateau", "--optim.plateau-patience", "1", "--optim.plateau-factor", "0.5"],
    *[
        "--optim.final-lr-factor",
        "0.2",
        "--optim.lr",
        "0.002",
        "--train.snapshot-epochs",
        "0.5",
        "--train.keep-checkpoints",
        "20",
    ],
]


def test_factors_by_hand() -> None:
    plateau = Plateau(patience=2, factor=0.5, least=0.2)
    assert plateau.factor_of("encoder") == 1.0
    factors: dict[str, list[float]] = {"encoder": [], "decoder": []}
    # Of the encoder: falls, stays (1), rises (2: lower), is better but not the best (1, 2: lower), falls, stays ...
    for total in (3.0, 2.0, 2.0, 4.0, 2.5, 2.1, 1.9, 1.9, 1.9, 1.9, 1.9):
        plateau.update({"encoder": total, "decoder": -total})
        for part, found in factors.items():
            found.append(plateau.factor_of(part))
    assert factors == {
        "encoder": [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2],
        "decoder": [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2],
    }
    assert plateau.factor_of("discriminator") == 1.0


def test_it_is_the_schedule_of_torch_with_one_snapshot_less_patience() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.75, patience=3 - 1, threshold=0.0, min_lr=0.1
    )
    ours = Plateau(patience=3, factor=0.75, least=0.1)
    for total in np.random.default_rng(0).normal(10, 1, 60).tolist():
        theirs.step(total)
        ours.update({"decoder": total})
        assert ours.factor_of("decoder") == pytest.approx(optimiser.param_groups[0]["lr"])
    assert ours.factor_of("decoder") == 0.1


def test_a_state_goes_on_alike_and_is_a_copy() -> None:
    one, other = Plateau(2, 0.5), Plateau(2, 0.5)
    one.update({"encoder": 1.0})
    one.update({"encoder": 2.0})
    other.restore(one.state())
    one.state()["waited"]["encoder"] = 100
    for plateau in (one, other):
        plateau.update({"encoder": 3.0})
    assert one.state() == {"factors": {"encoder": 0.5}, "best": {"encoder": 1.0}, "waited": {"encoder": 0}}
    assert other.state() == one.state()


def records(run):
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "images_per_second"} for record in read]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
        assert main(["train", *tiny, *WORDS, "--train.epochs", "5", "--out", str(out)]) == 0
    return out


def test_each_parts_rate_falls_by_its_own_held_out_loss(whole):
    plateau = Plateau(1, 0.5, 0.2)
    held_out = [record for record in records(whole) if record["split"] == "test"]
    assert len(held_out) == 10
    for record in held_out:
        plateau.update({part: terms["total"] for part, terms in record["losses"].items()})
        assert record["rate_factors"] == {part: plateau.factor_of(part) for part in record["losses"]}
    assert any(len(set(record["rate_factors"].values())) > 1 for record in held_out), "the parts differ"
    # The rate of the last step is what the snapshots before it made of it.
    state = torch.load(whole / "checkpoints" / f"{held_out[-1]['images']:012d}.pt")
    for part, factor in held_out[-2]["rate_factors"].items():
        assert state["optimisers"][part]["param_groups"][0]["lr"] == 0.002 * factor


def test_stopped_between_snapshots_and_resumed_it_is_the_same_run(whole, command, tiny, tmp_path):
    out = tmp_path / "resumed"
    # 300 images are no mark of a snapshot; the one that is taken there as the run's end must not count.
    assert command("train", *tiny, *WORDS, "--train.images", "300", "--out", out) == 0
    assert command("train", *tiny, *WORDS, "--train.epochs", "5", "--out", out) == 0
    ends = [record for record in records(whole) if record["split"] == "test"]
    again = {record["images"]: record for record in records(out) if record["split"] == "test"}
    assert [again[record["images"]] for record in ends] == ends
    one, other = vaegan.load(whole).state_dict(), vaegan.load(out).state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("name", ["train.snapshot-epochs", "train.held-out-images"])
def test_what_decides_the_rates_may_not_change(name, whole, command, tiny, capsys):
    assert command("train", *tiny, *WORDS, "--train.epochs", "6", f"--{name}", "1", "--out", whole) == 2
    assert f"is a run with {name} " in capsys.readouterr().err
