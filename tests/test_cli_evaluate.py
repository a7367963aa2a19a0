from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch

from vaegan.cli import main
from vaegan.cli.evaluate import MetricOptions, Options, _more_metrics, _other_images, _other_networks, _refuse_to_lose
from vaegan.errors import UserError
from vaegan.evaluation import measure
from vaegan.evaluation.measure import conclusion
from vaegan.metrics.figures import info_of
from vaegan.models import Model
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


def command(*words) -> int:
    return main(["evaluate", *map(str, words)])


def test_the_table_shows_what_the_file_holds(run, tmp_path, capsys):
    words = (run, "--num", 100, "--extractor", "pixels", "--data.cache", tmp_path)
    assert command(*words) == 0
    report = json.loads((run / "evaluation.json").read_text())
    assert report["extractor"] == {"name": "pixels", "fingerprint": "pixels 1 x 8 x 8"}
    lines = capsys.readouterr().out.splitlines()
    rows = {tuple(re.split(" {2,}", line)[:2]): re.split(" {2,}", line)[2:] for line in lines}
    assert rows["measured on", "metric"] == ["better", "value", "95 % interval", "real data", "images"]
    for group in ("reconstructions", "likelihood", "codes"):
        for name, one in report[group].items():
            assert f"{one['value']:.4g}" in rows[group, info_of(name).title]
    one, real = (figures["frechet_distance"] for figures in (report["samples"]["normal"], report["yardstick"]))
    interval = f"{one['low']:.4g} to {one['high']:.4g}"
    assert rows["samples, normal", "Fréchet distance"] == [
        "lower", f"{one['value']:.4g}", interval, f"{real['value']:.4g}", "100"
    ]  # fmt: skip
    assert report["default_prior"] == "normal"
    assert report["data"]["available"] > report["data"]["num"] == 100
    assert report["conclusion"] == conclusion(report)
    assert f"{report['conclusion']}." in lines
    assert command(*words) == 0  # the run's own file is replaced
    out = tmp_path / "e.json"
    assert command(*words, "--out", out, "--prior", "normal", "--split", "train") == 0
    assert json.loads(out.read_text())["data"]["split"] == "train"
    assert command(*words, "--out", out) == 2
    assert "e.json exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err


def test_more_figures_are_not_replaced_by_fewer():
    before = {"data": {"split": "test", "num": 53}, "samples": {"normal": {}}}
    before["yardstick"] = {"frechet_distance": {"num": 1524}}
    less = [{"num": 1}, {"num": 250}, {"split": "train"}, {"prior": "gaussian"}]
    what = "e.json has (more|other) metrics: 53 held-out images, 1524 training images as baseline"
    for words in less:
        with pytest.raises(UserError, match=rf"{what}(, samples of normal)?; .*\(--overwrite\)"):
            _refuse_to_lose(Path("e.json"), before, partial(_more_metrics, Options(run="r", **words)))
    for words in ({}, {"num": 1524}, {"prior": "normal,gaussian"}):
        _refuse_to_lose(Path("e.json"), before, partial(_more_metrics, Options(run="r", **words)))
    before["data"]["num"] = 2000
    with pytest.raises(UserError, match="2000 held-out images, 1524 training images"):
        _refuse_to_lose(Path("e.json"), before, partial(_more_metrics, Options(run="r", num=1600)))
    before["draws"] = 5000
    with pytest.raises(UserError, match="a bound of 5000 draws; choose"):
        _refuse_to_lose(Path("e.json"), before, partial(_more_metrics, Options(run="r", num=2000, draws=100)))
    _refuse_to_lose(Path("e.json"), before, partial(_more_metrics, Options(run="r", num=2000, draws=5000)))
    for damaged in (None, {}, {"yardstick": 3}):
        _refuse_to_lose(Path("e.json"), damaged, partial(_more_metrics, Options(run="r", num=1)))


def test_figures_of_other_images_are_not_replaced():
    before = {"data": {"fingerprint": "a", "name": "mnist"}}
    _refuse_to_lose(Path("e.json"), before, partial(_other_images, "a"))
    told = r"e.json has metrics of other images \(mnist\); choose another --out or allow it .* \(--overwrite\)"
    with pytest.raises(UserError, match=told):
        _refuse_to_lose(Path("e.json"), before, partial(_other_images, "b"))
    for damaged in (None, {}, {"data": 3}):
        _refuse_to_lose(Path("e.json"), damaged, partial(_other_images, "b"))


def test_figures_of_other_or_more_networks_are_not_replaced():
    before = {"extractor": {"name": "dinov2", "fingerprint": "a"}, "published": {"lpips": "b", "inception": "c"}}
    for fingerprint, published, what in (
        ("other", before["published"], "other metrics: features of dinov2"),
        ("a", {"inception": "c"}, "more metrics: LPIPS"),
        ("a", {}, "more metrics: rFID and LPIPS"),
    ):
        with pytest.raises(UserError, match=rf"e.json has {what}; choose another --out or .* \(--overwrite\)"):
            _refuse_to_lose(Path("e.json"), before, partial(_other_networks, fingerprint, published))
    _refuse_to_lose(Path("e.json"), before, partial(_other_networks, "a", before["published"]))
    for damaged in (None, {}, {"extractor": 3}, {"published": 3}):
        _refuse_to_lose(Path("e.json"), damaged, partial(_other_networks, "a", {}))


def test_an_evaluation_with_lpips_stays_until_it_may_be_replaced(run, tmp_path, capsys):
    words = (run, "--num", 100, "--extractor", "pixels", "--data.cache", tmp_path)
    assert command(*words, "--overwrite") == 0
    file = run / "evaluation.json"
    richer = json.dumps(json.loads(file.read_text()) | {"published": {"lpips": "a"}})
    file.write_text(richer)
    assert command(*words) == 2
    assert "evaluation.json has more metrics: LPIPS; choose another --out" in capsys.readouterr().err
    assert file.read_text() == richer
    assert command(*words, "--overwrite") == 0
    assert json.loads(file.read_text())["published"] == {}


def figures_of(ratio, low, missing=0, copies=0.04, score=-1.0, distance=1.0, sharpness=0.2):
    values = {"frechet_distance": distance, "frechet_ratio": ratio, "missing_labels": missing}
    values |= {"copies_nearer": copies, "copies_score": score}
    figures = {
        name: {"value": value, "low": low, "high": None, "num": 1000, "seed": 0} for name, value in values.items()
    }
    return figures | {
        "sharpness": {"value": sharpness, "low": sharpness - 0.01, "high": sharpness + 0.01, "num": 1000, "seed": 0}
    }


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (
            {"normal": figures_of(9, 8, distance=9.0), "kde": figures_of(1.5, 1.2)},
            "Samples (prior kde) are 1.5 times as far from held-out images as training images are, by the Fréchet "
            "distance; no label is missing; no sign of memorisation",
        ),
        (
            {"normal": figures_of(1.1, 0.9, missing=2, copies=0.2)},
            "Samples (prior normal) are as near to held-out images as training images are, by the Fréchet distance; 2 "
            "labels are missing; samples lie nearer to training images than held-out images do, a sign of memorisation",
        ),
        (
            {"normal": figures_of(1.1, 0.9, copies=0.2, sharpness=0.1)},
            "Samples (prior normal) are as near to held-out images as training images are, by the Fréchet distance; "
            "samples (prior normal) are blurred: 50% of the sharpness of real images; no label is missing; samples lie "
            "nearer to training images than held-out images do, as blurred samples do even without memorisation",
        ),
        ({"normal": figures_of(None, None)}, "No label is missing; no sign of memorisation"),
        (
            {"normal": figures_of(9, 8, distance=9.0), "kde": figures_of(0.0, 0.0, distance=0.0, sharpness=0.1)},
            "Samples (prior kde) are as near to held-out images as training images are, by the Fréchet distance; "
            "samples (prior kde) are blurred: 50% of the sharpness of real images; no label is missing; no sign of "
            "memorisation",
        ),
        (
            {"normal": figures_of(None, None, distance=None, sharpness=0.15)},
            "No label is missing; no sign of memorisation",
        ),
        ({}, "Reconstructions are 3 times as far from held-out images as training images are, by the Fréchet distance"),
    ],
)
def test_the_conclusion(samples, sentence):
    assert conclusion(report_of(samples)) == sentence


def report_of(samples, num=500, split="test", sharpness=0.2, available=None):
    reconstructions = figures_of(3, 2, sharpness=sharpness)
    reconstructions = {name: reconstructions[name] for name in ("frechet_distance", "frechet_ratio", "sharpness")}
    return {
        "samples": samples,
        "reconstructions": reconstructions,
        "yardstick": figures_of(None, None),
        "data": {"num": num, "split": split, "available": available or num},
    }


@pytest.mark.parametrize(("num", "concludes"), [(6, False), (60, False), (249, False), (250, True)])
def test_too_few_images_conclude_nothing(num, concludes):
    sentence = conclusion(report_of({"normal": figures_of(1.1, 0.9)}, num))
    assert ("as near to held-out images" in sentence) == concludes
    few = (
        f"{num} held-out images are too few to say how near samples (prior normal) are to real ones; take 250 (training"
    )
    assert sentence.startswith(few) != concludes


@pytest.mark.parametrize(
    ("available", "split", "remedy"),
    [
        (53, "test", "training with a larger --data.held-out"),
        (249, "test", "--num and training with a larger --data.held-out"),
        (250, "test", "--num"),
        (53, "train", "training on more images"),
    ],
)
def test_num_is_a_remedy_only_where_there_are_more_images(available, split, remedy):
    sentence = conclusion(report_of({"normal": figures_of(1.1, 0.9)}, 53, split, available=available))
    assert f" are too few to say how near samples (prior normal) are to real ones; take 250 ({remedy}); " in sentence


@pytest.mark.parametrize(("split", "few"), [("train", "60 held-out"), ("test", "60 training")])
def test_too_few_images_on_the_other_side_conclude_nothing(split, few):
    report = report_of({"normal": figures_of(1.1, 0.9)}, 400, split)
    report["yardstick"]["frechet_distance"]["num"] = 60
    assert conclusion(report).startswith(f"{few} images are too few to say how near samples (prior normal) are")


@pytest.mark.parametrize(("split", "num", "others"), [("test", 40, 40), ("test", 9000, 9000), ("train", 9000, 1000)])
def test_the_memorisation_check_counts_the_held_out_images_it_used(split, num, others, monkeypatch):
    monkeypatch.setattr(measure, "in_words", lambda rate, score, num_samples, num_held_out, **more: f"{num_held_out}")
    report = report_of({"normal": figures_of(1.1, 0.9)}, num, split, available=9000)
    report["yardstick"]["frechet_distance"]["num"] = others
    assert conclusion(report).endswith("; 1000")


def test_the_conclusion_is_about_the_default_prior():
    report = report_of({"normal": figures_of(9, 8, distance=9.0), "kde": figures_of(1.5, 1.2)})
    for default, what in (("normal", "normal) are 9"), ("kde", "kde) are 1.5"), ("flow", "kde) are 1.5")):
        assert conclusion(report | {"default_prior": default}).startswith(f"Samples (prior {what} times as far")
    guided = report | {"default_prior": "kde", "guidance": {"kde": 2.5}}
    assert conclusion(guided).startswith("Samples (prior kde, guidance 2.5) are 1.5 times as far")


def test_blurred_reconstructions_are_named_beside_samples_and_alone():
    blurred = "econstructions are blurred: 50% of the sharpness of real images"
    assert f"; r{blurred}; " in conclusion(report_of({"normal": figures_of(1.1, 0.9)}, sharpness=0.1))
    assert conclusion(report_of({}, sharpness=0.1)).endswith(f"; r{blurred}")
    assert conclusion({"samples": {}, "reconstructions": {}, "yardstick": {}, "data": report_of({})["data"]}) == ""


def test_against_training_images_the_conclusion_names_them():
    assert "are as near to training images as held-out images are" in conclusion(
        report_of({"normal": figures_of(1.1, 0.9)}, split="train")
    )


def test_a_prior_that_it_lacks_is_refused_before_a_network_is_trained(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(MetricOptions, "networks", None)
    assert command(run, "--data.cache", tmp_path, "--prior", "flow", "--overwrite") == 2
    assert "this model has no prior 'flow'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--out e.csv", "this command writes JSON; give a name that ends in .json"),
        ("--out here.pth/e.json", "cannot write here.pth/e.json: Not a directory"),
        ("--prior flow --extractor pixels --overwrite", "this model has no prior 'flow'"),
        ("--extractor vgg", "--extractor: 'vgg' is not allowed: must be "),
        ("--overwrite --weights none.pth", "--weights none.pth: no such file or folder; correct it, or leave it out"),
        ("--overwrite --weights here.pth", "--weights here.pth: a file serves only --extractor inception or dinov2; "),
        ("--overwrite --weights here.pth --extractor inception", "here.pth holds no weights"),
    ],
)
def test_mistakes_are_one_line(words, told, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here.pth").touch()
    assert command(run, "--data.cache", tmp_path, *words.split()) == 2
    assert told in capsys.readouterr().err
