"""The study of photographs: its commands, without running them, and its picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vaegan import train
from vaegan.cli.parse import parse
from vaegan.cli.train import Options
from vaegan.recipes import config_for
from vaegan.runs.opened import OpenedRun


@pytest.fixture
def script(study_script):
    return study_script("photographs")


def test_both_kinds_have_the_same_networks_and_see_as_many_images(script, tmp_path):
    commands = script.trainings([0, 1], tmp_path, ["--data", "cifar10"])
    recipe = config_for(script.RECIPE)
    for (name, *words), _ in commands:
        config = parse(Options, words, name).settings
        assert words[-1] == str(tmp_path / f"{config.model.kind}-{config.seed}")
        assert (config.model.encoder, config.model.decoder) == (recipe.model.encoder, recipe.model.decoder)
        assert (config.optim, config.train.images) == (recipe.optim, 500_000)
        of_vae = ("none", 1.0)
        expected = of_vae if config.model.kind == "vae" else ("rotations", recipe.loss.kl_weight)
        assert (config.loss.perceptual, config.loss.kl_weight) == expected


def test_the_picture_has_a_row_for_each_kind(script, tmp_path):
    short = {"train.images": 64, "data.limit": 64, "train.best_metric": "none", "train.priors": ()}
    for kind in script.KINDS:
        train("digits", out=tmp_path / kind, seed=len(kind), **short, **{"data.channels": 3, "model.kind": "vae"})
    path = tmp_path / "picture.png"
    script.draw({kind: tmp_path / kind for kind in script.KINDS}, path)
    shown = np.asarray(Image.open(path).convert("RGB"))
    rows = [shown[top : top + 20, -308:-8] for top in range(-84, 0, 28)]  # two blocks of 146 pixels, 8 apart
    held_out = OpenedRun(tmp_path / "vae").data().test.images[:1].copy()
    np.testing.assert_array_equal(rows[0][2:18:2, 2:18:2], held_out[0])
    assert all((rows[row] != rows[other]).any() for row, other in ((0, 1), (0, 2), (1, 2)))
