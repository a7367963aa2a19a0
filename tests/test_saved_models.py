"""Models that earlier versions saved load, and compute what they computed then; `tests/saved/make.py` makes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import vaegan
from vaegan.models import FORMAT

SAVED = sorted(path.parent for path in (Path(__file__).parent / "saved").glob("*/config.json"))


@pytest.fixture(params=SAVED, ids=lambda path: path.name)
def saved(request):
    return request.param


@pytest.fixture
def expected(saved):
    with np.load(saved / "expected.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def close(given, wanted):
    """Equal up to what sums in another order leave of float32."""
    assert given.shape == wanted.shape
    torch.testing.assert_close(given.double(), wanted.double(), rtol=1e-4, atol=1e-5)


def test_there_are_some_of_this_format():
    formats = [json.loads((path / "config.json").read_text())["format"] for path in SAVED]
    assert FORMAT in formats, "run tests/saved/make.py"
    assert max(formats) == FORMAT


def test_it_computes_what_it_computed(saved, expected):
    model = vaegan.load(saved)
    c = expected.get("condition")
    mu, logvar = model.posterior(expected["x"], condition=c)
    close(mu, expected["mu"])
    close(logvar, expected["logvar"])
    close(model.decode(expected["z"], condition=c), expected["decoded"])
    close(model.discriminate(expected["x"], condition=c), expected["logits"])


def test_its_priors_are_those_it_had(saved, expected):
    model = vaegan.load(saved)
    names = [name.removeprefix("log_prob ") for name in expected if name.startswith("log_prob ")]
    assert model.prior_names == names
    assert len(names) > 1
    for name in names:
        close(model.prior_of(name).log_prob(expected["mu"]), expected[f"log_prob {name}"])
        assert model.sample_codes(5, prior=name).isfinite().all()
    assert model.default_prior in names


def test_it_can_be_told_what_it_was_told(saved, expected):
    model = vaegan.load(saved)
    if model.conditioning is None:
        assert "condition" not in expected
        return
    labels = expected["condition"].argmax(1).tolist()
    assert torch.equal(model.conditioning.of_labels([str(label) for label in labels]), expected["condition"])


def test_saved_again_it_is_the_same(saved, expected, tmp_path):
    vaegan.load(saved).save(tmp_path / "again")
    model = vaegan.load(tmp_path / "again")
    close(model.decode(expected["z"], condition=expected.get("condition")), expected["decoded"])


@pytest.mark.parametrize("newer", [FORMAT + 1, 99])
def test_a_newer_format_is_told_in_one_line(newer, tmp_path, command, capsys):
    shutil.copytree(SAVED[0], tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    (tmp_path / "new" / "config.json").write_text(json.dumps(config | {"format": newer, "unheard": "of"}))
    assert command("sample", tmp_path / "new", "--out", tmp_path / "x.png") == 2
    told = f"written by a newer vaegan (format {newer}, this one reads up to {FORMAT}): upgrade"
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("names", [[], ["0", "1"]])
def test_a_description_without_the_condition_that_the_networks_take(names, tmp_path, command, capsys):
    shutil.copytree(SAVED[0].parent / "told-mlp-0.1.0", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["info"]["condition"] = {**config["info"]["condition"], "names": names} if names else None
    path.write_text(json.dumps(config))
    assert command("sample", tmp_path / "model", "--out", tmp_path / "x.png") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the condition has {len(names)} names, the networks take another number" in line
