"""A run that diverges: stopped with a line that says where, or taken back to go on with smaller steps."""

from __future__ import annotations

import json

import pytest
import torch

from vaegan.objectives import VAEGANObjective
from vaegan.training import Trainer
from vaegan.training.checkpoints import MOST_ROLLBACKS


@pytest.fixture
def poisoned(monkeypatch):
    """Let a part's gradient be infinite in some steps: give it a function of the step's number that says the part."""

    def poison(part_of):
        step, count = VAEGANObjective.step, iter(range(1, 10**6))

        def poisoned_step(*arguments, **named):
            result = step(*arguments, **named)
            if part := part_of(next(count)):
                result.gradients[part][0].view(-1)[0] = torch.inf
            return result

        monkeypatch.setattr(VAEGANObjective, "step", poisoned_step)

    return poison


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_the_line_names_step_part_and_last_good_checkpoint(command, tiny, tmp_path, poisoned, capsys):
    poisoned(lambda count: "decoder" if count == 6 else None)
    words = ["train", *tiny, "--out", tmp_path, "--train.snapshot-epochs", "0.5"]
    assert command(*words) == 2
    captured = capsys.readouterr()
    good = tmp_path / "checkpoints" / "000000000064.pt"
    assert captured.err == (
        f"vaegan train: the gradient of the decoder is not finite at step 6; the last good checkpoint is {good}; "
        "lower --optim.lr, or use --on-nan rollback to roll back automatically\n"
    )
    assert all(torch.isfinite(p).all() for p in torch.load(good)["parts"]["decoder"].values())
    assert command(*words, "--on-nan", "rollback") == 0  # the step is not poisoned again
    assert records(tmp_path)[-1]["images"] == 112


@pytest.mark.parametrize(("kind", "likelihood"), [("vaegan", "feature"), ("vae", "gaussian")])
def test_a_huge_learning_rate_stops_the_run(command, tiny_of, tmp_path, capsys, kind, likelihood):
    words = [*tiny_of(kind), "--loss.likelihood", likelihood, "--optim.lr", "1e30"]
    assert command("train", *words, "--out", tmp_path) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is not finite at step 2; the last good checkpoint is" in err
    assert checkpoints(tmp_path) == ["000000000000.pt", "000000000000.sha256"]


def test_a_checkpoint_never_holds_weights_that_a_step_has_sent_away(command, tiny, tmp_path, capsys):
    words = ["--optim.lr", "1e30", "--train.snapshot-epochs", "0.15", "--data.limit", "100"]  # after each step
    assert command("train", *tiny, *words, "--out", tmp_path) == 2
    assert "the norm of the weights of the encoder is not finite at step 1;" in capsys.readouterr().err
    assert checkpoints(tmp_path) == ["000000000000.pt", "000000000000.sha256"]


def test_rollback_halves_the_step_until_the_cause_is_gone(command, tiny, tmp_path, poisoned, monkeypatch, capsys):
    step, scales = Trainer.step, [1.0]

    def noted_step(trainer, **named):
        scales.append(trainer.lr_scale)
        return step(trainer, **named)

    monkeypatch.setattr(Trainer, "step", noted_step)
    poisoned(lambda count: "decoder" if scales[-1] > 0.2 and count % 4 == 0 else None)
    words = ["--train.epochs", "2", "--optim.lr", "0.001", "--train.log-images", "16", "--on-nan", "rollback"]
    assert command("train", *tiny, *words, "--out", tmp_path) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3
    for scale, line in zip((0.5, 0.25, 0.125), warnings, strict=True):
        assert line == (
            "vaegan: the gradient of the decoder is not finite at step 4; resuming at 0 images "
            f"with learning rates times {scale:g}"
        )
    state = torch.load(max((tmp_path / "checkpoints").glob("[0-9]*.pt")))
    assert (state["images"], state["lr_scale"]) == (208, 0.125)
    assert state["optimisers"]["decoder"]["param_groups"][0]["lr"] == pytest.approx(0.001 / 8)
    seen = [record["images"] for record in records(tmp_path) if record["split"] == "train"]
    assert seen == list(range(16, 209, 16))


def test_rollback_gives_up_in_one_line(command, tiny, tmp_path, poisoned, capsys):
    poisoned(lambda count: "discriminator")
    assert command("train", *tiny, "--out", tmp_path, "--on-nan", "rollback") == 2
    *warnings, last = capsys.readouterr().err.splitlines()
    assert len(warnings) == MOST_ROLLBACKS == 8
    assert last == (
        "vaegan train: the gradient of the discriminator is not finite at step 1; the last good checkpoint is "
        f"{tmp_path / 'checkpoints' / '000000000000.pt'}; 8 rollbacks did not help; lower --optim.lr"
    )


def test_rollback_goes_further_back_where_the_newest_checkpoint_leads_nowhere(
    command, tiny, tmp_path, poisoned, capsys
):
    poisoned(lambda count: "encoder" if count in (5, 6) else None)  # step 5, and at once after going back
    words = ["--train.snapshot-epochs", "0.3", "--on-nan", "rollback"]
    assert command("train", *tiny, *words, "--out", tmp_path) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert "resuming at 64 images with learning rates times 0.5" in first
    assert "resuming at 32 images with learning rates times 0.25" in second
    images = [record["images"] for record in records(tmp_path) if record["split"] == "test"]
    assert images == [32, 64, 96, 112]
