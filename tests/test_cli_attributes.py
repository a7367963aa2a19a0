from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.errors import UserError
from vaegan.latent.attribute_vectors import AttributeVectors, apply, find_vectors, load_vectors, save_vectors
from vaegan.metrics.extractors.classifier import train_classifier
from vaegan.models import Model, load
from vaegan.pixels import to_uint8
from vaegan.recipes import config_for
from vaegan.runs.opened import OpenedRun
from vaegan.settings_io import dump_yaml
from vaegan.views import attribute_edits


def make_run(folder: Path, kind: str = "vaegan") -> Path:
    config = config_for("digits", {"model.kind": kind})
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


def command(*words) -> int:
    return main(["attributes", *map(str, words)])


def to_unit(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def expected_vectors(model, images, **settings):
    labels = torch.eye(10)[torch.from_numpy(images.labels)]
    return find_vectors(model.encode(to_unit(images.images)), labels, tuple("0123456789"), **settings)


def test_vectors_of_labels_are_found_saved_and_applied(run, tmp_path):
    assert command(run, "--num", 3, "--out", tmp_path / "a.npz", "--batch-size", 100) == 0
    model, digits = load(run), open_data("digits")
    found = load_vectors(run)
    assert found.names == tuple("0123456789")
    torch.testing.assert_close(found.vectors, expected_vectors(model, digits.train).vectors, atol=1e-4, rtol=1e-3)
    with np.load(tmp_path / "a.npz") as file:
        images, codes = file["images"].reshape(3, 12, 8, 8, 1), torch.from_numpy(file["codes"]).reshape(3, 12, -1)
    assert all((digits.test.images == original).all((1, 2, 3)).any() for original in images[:, 0])
    z = codes[:, 1]
    torch.testing.assert_close(codes[:, 5], apply(z, found["3"], 1.0))
    assert np.abs(images[:, 5].astype(int) - to_uint8(model.decode(codes[:, 5])).astype(int)).max() <= 1


def test_where_vectors_are_saved_is_said_and_a_card_there_named(run, tmp_path, capsys):
    model = load(run)
    for folder, card in ((run / "model", False), (tmp_path / "card", True)):
        model.save(folder)
        if card:
            (folder / "README.md").touch()
        assert command(folder, "--data", "digits", "--num", 1, "--images", 400, "--out", tmp_path / f"{card}.png") == 0
        said = capsys.readouterr()
        assert f"vectors of 10 attributes saved into {folder}\n" in said.out
        assert (f"{folder / 'README.md'} still describes the model without these vectors" in said.err) == card


def test_one_attribute_is_a_sweep(run, tmp_path):
    words = (run, "--attribute", "7", "--strength", "-1,0,2.5", "--num", 2)
    assert command(*words, "--out", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz") as file:
        codes = torch.from_numpy(file["codes"]).reshape(2, 5, -1)
    vector = load_vectors(run)["7"]
    for index, strength in enumerate((-1, 0, 2.5)):
        torch.testing.assert_close(codes[:, 2 + index], apply(codes[:, 0], vector, strength))
    assert command(*words) == 0
    with Image.open(run / "pictures" / "attributes.png") as picture:
        assert picture.width > picture.height


def test_attributes_of_a_table_come_before_labels(run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    rows = ["file,light,size"]
    for index in range(60):
        path = folder / ("ab"[index % 2]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
        rows.append(f"{path.name},{index % 3 == 0:d},{rng.random()}")
    words = (run, "--data", folder, "--data.cache", tmp_path / "cache", "--num", 2)
    assert command(*words) == 0
    assert load_vectors(run).names == ("b",)
    (folder / "attributes.csv").write_text("\n".join(rows))
    for how in ("balanced", "linear"):
        assert command(*words, "--method", how, "--orthogonalise") == 0
        found = load_vectors(run)
        assert (found.names, found.method, found.orthogonalised) == (("light", "size"), how, True)
    assert command(*words, "--attribute", "a,light") == 0
    assert load_vectors(run).names == ("light", "size", "a")
    assert command(*words, "--attribute", "lihgt") == 2
    assert "no attribute 'lihgt' (perhaps you meant 'light'); available: light, size, a, b" in capsys.readouterr().err


def test_check_is_a_table_and_json(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(attribute_edits, "train_classifier", functools.partial(train_classifier, num_images=3000))
    words = (run, "--check", "--check-images", 100, "--check-strength", "1,3", "--attribute", "0,1", "--num", 1)
    assert command(*words, "--no-save", "--out", tmp_path / "a.png") == 2
    assert command(*words, "--save", "no", "--out", tmp_path / "a.png") == 0
    table = capsys.readouterr().out.splitlines()
    report = json.loads((tmp_path / "a-check.json").read_text())
    assert (report["num_images"], report["seed"]) == (100, 0)
    bases = report["attributes"]
    assert list(bases) == list("0123456789")
    assert all(base["accuracy_on_originals"] > 0.8 for base in bases.values())
    labels = open_data("digits").train.labels
    assert bases["3"]["training_images_without_and_with"] == [(labels != 3).sum(), (labels == 3).sum()]
    assert [(e["attribute"], e["strength"]) for e in report["effects"]] == [("0", 1), ("0", 3), ("1", 1), ("1", 3)]
    for effect in report["effects"]:
        for push in (effect["vector"], effect["random"]):
            assert 0 <= push["flipped"]["low"] <= push["flipped"]["value"] <= push["flipped"]["high"] <= 1
            assert set(push["each_moved"]) == set("0123456789") - {effect["attribute"]}
    flipped = report["effects"][2]["vector"]["flipped"]
    (row,) = (row for row in table if row.split()[:2] == ["1", "1"])
    assert f"{flipped['value']:.2f} ({flipped['low']:.2f} to {flipped['high']:.2f})" in row
    assert f"{len(report['work']['by_share'])} of 2 attributes work" in "\n".join(table)
    assert not (run / "model" / "attributes.json").exists()
    (tmp_path / "a.png").unlink()
    assert command(*words, "--out", tmp_path / "a.png") == 2
    assert "a-check.json exists" in capsys.readouterr().err


def test_vectors_of_other_weights_are_refused(run):
    model = load(run)
    vectors = expected_vectors(model, open_data("digits").train)
    save_vectors(run / "model", vectors)
    torch.testing.assert_close(load_vectors(run / "model").vectors, vectors.vectors)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save(run / "model")
    with pytest.raises(UserError, match="belong to other weights; run `vaegan attributes` again"):
        load_vectors(run)


def test_vectors_of_weights_that_training_has_replaced_meanwhile_are_refused(run, tmp_path, monkeypatch):
    real = attribute_edits.vectors_of

    def vectors_of(*words, **more):
        found, model = real(*words, **more), load(run)
        with torch.no_grad():
            next(model.parameters()).add_(1)
        model.save(run / "model")
        return found

    monkeypatch.setattr(attribute_edits, "vectors_of", vectors_of)
    assert command(run, "--images", 300, "--num", 1, "--out", tmp_path / "a.png") == 0
    with pytest.raises(UserError, match="belong to other weights; run `vaegan attributes` again"):
        load_vectors(run)


def test_missing_and_damaged_vectors(run):
    with pytest.raises(UserError, match="has no attribute vectors; create them with"):
        load_vectors(run)
    vectors = expected_vectors(load(run), open_data("digits").train)
    save_vectors(run / "model", vectors)
    for broken in (vectors.vectors * torch.nan, vectors.vectors.flip(0)):  # as names that belong to other vectors
        content = (run / "model" / "attributes.json").read_text()
        save_vectors(run / "model", replace(vectors, vectors=broken))
        if broken.isfinite().all():
            (run / "model" / "attributes.json").write_text(content)
        with pytest.raises(UserError, match="damaged; create it again"):
            load_vectors(run)
        save_vectors(run / "model", vectors)
    description = json.loads((run / "model" / "attributes.json").read_text())
    del description["sha256"]  # as earlier versions wrote it
    (run / "model" / "attributes.json").write_text(json.dumps(description))
    assert load_vectors(run).names == vectors.names
    (run / "model" / "attributes.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="damaged; create it again"):
        load_vectors(run)


@pytest.mark.parametrize("shape", [(2, 5), (2, 1000), (3, 10), (2,)])
def test_vectors_that_do_not_fit_the_model_are_refused(run, shape):
    """A file can be made by anyone: its hash of the weights proves nothing."""
    counts = torch.ones(2, 2, dtype=torch.int64)
    vectors = AttributeVectors(("a", "b"), torch.zeros(shape), torch.zeros(2), counts, "difference", False)
    save_vectors(run / "model", vectors)
    with pytest.raises(UserError, match=r"the attribute vectors do not fit|damaged"):
        OpenedRun(run).vectors()


def test_mistakes_are_one_line(tmp_path, capsys):
    gan = make_run(tmp_path / "gan", "gan")
    assert command(gan) == 2
    assert "this model is a GAN and has no encoder" in capsys.readouterr().err
    run = make_run(tmp_path / "run")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8))
    assert command(run, "--data", tmp_path / "x.npy") == 2
    assert "x has neither labels nor attributes; sort its images into a subfolder" in capsys.readouterr().err


def test_vectors_of_few_images_are_named(caplog):
    i = np.arange(120)
    values = np.stack([i % 2, i < 50, i < 49, i > 0, i == 3, i > 99, np.where(i, np.nan, 1)], 1).astype(np.float32)
    values[1, -1] = 0
    names = ("half", "enough", "few", "most", "one", "last", "known")
    images = replace(open_data("digits").train.take(i), attributes=values, attribute_names=names)
    run = SimpleNamespace(encode=lambda images: (torch.randn(len(images), 4), None))
    attribute_edits.vectors_of(run, images, names[:2])
    assert not caplog.text
    attribute_edits.vectors_of(run, images, names)
    (record,) = caplog.records
    assert record.getMessage() == (
        "fewer than 50 images with, or without, few, most, one and 2 others; their attribute vectors are unreliable, "
        "use more images"
    )


def test_attributes_that_are_the_same_for_all_images_are_left_out(caplog):
    values = np.stack([np.arange(40) % 2, np.ones(40), np.full(40, np.nan), np.arange(40) // 20], 1).astype(np.float32)
    images = replace(open_data("digits").train.take(np.arange(40)), labels=None, label_names=())
    images = replace(images, attributes=values, attribute_names=("hat", "all", "unknown", "tie"))
    assert attribute_edits.attribute_names(images, ("hat",)) == ["hat", "tie"]
    assert "left out, as the same for all 40 images: all, unknown" in caplog.text
    assert attribute_edits.attribute_names(images, ("all",)) == ["hat", "all", "tie"], "what was asked for is refused"
    images = replace(images, attributes=values[:, 1:3], attribute_names=("all", "unknown"))
    with pytest.raises(UserError, match="each is the same for all; use more images"):
        attribute_edits.attribute_names(images)
