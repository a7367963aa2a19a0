"""Pre-training: for the first epochs encoder and decoder are an autoencoder, then the model's own objective goes on."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch

import vaegan
from vaegan.objectives import Noise
from vaegan.recipes import config_for
from vaegan.training.factories import build_model, build_pretraining

WORDS = ["--train.pretrain-epochs", "1.5", "--train.keep-checkpoints", "20", "--loss.gate"]
# 101 images in batches of 16: 1.5 epochs are 152 images, so the tenth step (from 144 on) is the last of pre-training.
LAST = 160


def records(run):
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "images_per_second"} for record in read]


def state(run, images):
    return torch.load(run / "checkpoints" / f"{images:012d}.pt")


def equal(one, other):
    return {name: torch.equal(tensor, other[name]) for name, tensor in one.items()}


@pytest.fixture
def whole(command, tiny, tmp_path):
    out = tmp_path / "whole"
    assert command("train", *tiny, *WORDS, "--train.snapshot-epochs", "0.5", "--train.epochs", "3", "--out", out) == 0
    return out


def test_the_images_seen_decide_what_is_descended(whole):
    for record in (record for record in records(whole) if record["split"] != "start"):
        pretrains = record["images"] <= LAST if record["split"] == "train" else record["images"] < LAST
        assert record["phase"] == ("ae" if pretrains else "vaegan")
        terms = {part: set(losses) for part, losses in record["losses"].items()}
        if pretrains:
            assert terms == {"encoder": {"llike", "total"}, "decoder": {"llike", "total"}}
        else:
            assert terms.keys() == {"encoder", "decoder", "discriminator"}
            assert terms["encoder"] == {"kl", "llike", "total"}
    before, after = state(whole, 0), state(whole, 112)
    assert all(equal(before["parts"]["discriminator"], after["parts"]["discriminator"]).values())
    moved = equal(before["parts"]["decoder"], after["parts"]["decoder"])
    assert not any(same for name, same in moved.items() if name.endswith("weight"))
    # Of the head's rows the second half gives log variances, which a mean code knows nothing of.
    one, other = (s["parts"]["encoder"]["head.weight"] for s in (before, after))
    assert (one[:4] != other[:4]).any(1).all()
    assert torch.equal(one[4:], other[4:])
    assert not all(equal(after["parts"]["discriminator"], state(whole, 304)["parts"]["discriminator"]).values())


def test_the_phase_is_said_and_closes_a_window(command, tiny, tmp_path, capsys):
    words = [*tiny, *WORDS, "--train.log-images", "1000", "--out", tmp_path / "run"]
    assert command("train", *words, "--train.images", "272", "--train.snapshot-epochs", "2.6") == 0
    assert [r["images"] for r in records(tmp_path / "run") if r["split"] == "train"] == [LAST, 272]
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert "training an autoencoder up to 152 images, then a VAE/GAN" in lines
    assert lines.count("160 images: now training a VAE/GAN") == 1
    assert any(line.startswith("272 of 272 images, epoch 2.693, VAE/GAN, ") for line in lines)
    assert said.err.strip() == (  # nothing at the end, which is not one of pre-training
        "vaegan: --train.pretrain-epochs 1.5 is 56% of this run, so little is left to train a VAE/GAN; "
        "lower it, or train longer"
    )
    assert vaegan.load(tmp_path / "run").info["pretrain_images"] == LAST
    (tmp_path / "run" / "evaluation.json").touch()
    assert command("train", *words, "--train.images", "304", "--train.snapshot-epochs", "2.6") == 0
    resumed = capsys.readouterr()
    assert "autoencoder" not in resumed.out + resumed.err
    assert "run: further training makes evaluation.json (vaegan evaluate) outdated; run these commands" in resumed.err


def test_pretraining_that_is_the_whole_run_is_said(command, tiny, tmp_path, capsys):
    assert command("train", *tiny, *WORDS, "--out", tmp_path / "run", "--train.images", "64") == 0
    left, said = "100% of this run, so nothing is left to train a VAE/GAN", capsys.readouterr().err
    assert f"vaegan: --train.pretrain-epochs 1.5 is {left}; lower it, or train longer" in said
    ended = "training ended in pre-training, as an autoencoder; to continue as a VAE/GAN, raise"
    assert f"vaegan: {ended} --train.images\n" in said


def test_a_run_of_one_phase_says_nothing_of_phases(command, tiny, tmp_path, capsys):
    assert command("train", *tiny, "--out", tmp_path / "run") == 0
    assert not any("phase" in record for record in records(tmp_path / "run"))
    assert "pretrain_images" not in vaegan.load(tmp_path / "run").info
    said = capsys.readouterr()
    assert "autoencoder" not in said.out + said.err
    assert "now training" not in said.out


@pytest.mark.parametrize("stop", [64, 208])
def test_a_resume_before_and_after_the_change_is_exact(stop, whole, command, tiny, tmp_path):
    out = tmp_path / "resumed"
    words = [*tiny, *WORDS, "--train.snapshot-epochs", "0.5", "--out", out]
    assert command("train", *words, "--train.images", str(stop)) == 0
    assert command("train", *words, "--train.epochs", "3") == 0
    assert records(out)[-1] == records(whole)[-1]
    assert all(equal(vaegan.load(whole).state_dict(), vaegan.load(out).state_dict()).values())


def test_its_gradients_are_those_of_the_mean_codes_squared_error():
    """Against the plain loss: pixels in [0, 1], half the squared error, z = mu."""
    config = config_for("digits", {"train.pretrain_epochs": 1, "loss.kl_weight": 7, "loss.gamma": 3})
    model = build_model(config, (1, 8, 8)).train()
    objective = build_pretraining(model, contextlib.nullcontext)
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = objective.step(x, Noise.draw(5, 16, seed=0, images=0))
    mu, _ = model.encoder(x)
    loss = ((model.decoder(mu) - x) / 2).square().sum() / 2 / 5
    for part in ("encoder", "decoder"):
        wanted = torch.autograd.grad(loss, list(getattr(model, part).parameters()), retain_graph=True)
        for ours, theirs in zip(result.gradients[part], wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
