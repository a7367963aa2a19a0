"""The script on augmentation with few images: its commands and its metrics, without a training."""

from __future__ import annotations

import pytest
import torch

from vaegan.cli import compare, train
from vaegan.cli.parse import parse
from vaegan.data import open_data
from vaegan.models import Model
from vaegan.recipes import config_for
from vaegan.settings_io import dump_yaml


@pytest.fixture
def script(study_script):
    return study_script("small_data")


def test_every_command_parses_and_variants_differ_in_augmentation_alone(script, tmp_path):
    commands = script.trainings([0, 1], tmp_path, 500, ["--data.size", "16"])
    assert len(commands) == 6
    settings = []
    for (name, *words), minutes in commands:
        assert name == "train"
        settings.append(parse(train.Options, words, name).settings)
        assert 0 < minutes < 60
    plain, augmented, adaptive, *_ = settings
    none = {"augment": (), "augment_target": None, "augment_images": plain.loss.augment_images}
    assert augmented.loss.augment == adaptive.loss.augment == ("colour", "translation", "cutout")
    assert (augmented.loss.augment_target, adaptive.loss.augment_target) == (None, 0.6)
    for config in settings:
        assert config.loss.model_copy(update=none) == plain.loss
        assert (config.model, config.data, config.train) == (plain.model, plain.data, plain.train)
    assert (plain.data.limit, plain.data.size, plain.train.images) == (1000, 16, 500)
    assert script.trainings([0], tmp_path, 500, ["--data.size", "16x24"])[0][1] > commands[0][1]
    name, *words = script.side_by_side.comparison(script.VARIANTS, [0, 1], tmp_path, 500)
    options = parse(compare.Options, words, name)
    assert set(options.runs) == {words[-1] for words, _ in commands}


def test_how_far_a_discriminator_memorises(script, tmp_path, monkeypatch):
    small = {
        "model.encoder.channels": (4,),
        "model.encoder.hidden": (),
        "model.decoder.channels": (4,),
        "model.decoder.first_channels": 4,
        "model.discriminator.channels": (4,),
        "model.discriminator.strides": (2,),
        "model.discriminator.hidden": (),
    }
    config = config_for("conv-32", {"data": "shapes-faces", "data.size": 8, "data.limit": 30, **small})
    torch.manual_seed(0)
    model = Model.from_architecture({"image_shape": (3, 8, 8), **config.model.model_dump(mode="json")})
    model.save(tmp_path / "model")
    dump_yaml(config, tmp_path / "config.yaml")
    data = open_data(config.data)
    logits = iter([torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0]), torch.tensor([-2.0, -2.0])])
    judged = []
    monkeypatch.setattr(Model, "discriminate", lambda self, x: (judged.append(x), next(logits))[1])
    measured = script.memorisation(tmp_path, 20)
    assert measured == {"train": 4.0, "held_out": 1.0, "samples": -2.0, "r_v": 0.5}
    for x, images in zip(judged, (data.train.images, data.test.images), strict=False):
        torch.testing.assert_close(255 * x, torch.from_numpy(images[:20].copy()).permute(0, 3, 1, 2).float())
    assert judged[2].shape == (20, 3, 8, 8)
    lines = script.table({"plain": [measured, {**measured, "r_v": 0.7}], "adaptive": [measured]}).splitlines()
    assert lines[2] == "| plain | 2 | 4.00 ± 0.00 | 1.00 ± 0.00 | -2.00 ± 0.00 | 0.60 ± 0.14 |"
    assert lines[3] == "| adaptive | 1 | 4.00 | 1.00 | -2.00 | 0.50 |"
