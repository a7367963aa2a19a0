"""Trainings of conditional models: every kind, with all that a training can do besides."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.data import open_data
from vaegan.data.conditions import Conditioning, conditioning_of
from vaegan.distributed import World
from vaegan.errors import UserError
from vaegan.pixels import to_uint8, to_unit
from vaegan.recipes import config_for
from vaegan.report.grid import grid
from vaegan.runs.initial import start_from
from vaegan.training.factories import build_batches, build_model

KINDS = {
    "ae": "attributes",
    "vae": "labels",
    "gan": "attributes",
    "vaegan": "labels",
}
ALL = (
    "--data.flip --data.augment.shift 0.5 --optim.ema 0.9 --loss.gate --loss.r1-weight 1 --loss.r1-every 2 "
    "--train.pretrain-epochs 0.5 --loss.kl-schedule linear --model.discriminator.spectral-norm "
    "--model.encoder.dropout 0.2"
)


def words(tiny, folder, condition):
    return [*tiny, "--data", folder, "--model.condition", condition]


def tensors(path):
    return {name: t for part in torch.load(path, weights_only=True)["parts"].values() for name, t in part.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_and_is_loaded(kind, command, tiny_of, told_images, tmp_path):
    condition, out = KINDS[kind], tmp_path / "run"
    likelihood = [] if kind in ("gan", "vaegan") else ["--loss.likelihood", "gaussian"]
    assert command("train", *words(tiny_of(kind), told_images, condition), *likelihood, "--out", out) == 0
    model = vaegan.load(out)
    names = {"labels": ("left", "right"), "attributes": ("right", "height", "said")}[condition]
    assert model.conditioning is not None
    assert model.conditioning.names == names
    assert model.architecture["condition_dim"] == len(names)
    c = model.conditioning.in_turn(4)
    for images in [
        model.decode(torch.zeros(4, 4), condition=c),
        *([model.sample(4, condition=c)] if kind != "ae" else []),
    ]:
        assert images.shape == (4, 1, 8, 8)
        assert not torch.equal(images, model.decode(torch.zeros(4, 4), condition=c.flip(0)))
    if kind == "vaegan":  # a row for each label
        rows = model.conditioning.of_labels(names).repeat_interleave(8, dim=0)
        expected = grid(to_uint8(model.sample(16, seed=0, condition=rows)), columns=8)[:, :, 0]
        assert (np.asarray(Image.open(out / "samples" / "000000000112.png")) == expected).all()
    start, *records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert start["split"] == "start"
    losses = [record["losses"] for record in records]
    assert all(np.isfinite(value) for record in losses for part in record.values() for value in part.values())


def test_attributes_of_which_nothing_can_be_learned_are_named(command, tiny_of, told_images, tmp_path, capsys):
    folder = shutil.copytree(told_images, tmp_path / "images")
    head, *rows = (folder / "attributes.csv").read_text().splitlines()
    table = [f"{head},empty,same,some", *(f"{row},,7,{'1' if i % 2 else ''}" for i, row in enumerate(rows))]
    (folder / "attributes.csv").write_text("\n".join(table))
    likelihood = ["--loss.likelihood", "gaussian"]
    assert command("train", *words(tiny_of("vae"), folder, "attributes"), *likelihood, "--out", tmp_path / "run") == 0
    what = "attributes without a value, or the same for all training images, of which the model learns nothing"
    assert capsys.readouterr().err.count(f"{what}: empty, same, some\n") == 1


def test_a_metric_must_be_told_the_same(command, tiny_of, told_images, tmp_path, capsys):
    gan = [*words(tiny_of("gan"), told_images, "labels"), "--out", tmp_path / "gan"]
    assert command("train", *gan) == 0
    tiny, metric = tiny_of("vae-dis-l"), ["--loss.metric", tmp_path / "gan"]
    assert command("train", *words(tiny, told_images, "labels"), *metric, "--out", tmp_path / "vae") == 0
    model = vaegan.load(tmp_path / "vae")
    theirs = vaegan.load(tmp_path / "gan").discriminator.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.discriminator.state_dict().items())
    x, c = torch.rand(3, 1, 8, 8), model.conditioning.in_turn(3)
    assert model.discriminate(x, condition=c).shape == (3,)
    assert command("train", *words(tiny, told_images, "none"), *metric, "--out", tmp_path / "other") == 2
    assert "it is conditioned on left, right, this model on nothing" in capsys.readouterr().err


@pytest.fixture
def others(told_images, tmp_path):
    """The images on the right of `told_images`, half of them without a known height: attributes of other moments."""
    head, *rows = (told_images / "attributes.csv").read_text().splitlines()
    folder = tmp_path / "others"
    shutil.copytree(told_images / "right", folder)
    rows = [row for row in rows if (folder / row.split(",")[0]).exists() and row.split(",")[2] != "5"]
    (folder / "attributes.csv").write_text("\n".join([head, *rows]))
    return folder


def test_a_model_that_starts_from_another_takes_the_same_conditions(command, tiny_of, told_images, others, tmp_path):
    """Also where the new images, by themselves, would give others; and so does the run when it resumes."""
    start, out = tmp_path / "start", tmp_path / "run"
    shared = ["--loss.likelihood", "gaussian", "--out"]
    assert command("train", *words(tiny_of("vae"), told_images, "attributes"), *shared, start) == 0
    given = [*words(tiny_of("vae"), others, "attributes"), "--init-from", start, "--train.parts", "decoder"]
    data, before = open_data(str(others)), vaegan.load(start)
    own, c = conditioning_of(data, "attributes"), before.condition_of(data.train)
    assert not torch.equal(own.of_images(data.train), c)
    for epochs in ("1", "2"):
        assert command("train", *given, "--train.epochs", epochs, *shared, out) == 0
        after = vaegan.load(out)
        assert torch.equal(after.condition_of(data.train), c)
        assert torch.equal(after.encode(data.train.unit(), condition=c), before.encode(data.train.unit(), condition=c))
        assert after.conditioning.examples == own.examples


def test_a_model_takes_the_conditions_of_its_metric(told_images, others, tmp_path):
    told, data = (open_data(str(folder)) for folder in (told_images, others))
    info, own = ({"condition": conditioning_of(each, "attributes").as_json()} for each in (told, data))
    named = {"model.condition": "attributes", "data.size": 8}
    gan = build_model(config_for("digits", {**named, "model.kind": "gan"}), told.image_shape, info)
    gan.save(tmp_path / "gan")
    named |= {"model.kind": "vae-dis-l", "loss.metric": tmp_path / "gan", "init_from": str(tmp_path / "start")}
    config = config_for("digits", named)
    model = build_model(config, data.image_shape, own)
    assert torch.equal(model.condition_of(data.train), gan.condition_of(data.train))
    assert model.conditioning.examples == Conditioning.from_json(own["condition"]).examples
    model.save(tmp_path / "start")
    assert len(list(start_from(model, config))) == 3
    model.info |= own
    model.save(tmp_path / "start")
    model.info |= info
    with pytest.raises(UserError, match=r"--init-from .* and --loss.metric scale attributes differently"):
        list(start_from(model, config))


def test_a_run_that_goes_on_ends_like_one_that_was_left_alone(command, tiny, told_images, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = [*words(tiny, told_images, "attributes"), *ALL.split(), "--train.snapshot-epochs", "0.5"]
    for out, lengths in ((whole, ("2",)), (parts, ("0.5", "2"))):
        for length in lengths:
            assert command("train", *given, "--train.epochs", length, "--out", out) == 0
    found, other = (sorted((out / "checkpoints").glob("*.pt"))[-1] for out in (whole, parts))
    assert found.name == other.name
    one, two = tensors(found), tensors(other)
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    for name in ("model/model.safetensors", "model/config.json"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


@pytest.mark.parametrize("condition", ["labels", "attributes"])
def test_conditions_are_those_of_the_images_of_the_batch(condition, told_images):
    """Whatever is done to an image, its label and attributes are known from what is seen of it."""
    config = config_for("digits", {"model.condition": condition, "train.batch_size": 16, "data.augment.gamma": 0.2})
    data = open_data(str(told_images))
    info = {"condition": conditioning_of(data, condition).as_json()}
    model = build_model(config, data.image_shape, info)
    for rank, seen in ((0, 0), (1, 0), (0, 96), (1, 96)):
        world = World(rank=rank, size=2)
        batches, conditions = build_batches(config, data, model.conditioning, world, torch.device("cpu"))
        x, c = batches(seen), conditions(seen)
        x = x if x.is_floating_point() else to_unit(x)
        right = (x[..., 4:].mean((1, 2, 3)) > x[..., :4].mean((1, 2, 3))).float()
        assert c.shape == (8, 2 if condition == "labels" else 3)
        assert torch.equal(right, c[:, 1] if condition == "labels" else (c[:, 0] + 1) / 2)
        if condition == "attributes":
            top = (x[:, 0].amax(2) > 0.5).float().argmax(1).double()
            known = c[:, 1] != 0
            fitted = np.polyfit(top[known], c[known, 1], 1, full=True)
            assert known.sum() > 4
            assert fitted[1] < 1e-8, "attribute and image are on a line"


def test_a_run_does_not_resume_with_other_conditions(command, tiny, told_images, tmp_path, capsys):
    folder, table = tmp_path / "images", tmp_path / "images" / "attributes.csv"
    shutil.copytree(told_images, folder)
    train = ["train", *words(tiny, folder, "attributes"), "--data.cache", tmp_path / "cache", "--out", tmp_path / "run"]
    assert command(*train, "--train.images", 32) == 0
    assert command(*train, "--train.images", 48) == 0
    table.write_text(table.read_text().replace(",1,5,", ",1,4,"))
    capsys.readouterr()
    assert command(*train, "--train.images", 64) == 2
    assert "the attributes of images differ from those that" in capsys.readouterr().err


def test_without_labels_or_attributes(command, tiny, capsys, tmp_path):
    for condition in ("labels", "attributes"):
        assert command("train", *tiny, "--model.condition", condition, "--out", tmp_path / "run") == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"model.condition {condition}: " in line
        assert f"has no {condition}; " in line
        assert "--model.condition none" in line


@pytest.mark.parametrize("condition", ["labels", "attributes"])
def test_samples_are_what_is_asked_for(condition, command, tiny_of, told_images, tmp_path):
    out = tmp_path / "run"
    settings = (
        "--model.kind vae --loss.likelihood gaussian --loss.pixel-variance 0.05 --train.epochs 60 "
        "--train.snapshot-epochs 60 --optim.lr 0.01 --model.network mlp --model.encoder.hidden 32 "
        "--model.decoder.hidden 32 --model.encoder.channels= --model.decoder.channels= "
        "--model.decoder.first-channels 256"
    )
    assert command("train", *words(tiny_of("vae"), told_images, condition), *settings.split(), "--out", out) == 0
    model = vaegan.load(out)
    for side in (0, 1):
        asked = {
            "labels": lambda side=side: model.conditioning.of_labels([side] * 100),
            "attributes": lambda side=side: model.conditioning.of_attributes({"right": side}, 100),
        }[condition]()
        x = model.sample(100, condition=asked)
        right = x[..., 4:].mean((1, 2, 3)) > x[..., :4].mean((1, 2, 3))
        assert (right == bool(side)).float().mean() > 0.9


def test_what_a_model_wants_to_be_told(told_images):
    data = open_data(str(told_images))
    x = torch.rand(3, 1, 8, 8)
    told = build_model(
        config_for("digits", {"model.condition": "labels"}),
        data.image_shape,
        {"condition": conditioning_of(data, "labels").as_json()},
    )
    plain, c = build_model(config_for("digits"), data.image_shape), told.conditioning.in_turn(3)
    z = told.encode(x, condition=c)
    assert torch.equal(told.reconstruct(x, condition=c), told.decode(z, condition=c))
    assert torch.equal(told.encode(x, condition=c, batch_size=2), z) or torch.allclose(
        told.encode(x, condition=c, batch_size=2), z, atol=1e-6
    )
    for mistake in (
        lambda: told.encode(x),
        lambda: told.posterior(x, condition=c[:2]),
        lambda: told.decode(z, condition=c[:, :1]),
        lambda: told.sample(3),
        lambda: told.discriminate(x),
    ):
        with pytest.raises(UserError, match=r"this model is conditional on labels: it needs a condition \(3, 2\)"):
            mistake()
    with pytest.raises(UserError, match="this model is unconditional"):
        plain.reconstruct(x, condition=c)
