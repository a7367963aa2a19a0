"""What the end of a run does about priors."""

from __future__ import annotations

import pytest
import torch

from vaegan.data import open_data
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.models import load
from vaegan.training import RunFolder

FILES = ("priors.safetensors", "priors.json", "model.safetensors", "config.json")


@pytest.fixture
def words(tiny):
    return ["train", "digits", *tiny, "--train.priors", "gaussian,mixture", "--seed", 2]


def contents(run):
    return {name: (run / "model" / name).read_bytes() for name in FILES}


def test_a_run_ends_with_fitted_priors_and_a_grid_of_the_likeliest(command, words, tmp_path, capsys):
    run = tmp_path / "run"
    assert command(*words, "--out", run) == 0
    told = capsys.readouterr().out
    assert "fitting priors to the codes: gaussian, mixture" in told
    assert "nats per held-out code" in told
    assert f"{run / 'samples-prior.png'}" in told
    model = load(run)
    assert model.prior_names == ["normal", "gaussian", "mixture"]
    assert model.info["default_prior"] == model.default_prior

    before, times = contents(run), (run / "model" / "priors.json").stat().st_mtime_ns
    assert command(*words, "--out", run) == 0
    assert (run / "model" / "priors.json").stat().st_mtime_ns == times, "a finished run fits nothing"

    RunFolder(run).write_status(finished=False)  # as if it had been killed just before the end
    (run / "model" / "priors.json").unlink()
    (run / "model" / "priors.safetensors").unlink()
    assert command(*words, "--out", run) == 0
    assert contents(run) == before


def test_priors_that_a_user_fitted_before_an_interrupted_run_is_finished_stay(command, words, tmp_path):
    run = tmp_path / "run"
    assert command(*words, "--out", run) == 0
    RunFolder(run).write_status(finished=False)
    (run / "model" / "priors.json").unlink()
    (run / "model" / "priors.safetensors").unlink()
    assert command("priors", run, "--priors", "kde") == 0
    assert command(*words, "--out", run) == 0
    assert {*load(run).prior_names} == {"normal", "gaussian", "mixture", "kde"}
    assert command(*words, "--out", run, "--train.epochs", 2) == 0
    assert "kde" not in load(run).prior_names, "they were of other weights"


def test_a_run_that_goes_on_has_the_priors_of_its_new_end(command, words, tmp_path):
    for out, epochs in (("one", [1, 2]), ("two", [2])):
        for num in epochs:
            assert command(*words, "--out", tmp_path / out, "--train.epochs", num) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


NO_ENCODER = ("--model.encoder.channels", "none", "--model.encoder.hidden", "none")


@pytest.mark.parametrize("options", [["--train.priors="], ["--model.kind", "gan", *NO_ENCODER]])
def test_nothing_is_fitted_where_none_is_wanted_or_nothing_encodes(command, words, tmp_path, options):
    assert command(*words, *options, "--out", tmp_path / "run") == 0
    assert load(tmp_path / "run").prior_names == ["normal"]
    assert not (tmp_path / "run" / "samples-prior.png").exists()


def test_too_few_images_for_a_prior_end_no_run(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vaegan.priors.fit._FEWEST", 1000)
    assert command(*words, "--out", tmp_path / "run") == 0
    assert "no priors fitted: only" in "".join(capsys.readouterr())
    assert load(tmp_path / "run").prior_names == ["normal"]


def test_the_best_model_gets_priors_of_its_own_codes(command, words, images_file, tmp_path, monkeypatch):
    run, scores = tmp_path / "run", iter([1.0, 2.0])
    monkeypatch.setattr("vaegan.training.best_model.quick_scores", lambda *a, **k: {"frechet_samples": next(scores)})
    chosen = ["--train.best-metric", "fd", "--train.snapshot-epochs", 1]
    assert command(*words, *chosen, "--train.epochs", 2, "--out", run) == 0
    last, best = load(run), load(run, which="best")
    assert best.info["images"] < last.info["images"]
    assert best.prior_names == last.prior_names == ["normal", "gaussian", "mixture"]
    given = best.priors["gaussian"].mean
    fit_model_priors(best, open_data(str(images_file)).train, names=["gaussian"], seed=2)
    assert torch.equal(given, best.priors["gaussian"].mean)
    assert not torch.allclose(given, last.priors["gaussian"].mean, atol=1e-4)


def test_a_run_whose_last_model_is_the_best_fits_once(command, words, tmp_path, monkeypatch, capsys):
    run, scores = tmp_path / "run", iter([2.0, 1.0])
    monkeypatch.setattr("vaegan.training.best_model.quick_scores", lambda *a, **k: {"frechet_samples": next(scores)})
    chosen = ["--train.best-metric", "fd", "--train.snapshot-epochs", 1]
    assert command(*words, *chosen, "--train.epochs", 2, "--out", run) == 0
    assert capsys.readouterr().out.count("gaussian: log p(z)") == 1
    for name in FILES[:2]:
        assert (run / "model" / name).read_bytes() == (run / "best" / name).read_bytes()
