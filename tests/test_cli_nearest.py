from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.latent.code_paths import order_by_kl, traverse
from vaegan.models import Model, load
from vaegan.pixels import to_uint8
from vaegan.recipes import config_for
from vaegan.runs.run_folder import OF_A_RUN
from vaegan.settings_io import dump_yaml


def make_run(folder: Path, kind: str = "vaegan") -> Path:
    config = config_for("digits", {"model.kind": kind})
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


def test_starting_over_clears_all_that_commands_wrote_into_the_run(tmp_path):
    run = make_run(tmp_path / "digits")
    each = "sample, reconstruct, interpolate, traverse, nearest --held-out 9, cluster --k 2, encode"
    for words in each.split(", "):
        name, *options = words.split()
        assert command(name, run, "--num", 4, *options) == 0
    made = [path for path in (run / "pictures").rglob("*") if path.is_file()]
    assert len(made) >= 10
    assert not [path for path in made if not any(path in run.glob(known) for known in OF_A_RUN)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "digits")


def command(*words) -> int:
    return main([str(word) for word in words])


def to_unit(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255


def test_neighbours_of_samples_by_a_loop(run, tmp_path, capsys):
    words = ("--num", 12, "--show", 3, "--k", 2, "--held-out", 20, "--out", tmp_path / "a.npz")
    assert command("nearest", run, *words) == 0
    with np.load(tmp_path / "a.npz") as file:
        sheet, names = file["images"].reshape(3, 5, 8, 8, 1), file["names"]
    model, train = load(run), open_data("digits").train
    samples = to_uint8(model.sample(12))
    distances = ((samples[:, None] / 255 - train.images[None] / 255) ** 2).mean((2, 3, 4)) ** 0.5
    report = json.loads((tmp_path / "a-distances.json").read_text())
    for sample in range(12):
        found = report["neighbours"][sample]["pixels"]
        expected = np.sort(distances[sample])[:2]
        np.testing.assert_allclose([each["distance"] for each in found], expected, rtol=1e-4)
        assert found[0]["name"] == train.names[distances[sample].argmin()]
    codes, known = (model.encode(to_unit(images)) for images in (samples, train.images))
    expected = torch.cdist(codes, known).min(1).values / known.shape[1] ** 0.5
    found = [each["codes"][0]["distance"] for each in report["neighbours"]]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3)
    order = distances.min(1).argsort(kind="stable")[:3]
    np.testing.assert_array_equal(sheet[:, 0], samples[order])
    np.testing.assert_array_equal(sheet[:, 1], train.images[distances[order].argmin(1)])
    assert names[1] == f"{order[0]} / pixels 1"
    out = capsys.readouterr().out
    assert re.search(r"^metric +in pixels +in codes\n", out, re.MULTILINE)
    assert re.search(r"^memorisation rate \(0.05 without memorisation\) +[0-9.]+ +[0-9.]+$", out, re.MULTILINE)
    assert f"\n{report['conclusion']}.\n" in out
    assert command("nearest", run, *words[:-1], tmp_path / "b.npz", "--split", "test") == 0


@pytest.mark.parametrize("blur", [True, False])
def test_blurred_samples_are_not_called_copies(run, tmp_path, monkeypatch, blur):
    images = open_data("digits").train.images[:12]
    faint = (0.8 * images).astype(np.uint8)
    monkeypatch.setattr("vaegan.runs.opened.OpenedRun.decode", lambda *_: faint if blur else images)
    assert command("nearest", run, "--num", 12, "--out", tmp_path / "a.png") == 0
    words = json.loads((tmp_path / "a-distances.json").read_text())["conclusion"]
    why = ", as blurred samples do even without memorisation" if blur else ", a sign of memorisation"
    assert words == f"Samples lie nearer to training images than held-out images do{why}"


def test_a_gan_has_neighbours_in_pixels_alone(tmp_path, capsys):
    gan = make_run(tmp_path / "gan", "gan")
    assert command("nearest", gan, "--num", 4) == 0
    assert "codes" not in capsys.readouterr().out
    assert list(json.loads((gan / "pictures" / "nearest-distances.json").read_text())["figures"]) == ["pixels"]


def test_the_command_leaves_the_hint_of_its_name_alone(run, capsys):
    assert command("nearest", run, "--num", 1) == 0
    assert command("nearset", run) == 2
    assert "unknown command 'nearset' (perhaps you meant 'nearest')" in capsys.readouterr().err


def test_traverse_sets_the_dimensions_with_most_kl(run, tmp_path, capsys):
    words = ("--num", 3, "--steps", 5, "--range", 2, "--center", "origin", "--out", tmp_path / "a.npz")
    assert command("traverse", run, *words) == 0
    with np.load(tmp_path / "a.npz") as file:
        found, images, names = file["codes"], file["images"], file["names"]
    model = load(run)
    order, kl = order_by_kl(*model.posterior(to_unit(open_data("digits").test.images)))
    expected = traverse(torch.zeros(model.latent_dim), order[:3], torch.linspace(-2, 2, 5)).flatten(0, 1)
    np.testing.assert_allclose(found, expected.numpy())
    assert np.abs(images.astype(int) - to_uint8(model.decode(expected)).astype(int)).max() <= 1
    assert names[4] == f"z{order[0]}, {kl[0]:.2f} nats / +2"
    assert f"KL, all dimensions: {float(kl.sum()):.2f} nats per image" in capsys.readouterr().out


def test_traverse_around_an_image(run, tmp_path):
    assert command("traverse", run, "--num", 2, "--out", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz") as file:
        codes = torch.from_numpy(file["codes"]).reshape(2, 9, -1)
    known = load(run).encode(to_unit(open_data("digits").test.images))
    # All but the dimension that is set agree with the code of a held-out image.
    close = ((codes[0, 0] - known).abs() < 1e-3).sum(1)
    assert close.max() == known.shape[1] - 1
    assert command("traverse", run) == 0
    with Image.open(run / "pictures" / "traverse.png") as picture:
        assert picture.width > 9 * 56


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("ae", "traverse", "its encoder gives a code, not a distribution"),
        ("gan", "traverse", "this model is a GAN and has no encoder"),
        ("ae", "nearest", "this model is a plain autoencoder"),
        ("vae", "traverse --range 0", "--range: '0' is not allowed: must be greater than 0"),
    ],
)
def test_mistakes_are_one_line(kind, words, told, tmp_path, capsys):
    name, *rest = words.split()
    assert command(name, make_run(tmp_path / "run", kind), *rest) == 2
    assert told in capsys.readouterr().err
