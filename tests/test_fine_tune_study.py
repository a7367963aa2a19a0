"""The study of fine-tuning: its commands, and that changed encoders are noticed; without a training."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch


@pytest.fixture
def script(study_script):
    return study_script("fine_tune")


def test_every_variant_starts_from_the_same_model_and_trains_no_encoder(script, tmp_path):
    base, *tuned = script.commands(Namespace(out=tmp_path, base_images=64, images=32, seeds=[0, 1]), [])
    assert base[-1] == str(tmp_path / "base")
    assert len(tuned) == 4
    for words in tuned:
        assert words[words.index("--init-from") + 1] == base[-1]
    assert [words[-1] for words in tuned] == [
        str(tmp_path / name) for name in ("tuned-0", "without-discriminator-0", "tuned-1", "without-discriminator-1")
    ]
    assert not [word for word in tuned[1] if "discriminator" in word and word.startswith("--")]


def test_a_changed_encoder_is_named(script, tmp_path, make_model):
    model = make_model()
    model.save(tmp_path / "base")
    assert script.changed_weights(tmp_path / "base", tmp_path / "base") == []
    name, weight = next(iter(model.encoder.named_parameters()))
    with torch.no_grad():
        weight += 1
    model.save(tmp_path / "run")
    assert script.changed_weights(tmp_path / "base", tmp_path / "run") == [name]
