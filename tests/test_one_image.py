"""A source with a single image: used as it is, but neither trained on nor evaluated with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vaegan.data import open_data


@pytest.fixture
def image(tmp_path):
    (tmp_path / "one").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(image).save(tmp_path / "one" / "a.png")
    return image


@pytest.fixture
def on_one(tmp_path, image, make_model, command):
    """Run a command on a model and the image."""
    make_model().save(tmp_path / "model")
    words = ["--data", tmp_path / "one", "--data.cache", tmp_path / "cache"]
    return lambda name, *more: command(name, tmp_path / "model", *words, *more)


def test_it_is_held_out_and_to_train_on(tmp_path, image):
    data = open_data(tmp_path / "one", cache=tmp_path / "cache")
    for images in (data.train, data.test):
        np.testing.assert_array_equal(images.images, image[None, ..., None])


def test_it_is_encoded_once(tmp_path, on_one):
    assert on_one("encode", "--out", tmp_path / "codes.npz") == 0
    with np.load(tmp_path / "codes.npz") as arrays:
        assert (arrays["names"].tolist(), arrays["split"].tolist()) == (["a.png"], ["test"])


def test_it_is_reconstructed(tmp_path, on_one, image):
    assert on_one("reconstruct", "--out", tmp_path / "back.npz") == 0
    with np.load(tmp_path / "back.npz") as arrays:
        np.testing.assert_array_equal(arrays["originals"], image[None, ..., None])


@pytest.mark.parametrize("words", [["nearest", "--num", "4"], ["traverse"]])
def test_other_commands(tmp_path, on_one, words):
    assert on_one(*words, "--out", tmp_path / "out.png") == 0


def test_training_and_evaluation_need_two(tmp_path, on_one, tiny, command, capsys, monkeypatch):
    """They say so before a network is trained, or opened."""
    (tmp_path / "one" / "notes.txt").touch()
    monkeypatch.setattr("vaegan.metrics.extractors.features.open_extractor", None)
    assert on_one("evaluate") == 2
    train = ["--data", tmp_path / "one", "--data.cache", tmp_path / "cache", "--out", tmp_path / "run"]
    assert command("train", *tiny, *train) == 2
    line = "one: only one image; left out: 1 not read (notes.txt); training and evaluation need at least two"
    assert capsys.readouterr().err.count(line) == 2
