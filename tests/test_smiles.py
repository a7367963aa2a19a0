"""The script that compares VAE and VAE/GAN on faces of 64x64: its commands and its table, without a training."""

from __future__ import annotations

import json
import os

import pytest

from vaegan.cli import train
from vaegan.cli.parse import parse


@pytest.fixture
def script(study_script):
    return study_script("smiles")


def test_both_kinds_have_the_same_encoder_and_decoder_and_training_images(script, tmp_path):
    commands = script.trainings([0, 1], tmp_path, ["--data", "faces.zip"])
    settings = []
    for (name, *words), minutes in commands:
        settings.append(parse(train.Options, words, name).settings)
        assert words[-1] == str(tmp_path / f"{settings[-1].model.kind}-{settings[-1].seed}")
        assert 1 < minutes < 60
    vae, vaegan = settings[:2]
    assert [config.seed for config in settings] == [0, 0, 1, 1]
    assert (vae.model.kind, vaegan.model.kind) == ("vae", "vaegan")
    assert vae.model == vaegan.model.model_copy(update={"kind": "vae"})
    assert (vae.data, vae.optim, vae.train) == (vaegan.data, vaegan.optim, vaegan.train)
    assert (vae.loss.likelihood, vae.loss.kl_weight, vae.loss.perceptual) == ("gaussian-learned", 1, "none")


def test_flip_rates_have_intervals(script, tmp_path, monkeypatch):
    def effect(strength, value):
        figure = {"value": value, "low": value - 0.02, "high": value + 0.02}
        return {
            "attribute": script.ATTRIBUTE,
            "strength": strength,
            "vector": {"flipped": figure},
            "random": {"flipped": {"value": 0.05, "low": 0.0, "high": 0.1}},
        }

    checks = {"vae-0": {"num_images": 1307, "effects": [effect(s, s / 3) for s in (0.5, *script.STRENGTHS)]}}
    *_, row = script.table(checks).splitlines()
    assert row == (
        "| vae-0 | 1,307 | 0.33 (0.31–0.35) | 0.50 (0.48–0.52) | 0.67 (0.65–0.69) | 0.05 (0.00–0.10) |"
    )  # fmt: skip
    calls = []
    monkeypatch.setattr(script, "vaegan", lambda words: calls.append(words) or 0)
    assert script.check(tmp_path / "vae-0") == 0
    (weights := tmp_path / "vae-0" / "model" / "model.safetensors").parent.mkdir(parents=True)
    weights.touch()
    made = script.check_path(tmp_path / "vae-0")
    made.write_text(json.dumps(checks["vae-0"]))
    for later, num in ((1, 1), (-1, 2)):  # the second is of weights before further training
        os.utime(made, (weights.stat().st_atime, weights.stat().st_mtime + later))
        assert script.check(tmp_path / "vae-0") == 0
        assert len(calls) == num
