from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.latent.code_paths import interpolate_square, smoothness
from vaegan.models import Model, load
from vaegan.recipes import config_for
from vaegan.settings_io import dump_yaml


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    config = config_for("digits")
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


def test_squares_between_four_images(run, tmp_path, capsys):
    words = ("--between", "four", "--num", "6", "--steps", "3", "--method", "spherical", "--seed", "1")
    assert main(["interpolate", str(run), *words, "--out", str(tmp_path / "a.npz")]) == 0
    with np.load(tmp_path / "a.npz") as file:
        images, codes = file["images"], torch.from_numpy(file["codes"])
    squares = codes.reshape(2, 3, 3, -1)
    corners = squares[:, ::2, ::2].reshape(2, 4, -1).transpose(0, 1)
    torch.testing.assert_close(squares, interpolate_square(corners, 3, "spherical").permute(2, 0, 1, 3))
    test = open_data("digits").test.images
    known = load(run).encode(torch.from_numpy(test).permute(0, 3, 1, 2) / 255)
    nearest = torch.cdist(corners.flatten(0, 1), known).min(1)
    assert nearest.values.max() < 1e-3
    assert len(set(nearest.indices.tolist())) == 8
    # What is told is the smoothness of the images that are written.
    paths = torch.from_numpy(images.reshape(6, 3, 8, 8, 1)).transpose(0, 1)
    told = re.search(r"detour ([\d.]+), largest step ([\d.]+)", capsys.readouterr().out)
    expected = smoothness(paths)
    assert float(told[1]) == pytest.approx(float(expected.detour.mean()), abs=0.01)
    assert float(told[2]) == pytest.approx(float(expected.largest.mean()), abs=0.01)


def test_one_square_is_the_default(run, tmp_path):
    assert main(["interpolate", str(run), "--between", "four", "--out", str(tmp_path / "a")]) == 0
    assert len(list((tmp_path / "a").iterdir())) == 100
