"""The paper's experiments: what is trained, Table 2's arithmetic, the whole on tiny networks, and going on."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import statistics
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main, reproduce
from vaegan.cli.parse import parse
from vaegan.data import open_data
from vaegan.data.conditions import conditioning_of
from vaegan.data.dataset import ImageData, ImageSet
from vaegan.errors import UserError
from vaegan.metrics.figures import Figure
from vaegan.models import Model, load
from vaegan.pages import paper
from vaegan.pixels import BYTES, PixelFormat, Shown
from vaegan.report.grid import grid
from vaegan.reproducing import experiment, measurements, paper_images
from vaegan.reproducing.experiment import cached_json
from vaegan.reproducing.measurements import open_regressor
from vaegan.reproducing.plan import TITLES, base_settings, num_images_of, plan, seeds_of
from vaegan.reproducing.results import MeasureOptions, Results, table2, table2_row_json
from vaegan.runs.opened import OpenedRun
from vaegan.settings import AugmentSettings
from vaegan.settings_io import with_settings
from vaegan.training import snapshots
from vaegan.training.terminal import StopRequest

SEEDS, NUM, SAMPLES = 2, 8, 3
NAMES = [f"{kind}-0" for kind in TITLES] + [f"{kind}-conditional-{seed}" for seed in range(SEEDS) for kind in TITLES]


@pytest.fixture(scope="module")
def words(tiny, told_images, tmp_path_factory):
    """What follows ``vaegan``, but for the folder."""
    more = ["--data.size", 8, "--data.flip", "False", "--data.cache", tmp_path_factory.mktemp("cache")]
    more += ["--model.discriminator.strides", "1,2,2", "--optim.lr", 0.01, "--seeds", SEEDS, "--num", NUM]
    more += ["--samples", SAMPLES, "--regressor-images", 2000, "--data", told_images]
    return [str(word) for word in ("reproduce", "paper", *tiny, *more)]


@pytest.fixture(scope="module")
def done(words, tmp_path_factory):
    """The whole, in one go."""
    out = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
        assert main([*words, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def found(done):
    return json.loads((done / "paper.json").read_text())


@pytest.fixture(scope="module")
def data(words):
    options = parse(reproduce.Options, words[1:], "vaegan reproduce")
    return open_data(options.settings.data)


def test_the_json_names_every_run_and_what_it_is_of(found, data):
    assert [run["name"] for run in found["runs"]] == NAMES
    assert [run["conditional"] for run in found["runs"]] == [False] * 4 + [True] * 8
    assert found["data"]["fingerprint"] == data.fingerprint
    assert found["data"]["attributes"] == ["right", "height", "said"]
    assert found["asked"] == {"vectors": min(NUM, len(data.test)), "samples": SAMPLES, "seed": 0}
    assert list(found["table2"]) == list(measurements.SIMILARITIES)
    for row in found["table2"].values():
        assert list(row["models"]) == list(TITLES.values())
        for model in row["models"].values():
            assert len(model["values"]) == SEEDS
            assert model["value"] == pytest.approx(statistics.fmean(model["values"]))
            assert model["low"] < model["value"] < model["high"]
    assert set(found["pixels"]["GAN"]) == {"sample_sharpness"}
    assert found["pixels"]["VAE"]["reconstruction_mse"]["value"] > 0


def test_the_regressor_sees_what_is_there(found):
    seen = found["regressor"]["explained"]
    assert seen["right"] > 0.5
    assert seen["height"] > 0.3
    real = found["table2"]["centred_cosine"]
    assert real["real"]["value"] > 0.7
    assert found["table2"]["mse"]["real"]["value"] < found["table2"]["mean_mse"]["other real images"]["value"]


def test_a_figure_of_a_run_is_what_numpy_says(found, done, data):
    model, images = load(done / "vaegan-conditional-1"), data.test.some(NUM, 0)
    regressor = open_regressor(data, done, seed=0, num_images=2000)
    codes = torch.randn(len(images) * SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    c = model.conditioning.of_images(images)[np.arange(len(codes)) // SAMPLES]
    seen = regressor.values(model.decode(codes, condition=c)).double().numpy()
    cosines, errors = [], []
    for row, wanted in enumerate(images.attributes.astype(float)):
        known = ~np.isnan(wanted)
        near = []
        for y in seen[row * SAMPLES : (row + 1) * SAMPLES]:
            norms = np.linalg.norm(y[known]) * np.linalg.norm(wanted[known])
            cosine = y[known] @ wanted[known] / norms if norms else 0.0
            near.append((cosine, np.mean((y - wanted)[known] ** 2)))
        best = max(near, key=lambda pair: pair[0])
        cosines.append(best[0])
        errors.append(best[1])
    assert found["table2"]["cosine"]["models"]["VAE/GAN"]["values"][1] == pytest.approx(np.mean(cosines), rel=1e-5)
    assert found["table2"]["mse"]["models"]["VAE/GAN"]["values"][1] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_page_shows_all_of_it_and_needs_nothing_else(done, found):
    page = (done / "paper.html").read_text()
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.DOTALL)
    assert [re.sub(r"<[^>]+>", "", head).strip() for head in heads] == [
        "Samples",
        "Reconstructions",
        "Attribute vectors",
        "Samples by attributes",
        "Attribute similarity (Table 2)",
        "Runs",
    ]
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    # Rows of pictures: samples of 4, reconstructions of 3 and originals, 4 faces, 1 + 4 asked for, 2 x 2 one by one.
    assert len(re.findall(r'<img src="data:image', page)) == 4 + 4 + 4 + 5 + 4
    for name in NAMES:
        assert name in page
    lines = (done / "paper.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:8]] == ["real images", *TITLES.values(), "other real images"]
    value = found["table2"]["cosine"]["real"]["value"]
    assert float(lines[2].split("|")[2].split()[0]) == pytest.approx(value, abs=0.05)


def test_a_stopped_run_goes_on_and_finds_the_same(words, done, found, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
    train, calls = experiment.train, []

    def stopping(config, out, **more):
        calls.append(out.name)
        with pytest.MonkeyPatch.context() as patch:
            if len(calls) == 10:  # in the middle of a training
                patch.setattr(StopRequest, "__bool__", lambda self: True)
            return train(config, out, **more)

    monkeypatch.setattr(experiment, "train", stopping)
    assert main([*words, "--out", str(tmp_path)]) == 143
    assert calls == NAMES[:10]
    partial = json.loads((tmp_path / "paper.json").read_text())
    assert [run["name"] for run in partial["runs"]] == NAMES[:8]
    assert [len(model["values"]) for model in partial["table2"]["cosine"]["models"].values()] == [1] * 4
    finished = [tmp_path / name / "model" / "model.safetensors" for name in NAMES[:9]]
    finished += [tmp_path / "measured" / f"{name}.json" for name in ("real", *NAMES[:9])]
    finished += list(tmp_path.glob("regressor-*"))
    before = [path.stat().st_mtime_ns for path in finished]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert [path.stat().st_mtime_ns for path in finished] == before
    assert json.loads((tmp_path / "paper.json").read_text()) == found


def test_data_without_attributes_are_refused_before_anything_is_trained(tiny, images_file, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["reproduce", "--data", str(images_file), "--out", str(out), "--data.size", "8"]
    assert main([*words, "--data.cache", str(tmp_path / "cache")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "attributes.csv" in last
    assert not out.exists()


def test_all_models_are_trained_alike(tmp_path):
    base = with_settings(base_settings(), {"seed": 3})
    trainings = plan(base, 2, tmp_path)
    assert [one.name for one in trainings[:4]] == ["vae-3", "gan-3", "vae-dis-l-3", "vaegan-3"]
    assert [one.name for one in trainings[-4:]] == [f"{kind}-conditional-4" for kind in TITLES]
    assert seeds_of(trainings) == [3, 4]
    for one in trainings:
        config = one.config
        condition = "attributes" if one.is_conditional else "none"
        assert config.model == base.model.model_copy(update={"kind": one.kind, "condition": condition})
        assert (config.optim, config.train, config.data) == (base.optim, base.train, base.data)
        if one.kind == "vaegan":
            assert config.loss == base.loss
        if one.kind == "gan":  # its samples have the weight of both kinds of fakes
            fakes = base.loss.prior_weight + base.loss.reconstruction_weight
            assert config.loss == base.loss.model_copy(update={"prior_weight": fakes})
    told = {one.kind: one.config.loss for one in trainings if one.is_conditional and one.config.seed == 4}
    assert told["vae-dis-l"].metric == tmp_path / "gan-conditional-4"
    # (2 x)^2 / 2 = x^2 / (2 v) at v = 1/4: unit variance where the network's images are in [-1, 1]
    assert (told["vae"].likelihood, told["vae"].pixel_variance, told["vae"].gamma) == ("gaussian", 0.25, 1.0)


def test_only_vaegan_is_balanced_and_begins_as_an_autoencoder(tmp_path):
    base = base_settings(is_quick=True)
    assert base.loss.balance
    assert base.train.pretrain_epochs
    trainings = plan(base, 1, tmp_path)
    assert all(one.config.loss == base.loss and one.config.train == base.train for one in trainings[3::4])
    for one in trainings:
        if one.kind != "vaegan":
            assert (one.config.loss.balance, one.config.train.pretrain_epochs) == (None, 0)
            assert one.config.train == base.train.model_copy(update={"pretrain_epochs": 0.0})


def test_drawn_faces_keep_their_attributes_and_other_data_the_paper_s_length():
    for quick in (False, True):
        drawn = base_settings(is_quick=quick).data
        assert (drawn.flip, drawn.augment) == (False, AugmentSettings())
    assert base_settings("celeba").data.flip
    assert base_settings("lfw").recipe == "larsen-lfw64"
    photos = base_settings("photos")
    assert photos.train.epochs * num_images_of(photos) == 37_500 * 64
    limited = with_settings(base_settings("celeba"), {"data.limit": 1000})
    assert num_images_of(limited) == 1000
    assert num_images_of(base_settings()) == 20_000


def test_list_says_what_and_how_long_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vaegan.cli._LONG", float("inf"))  # on a slow machine a last line says how long it took
    assert main(["reproduce", "paper", "--quick", "--list", "--seeds", "2"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == NAMES
    time = r"\d+( h \d+ min| min \d+ s| s)"
    assert all(re.search(rf"  {time}$", row) for row in rows)
    assert re.match(rf"12 training runs, about {time} on two cores", last)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["--model.kind gan", "--model.condition labels", "--loss.metric gone"])
def test_what_each_training_sets_for_itself_is_refused(words, capsys):
    assert main(["reproduce", "paper", "--quick", "--list", *words.split()]) == 2
    line = f"{words.split()[0]}: every kind of model is trained, with and without attributes; leave it out"
    assert line in capsys.readouterr().err


class Eye:
    """A regressor that reads two attributes off the first two pixels."""

    names, centre = ("a", "b"), torch.tensor([0.5, 0.5])

    def values(self, x):
        return x[:, 0, 0, :2]

    def of_images(self, images, batch_size):
        return torch.from_numpy(images.images[:, 0, :2, 0]) / 255


class Listening:
    """A model whose K-th image of a vector shows what it was asked for, less by K tenths in the first attribute."""

    def __init__(self, num_samples):
        self.num_samples = num_samples

    def condition_of(self, images):
        return torch.from_numpy(images.attributes)

    def sample_codes(self, num, seed, prior):
        assert prior == "normal"
        return (torch.arange(num) % self.num_samples / 10.0)[:, None]

    def decode(self, z, *, condition, batch_size):
        x = torch.zeros(len(z), 1, 2, 2)
        x[:, 0, 0] = condition
        x[:, 0, 0, :1] -= z
        return x


def pictures(values):
    """Images that show values as they are."""
    images = np.zeros((len(values), 2, 2, 1), np.uint8)
    images[:, 0, :, 0] = np.round(255 * np.array(values))
    names = [str(i) for i in range(len(values))]
    return ImageSet(images, names, attributes=np.array(values, np.float32), attribute_names=("a", "b"))


def test_similarity_of_a_case_made_by_hand():
    images = pictures([[1.0, 0.0], [1.0, 1.0]])
    real = measurements.similarity_of_real(Eye(), images, seed=0, batch_size=1)
    assert [real[name].value for name in measurements.MAIN_SIMILARITIES] == pytest.approx([1, 1, 0])
    found = measurements.similarity_of_model(Listening(2), Eye(), images, num_samples=2, seed=0, batch_size=3)
    # Images of (1, 0): (1, 0) and (.9, 0), cosines 1 and 1. Of (1, 1): (1, 1) and (.9, 1), 1 and 1.9 / sqrt(2 * 1.81).
    second = 1.9 / (2 * 1.81) ** 0.5
    assert found["cosine"].value == pytest.approx(1)
    assert found["mean_cosine"].value == pytest.approx((1 + 1 + 1 + second) / 4)
    assert found["mse"].value == pytest.approx(0, abs=1e-9)
    assert found["mean_mse"].value == pytest.approx((0 + 0.005 + 0 + 0.005) / 4)
    # About (.5, .5): (.5, -.5) against (.4, -.5), (.5, .5) against (.4, .5), each .45 / sqrt(.5 * .41).
    assert found["mean_centred_cosine"].value == pytest.approx((1 + 0.45 / (0.5 * 0.41) ** 0.5) / 2)
    others = measurements.similarity_of_others(
        Eye(), pictures([[1.0, 0.0], [0.0, 1.0]]), num_samples=64, seed=0, batch_size=2
    )
    assert others["cosine"].value == 1  # among 64 there is one that fits
    assert 0.3 < others["mean_cosine"].value < 0.7


def fixed(value):
    """Figures that all have one value."""
    return {name: Figure(value, value - 0.01, value + 0.01, 10, 0) for name in measurements.SIMILARITIES}


def test_the_table_has_means_over_seeds_and_the_nearest_to_real_images():
    rows = table2(fixed(0.9), [[fixed(0.8), fixed(0.82)], [fixed(0.5), fixed(0.52)], []])
    assert [row.name for row in rows] == list(measurements.SIMILARITIES)
    for row in rows:
        a, b, c = (one.mean for one in row.models)
        assert (a.value, b.value) == (pytest.approx(0.81), pytest.approx(0.51))
        assert math.isnan(c.value)
        half = 12.7062 * statistics.stdev([0.8, 0.82]) / 2**0.5
        assert (a.low, a.high) == (pytest.approx(0.81 - half, rel=1e-4), pytest.approx(0.81 + half, rel=1e-4))
        assert (row.real, row.verdict.best) == (0.9, 0)
    close = table2(fixed(0.9), [[fixed(0.8)], [fixed(1.01)]])  # .1 below and .11 above
    assert close[0].verdict.overlapping == (0, 1)
    plain = table2_row_json(close[0], ["A", "B"], fixed(0.9), fixed(0.1))
    assert (plain["nearest"], plain["open_between"]) == (None, ["A", "B"])
    assert plain["other real images"]["value"] == 0.1


def test_results_are_kept_as_long_as_they_are_of_the_same(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"value": len(calls)}

    path = tmp_path / "deep" / "a.json"
    assert cached_json(path, {"of": (1, 2)}, compute) == cached_json(path, {"of": (1, 2)}, compute) == {"value": 1}
    assert cached_json(path, {"of": (1, 3)}, compute) == {"value": 2}
    path.write_text("{")
    assert cached_json(path, {"of": (1, 3)}, compute) == {"value": 3}


def test_corrected_attributes_are_used(tmp_path, monkeypatch):
    grey, base = pictures([[i / 20, i / 20] for i in range(16)]), SimpleNamespace(device="cpu", data=None, seed=0)

    def lab(values):
        images = replace(grey, attributes=np.array(values, np.float32))
        monkeypatch.setattr(experiment, "open_data", lambda settings: ImageData("grey", images, images, "the images"))
        return experiment._Lab(base, tmp_path, MeasureOptions(regressor_images=64))

    old, new = lab([[0, 1], [1, 1]] * 8), lab([[1, 1], [0, 1]] * 8)  # their moments are the same
    assert old.regressor.fingerprint != new.regressor.fingerprint
    new.regressor = old.regressor
    found = iter(range(3))
    assert [one._cached("real", "", lambda: next(found)) for one in (old, old, new)] == [0, 0, 1]


def test_images_of_which_no_attribute_is_known_are_left_out():
    unknown = pictures([[1.0, 0.0], [1.0, 1.0]])
    unknown.attributes[1] = math.nan
    alone = pictures([[1.0, 0.0]])
    found, expected = (measurements.similarity_of_real(Eye(), x, seed=0, batch_size=2) for x in (unknown, alone))
    assert found == expected
    unknown.attributes[0] = math.nan
    with pytest.raises(UserError, match="no attribute of the 2 held-out images is known"):
        measurements.similarity_of_real(Eye(), unknown, seed=0, batch_size=2)


def test_attributes_that_are_shown():
    images = pictures([[0.1, 0.0], [0.7, 1.0], [0.3, 1.0]])
    assert paper_images.attributes_to_show(images) == ["b", "a"]
    values = np.array([[0, 1, 0, 1], [1, 0, 0, 0]], np.float32)
    names = ("Blond Hair", "Tall", "Bald", "smiling")
    of_paper = ImageSet(images.images[:2], images.names[:2], attributes=values, attribute_names=names)
    assert paper_images.attributes_to_show(of_paper) == ["Blond Hair", "smiling", "Tall"]


@pytest.mark.parametrize("bands", [(), (5, 1, 2)])
def test_the_page_shows_originals_of_any_type_and_channels_as_it_shows_results(bands, make_model, monkeypatch):
    pixels = PixelFormat.of("uint16")
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2**16, (12, 8, 8, 5), dtype=np.uint16)
    attributes = (np.arange(12)[:, None] % 2).astype(np.float32)
    images = ImageSet(numbers, list("abcdefghijkl"), None, (), attributes, ("tall",), pixels)
    architecture = make_model().architecture | {"image_shape": [5, 8, 8]}
    model = Model.from_architecture(architecture, {"pixels": pixels.as_json()})
    base = with_settings(base_settings(), {"bands": bands})
    data = ImageData("bands", images, images, "the bands")
    results = Results(data, base, MeasureOptions(), images, {}, {}, {}, {})
    run = OpenedRun("demo", model=model)
    monkeypatch.setattr(Results, "opened", lambda self, conditional: {"VAE/GAN": run})
    _, (strips, _), vectors = (section.blocks for section in paper._unconditional_sections(results))
    some = results.images.some(paper.NUM_IMAGES, results.base.seed)
    names = [name for name, _, _ in strips.rows]
    assert names == ["original", "VAE/GAN"]
    made = pixels.from_unit(model.reconstruct(some.unit()))
    for (_, uri, _), each in zip(strips.rows, (some.images, made), strict=True):
        assert np.array_equal(decoded(uri), grid(Shown(pixels, bands)(each), columns=len(some)))
    faces = some.some(paper.NUM_FACES, base.seed)
    first = np.stack([faces.images[0], pixels.from_unit(model.reconstruct(faces.unit()))[0]])
    left, three = (grid(Shown(pixels, bands)(first[[0, 1, 1][:num]]), columns=num) for num in (2, 3))
    row = decoded(vectors[0].rows[0][1])
    assert np.array_equal(row[:, : left.shape[1]], left)
    assert row.shape == three.shape, "the one vector is added once"


def decoded(uri):
    """The pixels of a picture in a page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_one_attribute_after_another_is_set_and_all_else_stays(done, data):
    model, images = load(done / "vaegan-conditional-0"), data.test.some(3, 0)
    made = paper_images.single_attributes(model, images, ["said", "right"], 0, data.train)
    assert made.shape == (6, 2, 8, 8, 3)
    c = model.conditioning.of_images(images)
    c[:, 0] = 1.0  # 'right' of two values is told as -1 and 1
    z = model.sample_codes(3, 0, "normal")
    high = np.moveaxis(np.asarray(model.decode(z, condition=c)), 1, -1) * 255
    np.testing.assert_allclose(made[1::2, 1], high, atol=0.51)


def test_an_attribute_of_two_values_goes_from_one_to_the_other_however_rare_it_is():
    attributes = np.zeros((64, 1), np.float32)
    attributes[5], attributes[6:9] = 1, np.nan
    names = [str(i) for i in range(64)]
    images = ImageSet(np.zeros((64, 1, 1, 1), np.uint8), names, attributes=attributes, attribute_names=("rare",))
    conditioning = conditioning_of(ImageData("few", images, images, ""), "attributes")
    model = SimpleNamespace(
        conditioning=conditioning,
        condition_of=conditioning.of_images,
        sample_codes=lambda num, seed, prior: torch.zeros(num, 1),
        decode=lambda z, condition: (condition[:, :, None, None] + 1) / 2,
        pixels=BYTES,
    )
    made = paper_images.single_attributes(model, images.take(slice(2)), ["rare"], 0, images)
    assert made.ravel().tolist() == [0, 255, 0, 255]
