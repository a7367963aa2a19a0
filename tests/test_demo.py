"""The model that the package carries: small enough, complete, usable by every command, never written to."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

import vaegan
from vaegan.data import open_data
from vaegan.latent.attribute_vectors import load_vectors
from vaegan.runs.locate import DEMO, locate
from vaegan.studio.app import create_app
from vaegan.studio.registry import Registry

FOLDER = Path(vaegan.__file__).parent / DEMO


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder; at the end the package must be as it was."""
    monkeypatch.chdir(tmp_path)
    before = digests()
    yield
    assert digests() == before


def digests():
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}


def test_it_adds_at_most_3_mb_to_the_wheel():
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in FOLDER.iterdir():
            archive.write(path, path.name)
    assert len(wheel.getvalue()) <= 3e6


def test_it_reconstructs_samples_and_knows_its_labels():
    model, data = vaegan.load(DEMO), open_data(DEMO)
    assert (len(data.train), len(data.test)) == (1000, 500)
    x = data.test.images[..., 0] / np.float32(255)
    x_tilde = model.reconstruct(torch.from_numpy(x[:, None])).numpy()
    mean = data.train.images[..., 0].mean(0) / 255
    assert ((x_tilde[:, 0] - x) ** 2).mean() < 0.4 * ((x - mean) ** 2).mean()
    assert load_vectors(FOLDER).names == tuple("0123456789")


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("sample demo --num 4", "pictures/sample.png"),
        ("sample demo --label 3 --num 4 --out threes.npz", "threes.npz"),
        ("reconstruct demo --num 4", "pictures/reconstruct.png"),
        ("interpolate demo --num 1 --out path.gif", "path.gif"),
        ("attributes demo --num 2 --images 200", "pictures/attributes.png"),
        ("nearest demo --num 2", "pictures/nearest.png"),
        ("encode demo --out codes.npz", "codes.npz"),
    ],
)
def test_commands_take_it_and_write_here(words, made, command):
    assert command(*words.split(), "--device", "cpu") == 0
    assert Path(made).is_file()


def test_the_studio_takes_it():
    registry = Registry([DEMO])
    try:
        client = TestClient(create_app(registry), base_url="http://127.0.0.1:8000")
        (about,) = client.get("/api/models").json()["models"]
        assert (about["name"], about["ready"]) == (DEMO, True)
        for view in ("examples?num=3", "clusters", "map", "samples?num=2"):
            assert client.get(f"/api/models/{DEMO}/{view}").status_code == 200, view
    finally:
        registry.batcher.close()


def test_its_attribute_vectors_follow_the_model_that_gets_priors(command):
    assert command("priors", DEMO, "--priors", "gaussian", "--num", "100", "--out", "own") == 0
    assert load_vectors("own").names == load_vectors(locate(DEMO).model).names


def test_what_would_change_it_needs_another_folder(command, capsys):
    assert command("priors", DEMO) == 2
    assert "set --out FOLDER to save the model with its priors" in capsys.readouterr().err


def test_a_run_of_that_name_here_comes_first(tiny, command):
    Path(DEMO).mkdir()
    assert locate(DEMO).model == FOLDER
    assert command("train", *tiny, "--out", DEMO) == 0
    assert locate(DEMO).model == Path(DEMO) / "model"
