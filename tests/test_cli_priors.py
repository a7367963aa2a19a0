from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from vaegan.latent import fit_priors
from vaegan.models import load
from vaegan.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run that ended without fitted priors."""
    from vaegan.cli import main

    out = tmp_path_factory.mktemp("runs") / "one"
    assert main(["train", "digits", *tiny, "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_priors_are_printed_saved_and_sampled_from(run, command, tmp_path, capsys):
    assert load(run).prior_names == ["normal"]
    assert command("priors", run, "--priors", "gaussian,mixture") == 0
    printed = capsys.readouterr().out
    assert "nats per held-out code" in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if "±" in line}
    assert list(rows) == ["normal", "gaussian", "mixture"]
    model = load(run)
    assert model.prior_names == ["normal", "gaussian", "mixture"]
    assert f"{model.priors['gaussian'].score.mean:.2f}" == rows["gaussian"][1]
    scores = {name: float(row[1]) for name, row in rows.items()}
    assert scores[model.default_prior] == max(scores.values())
    for name in ("normal", "mixture"):
        assert command("sample", run, "--prior", name, "--num", 5, "--seed", 3, "--out", tmp_path / f"{name}.npz") == 0
        with np.load(tmp_path / f"{name}.npz") as file:
            np.testing.assert_array_equal(file["codes"], model.sample_codes(5, 3, name).numpy())


def test_a_run_that_is_trained_is_refused_and_held_meanwhile(run, command, tmp_path, capsys, monkeypatch):
    """The next snapshot of a training would be lost."""
    held = []
    real = fit_priors.fit_model_priors
    monkeypatch.setattr(fit_priors, "fit_model_priors", lambda *a, **k: (held.append(lock.exists()), real(*a, **k))[1])
    lock = run / ".lock"
    with RunFolder(run).locked():
        for out in ((), ("--out", run / "model", "--overwrite")):
            assert command("priors", run, "--priors", "gaussian", *out) == 2
            assert "run has been in use by process" in capsys.readouterr().err
        assert command("priors", run, "--priors", "gaussian", "--out", tmp_path / "other") == 0
    assert load(run).prior_names == ["normal"]
    assert command("priors", run / "model", "--priors", "gaussian") == 0
    assert held == [True, True]
    assert not lock.exists()


def test_the_model_may_be_saved_elsewhere(run, command, tmp_path, capsys):
    words = ("priors", run, "--priors", "gaussian", "--out", tmp_path / "other")
    assert command(*words) == 0
    assert load(run).prior_names == ["normal"]
    assert load(tmp_path / "other").prior_names == ["normal", "gaussian"]
    assert command(*words) == 2
    assert "other exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sample", "--prior", "kde"], "no prior 'kde'; available: normal; `vaegan priors` fits others"),
        (["priors", "--priors", "spline"], "spline"),
        (["priors", "--num", "9"], "only 9 codes to fit a prior to, and 20 are needed; use more images"),
        (["priors", "--by-label"], "no labels to fit priors by"),
    ],
)
def test_mistakes_are_told_in_one_line(run, command, capsys, words, told):
    assert command(words[0], run, *words[1:]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_model_that_is_nowhere_is_named(command, capsys):
    assert command("priors", "gone") == 2
    assert "gone is not a local folder; check the path, or set --out FOLDER" in capsys.readouterr().err


def test_a_model_told_nothing_draws_a_label_where_its_prior_knows_labels(told_images, tiny, command, tmp_path, capsys):
    run = tmp_path / "run"
    assert command("train", "digits", *tiny, "--data", told_images, "--out", run) == 0
    assert command("sample", run, "--label", "left") == 2
    assert "--label: this model is not label-conditional" in capsys.readouterr().err
    assert command("priors", run, "--priors", "gaussian", "--by-label") == 0
    assert "gaussian: label left, " in capsys.readouterr().out
    words = ("sample", run, "--prior", "gaussian", "--num", 6, "--out", tmp_path / "a.npz")
    assert command(*words, "--label", "right,left") == 0
    labels = torch.tensor([1, 1, 1, 0, 0, 0])
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["labels"], labels.numpy())
        np.testing.assert_array_equal(file["codes"], load(run).sample_codes(6, 0, "gaussian", labels).numpy())
    assert command("sample", run, "--label", "left", "--prior", "normal") == 2
    told = "--label: the prior 'normal' is not fitted by label; leave out --prior to use one that is"
    assert told in capsys.readouterr().err
    model = load(run)
    model.info["default_prior"] = "normal"
    model.save(run / "model")
    best = ("sample", run, "--num", 3, "--label", "right", "--out", tmp_path / "b.npz")
    assert command(*best) == 0, "the prior that knows labels is taken"
    assert command(*words, "--overwrite", "--label", "middle") == 2
    assert "no label 'middle'" in capsys.readouterr().err
    assert command(*words, "--overwrite", "--attribute", "right=1") == 2
    assert "--attribute: this model is not attribute-conditional" in capsys.readouterr().err


def test_a_label_that_no_prior_knows_is_told_as_such(run, command, capsys):
    """Also of a model without N(0, I), such as a published one."""
    assert command("priors", run, "--priors", "gaussian") == 0
    model = load(run)
    model.info |= {"normal_prior": False, "default_prior": "gaussian"}
    model.save(run / "model")
    capsys.readouterr()
    assert command("sample", run, "--label", "3") == 2
    assert "--label: this model is not label-conditional; train one" in capsys.readouterr().err
