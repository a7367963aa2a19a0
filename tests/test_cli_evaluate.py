from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vaegan.cli import main
from vaegan.cli.evaluate import Options, _check_replaces
from vaegan.errors import UserError
from vaegan.metrics.figures import GROUPS, info_of
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
    rows = {" ".join(line.split()[:-4]): line.split()[-4:] for line in lines if line.split()[-1:] == ["100"]}
    for group in ("yardstick", "reconstructions"):
        for name, one in report[group].items():
            assert rows[f"{GROUPS[group]} {info_of(name).title}"][0] == f"{one['value']:.4g}"
    one = report["samples"]["normal"]["frechet_distance"]
    assert rows["samples, normal Fréchet distance"][:2] == [f"{one['value']:.4g}", f"{one['low']:.4g}"]
    assert command(*words) == 0  # the run's own file is replaced
    out = tmp_path / "e.json"
    assert command(*words, "--out", out, "--prior", "normal", "--split", "train") == 0
    assert json.loads(out.read_text())["data"]["split"] == "train"
    assert command(*words, "--out", out) == 2
    assert "e.json exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err


def test_more_figures_are_not_replaced_by_fewer():
    before = {"yardstick": {"frechet_distance": {"num": 1524}}, "data": {"split": "test"}, "samples": {"normal": {}}}
    less = [{"num": 1}, {"split": "train"}, {"prior": "gaussian"}]
    for words in less:
        with pytest.raises(UserError, match=r"e.json has more figures: 1524 test images.*; .*\(--overwrite\)"):
            _check_replaces(Options(run="r", **words), Path("e.json"), before)
    for words in ({}, {"num": 1524}, {"prior": "normal,gaussian"}):
        _check_replaces(Options(run="r", **words), Path("e.json"), before)
    for damaged in (None, {}, {"yardstick": 3}):
        _check_replaces(Options(run="r", num=1), Path("e.json"), damaged)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--out e.csv", "this command writes JSON; give a name that ends in .json"),
        ("--prior flow --extractor pixels --overwrite", "this model has no prior 'flow'"),
        ("--extractor vgg", "--extractor: 'vgg' is not allowed: must be "),
    ],
)
def test_mistakes_are_one_line(words, told, run, tmp_path, capsys):
    assert command(run, "--data.cache", tmp_path, *words.split()) == 2
    assert told in capsys.readouterr().err
