"""Every command on conditional models: each image goes with its own label or attributes."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.cli import main
from vaegan.data import open_data
from vaegan.metrics.extractors.classifier import train_classifier
from vaegan.models import Model
from vaegan.pixels import to_uint8, to_unit
from vaegan.priors import fit_priors
from vaegan.training import snapshots
from vaegan.views import attribute_edits


def run_command(*words) -> int:
    return main([str(word) for word in words])


def arrays(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def runs(tiny, told_images, tmp_path_factory):
    """A run told labels and one told attributes."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
        for condition in ("labels", "attributes"):
            words = ["--data", told_images, "--model.condition", condition, "--out", folder / condition]
            assert run_command("train", *tiny, *words) == 0
    return folder


@pytest.fixture(params=["labels", "attributes"])
def run(request, runs):
    return runs / request.param


@pytest.fixture(scope="module")
def data(told_images):
    return open_data(str(told_images))


def test_reconstruct_and_encode_know_what_is_known_of_each_image(run, data, tmp_path):
    model, x = vaegan.load(run), to_unit(torch.from_numpy(np.array(data.test.images)))
    c = model.conditioning.of_images(data.test)
    assert run_command("reconstruct", run, "--out", tmp_path / "a.npz", "--batch-size", 5) == 0
    np.testing.assert_allclose(
        arrays(tmp_path / "a.npz")["images"].astype(int), to_uint8(model.reconstruct(x, condition=c)), atol=1
    )
    assert run_command("encode", run, "--out", tmp_path / "c.npz", "--split", "test", "--shard", 4) == 0
    np.testing.assert_allclose(arrays(tmp_path / "c.npz")["codes"], model.encode(x, condition=c), atol=1e-5)
    assert run_command("reconstruct", run, "--triptych", "--out", tmp_path / "t.png") == 0


def test_paths_lead_from_condition_to_condition(run, data, tmp_path):
    words = ["interpolate", run, "--num", 3, "--steps", 5, "--out"]
    assert run_command(*words, tmp_path / "a.npz") == 0
    assert run_command(*words, tmp_path / "b.npz", "--between", "codes", "--method", "spherical") == 0
    assert run_command(*words, tmp_path / "c.npz", "--between", "four") == 0
    model, found = vaegan.load(run), arrays(tmp_path / "a.npz")
    codes = torch.from_numpy(found["codes"]).reshape(3, 5, -1)
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.test))[:6])
    c = model.conditioning.of_images(data.test, chosen)
    for step, share in ((0, 0.0), (2, 0.5), (4, 1.0)):
        between = model.decode(codes[:, step], condition=c[:3].lerp(c[3:], share))
        images = found["images"].reshape(3, 5, 8, 8, 1)[:, step].astype(int)
        np.testing.assert_allclose(images, to_uint8(between), atol=1)


@pytest.mark.parametrize(
    "words",
    [
        ["cluster", "--k", 2, "--restarts", 1],
        ["traverse", "--steps", 3],
        ["traverse", "--steps", 3, "--center", "origin"],
        ["nearest", "--num", 8, "--k", 2],
        ["attributes", "--num", 4, "--attribute", "right", "--check"],
        ["report", "--num", 60],
    ],
    ids=lambda words: f"{words[0]}-{words[-1]}",
)
def test_the_other_commands_work(words, run, tmp_path, monkeypatch):
    monkeypatch.setattr(attribute_edits, "train_classifier", functools.partial(train_classifier, num_images=2000))
    name, *options = words
    assert (
        run_command(name, run, *options, "--out", tmp_path / {"cluster": "c", "report": "r.html"}.get(name, "a.png"))
        == 0
    )


def test_report_shows_all_its_sections(run, tmp_path):
    assert run_command("report", run, "--out", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text()
    assert "The labels take turns." in page or "held-out images, in turn." in page
    assert "it needs a condition" not in page


def test_evaluate_tells_samples_what_is_known_of_real_images(run, tmp_path):
    words = ["--num", 40, "--extractor", "pixels", "--data.cache", tmp_path, "--out", tmp_path / "e.json"]
    assert run_command("evaluate", run, *words) == 0
    report = json.loads((tmp_path / "e.json").read_text())
    assert not any("condition" in why for why in report["left_out"].values())
    assert report["samples"]["normal"]["frechet_distance"]["value"] > 0
    assert report["reconstructions"]["mse"]["value"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ["nearest", "--k", 1],
        ["interpolate", "--between", "codes", "--steps", 2],
        ["reconstruct", "--triptych"],
        ["evaluate", "--extractor", "pixels"],
    ],
    ids=lambda words: words[0],
)
def test_codes_of_a_prior_by_label_are_decoded_under_their_label(words, runs, told_images, tmp_path, monkeypatch):
    model, sides = vaegan.load(runs / "labels"), torch.arange(400) % 2
    codes = 20.0 * (sides[:, None] - 0.5) + torch.randn(400, model.latent_dim)  # far apart, and from those of images
    model.priors = fit_priors(codes, names=["gaussian"], labels=sides, num_labels=2, seed=0)
    model.info["default_prior"] = "gaussian"
    model.save(tmp_path / "model")
    decode, fits = Model.decode, []

    def spy(self, z, *, condition, batch_size=256):
        at = z.mean(1)
        fits.extend(((at > 0) == condition.argmax(1))[at.abs() > 5].tolist())
        return decode(self, z, condition=condition, batch_size=batch_size)

    monkeypatch.setattr(Model, "decode", spy)
    name, *options = words
    out = tmp_path / {"evaluate": "e.json"}.get(name, "a.png")
    where = [] if name == "interpolate" else ["--data", told_images, "--data.cache", tmp_path]
    assert run_command(name, tmp_path / "model", *options, "--num", 10, *where, "--out", out) == 0
    assert len(fits) >= 10
    assert all(fits)


def test_sample_of_labels_is_a_row_for_each(runs, tmp_path):
    words = ["sample", runs / "labels", "--num", 7, "--seed", 3]
    assert run_command(*words, "--label", "right", "--label", "left", "--out", tmp_path / "a.npz") == 0
    assert run_command(*words, "--label", "1,left", "--out", tmp_path / "a.png") == 0
    found, model = arrays(tmp_path / "a.npz"), vaegan.load(runs / "labels")
    assert found["labels"].tolist() == [1] * 4 + [0] * 4
    c = model.conditioning.of_labels(["right"] * 4 + ["left"] * 4)
    np.testing.assert_array_equal(found["images"], to_uint8(model.sample(8, seed=3, condition=c)))
    with Image.open(tmp_path / "a.png") as image:
        width, height = image.size
    assert 1.8 < width / height < 2.1
    assert run_command(*words, "--out", tmp_path / "b.npz") == 0
    assert arrays(tmp_path / "b.npz")["labels"].tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_sample_of_attributes_fills_in_the_others(runs, data, tmp_path):
    words = ["--attribute", "right=1", "--attribute", "height=2.5", "--num", 20, "--out", tmp_path / "a.npz"]
    assert run_command("sample", runs / "attributes", *words) == 0
    model = vaegan.load(runs / "attributes")
    c = model.conditioning.of_attributes({"right": 1, "height": 2.5}, 20)
    np.testing.assert_array_equal(arrays(tmp_path / "a.npz")["images"], to_uint8(model.sample(20, condition=c)))


@pytest.mark.parametrize(
    ("which", "words", "message"),
    [
        ("labels", "--label up", "this model has no label 'up'; available: left, right"),
        ("labels", "--label lift", "this model has no label 'lift' (perhaps you meant 'left')"),
        (
            "labels",
            "--attribute right=1",
            "this model is conditional on labels, not attributes; its labels are left",
        ),
        ("attributes", "--label left", "this model is conditional on attributes, not labels"),
        ("attributes", "--attribute right", "--attribute right: write NAME=VALUE with a number, such as smiling=1"),
        (
            "attributes",
            "--attribute right=1 --attribute height=2 --attribute right=0",
            "--attribute right is given twice; run one command for each value",
        ),
        ("attributes", "--attribute rigt=1", "this model has no attribute 'rigt' (perhaps you meant 'right')"),
    ],
)
def test_what_cannot_be_asked_for(which, words, message, runs, tmp_path, capsys):
    assert run_command("sample", runs / which, *words.split(), "--out", tmp_path / "a.png") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_other_images_must_be_known_as_well(runs, images_file, tmp_path, capsys):
    for which in ("labels", "attributes"):
        words = ["--data", images_file, "--out", tmp_path / "a.png"]
        assert run_command("reconstruct", runs / which, *words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"but these have no {which}" in line


def test_an_unconditional_model_cannot_be_asked(tiny, tmp_path, capsys):
    assert run_command("train", *tiny, "--out", tmp_path / "run") == 0
    assert run_command("sample", tmp_path / "run", "--label", "3") == 2
    assert "--label: this model is not label-conditional; train one with" in capsys.readouterr().err


def test_a_snapshot_has_a_row_for_each_label(runs):
    def size(which, name):
        with Image.open(sorted((runs / which / name).glob("*.png"))[-1]) as image:
            return image.size

    width, height = size("labels", "samples")
    assert 3.7 < width / height < 4.1  # eight columns, two labels
    width, height = size("attributes", "samples")
    assert width == height
