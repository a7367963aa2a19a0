"""The script that measures a long run's checkpoints: its command, a tiny run end to end, and its verdict."""

from __future__ import annotations

import pytest
import torch

from vaegan import load
from vaegan.cli import train
from vaegan.cli.parse import parse
from vaegan.recipes import config_for


@pytest.fixture
def script(study_script):
    return study_script("ten_times_as_long")


def test_the_run_is_the_recipe_s_but_ten_times_as_long_and_keeps_every_checkpoint(script, tmp_path):
    name, *words = script.training(tmp_path, ["--data.root", "somewhere"], 8)
    assert name == "train"
    settings = parse(train.Options, words, name).settings
    recipe = config_for(script.RECIPE)
    assert settings.train.epochs == 10 * recipe.train.epochs
    assert settings.train.keep_checkpoints > settings.train.epochs / settings.train.snapshot_epochs
    assert (settings.model, settings.loss, settings.optim) == (recipe.model, recipe.loss, recipe.optim)


def test_each_checkpoint_is_measured_once(script, tmp_path, command, capsys):
    run = tmp_path / "run"
    words = [
        "--train.images",
        512,
        "--train.snapshot-epochs",
        0.15,
        "--train.keep-checkpoints",
        9,
        "--train.priors",
        "gaussian",
    ]
    assert command("train", "digits", *words, "--train.best-metric", "none", "--out", run) == 0
    paths = script.list_checkpoints(run / "checkpoints")
    z, model = torch.randn(3, load(run).latent_dim), load(run)
    assert torch.equal(script.model_at(run, paths[-1]).decode(z), model.decode(z))
    assert not torch.equal(script.model_at(run, paths[-2]).decode(z), model.decode(z))
    results = script.measure_run(run, 50, 2)
    assert [row["images"] for row in results["checkpoints"]] == [int(path.stem) for path in paths[1:]]
    assert len(results["checkpoints"]) >= 2
    for row in results["checkpoints"]:
        shares = [figure["value"] for name, figure in row["samples"].items() if name.startswith("share of ")]
        assert sum(shares) == pytest.approx(1)
        assert row["samples"]["rarest_share"]["value"] == min(shares)
        assert row["distances"][0] != row["distances"][1]
        assert row["samples"]["frechet_distance"]["value"] == pytest.approx(sum(row["distances"]) / 2)
        assert row["reconstructions"]["frechet_distance"]["num"] == 50
        assert row["total"] == sum(row[kind]["frechet_distance"]["value"] for kind in ("samples", "reconstructions"))
    capsys.readouterr()
    assert script.measure_run(run, 50, 2) == results
    assert "measured" not in capsys.readouterr().out
    script.save_chart(script.draw(results), tmp_path / "figures.png")
    assert (tmp_path / "figures.png").stat().st_size > 10_000
    assert script.table(results).count("\n") == 3 + len(results["checkpoints"])


def test_the_verdict_names_what_is_lost(script):
    def figure(value):
        return {"value": value, "low": value, "high": value}

    def checkpoint(images, rarest, distance):
        samples = {"rarest_share": figure(rarest), "frechet_distance": figure(distance), "coverage": figure(0.9)}
        return {
            "images": images,
            "samples": samples,
            "distances": [distance, distance + 0.2],
            "reconstructions": {"frechet_distance": figure(1.0)},
            "total": distance + 1.0,
        }

    stable = script.verdict(
        {"checkpoints": [checkpoint(1, 0.08, 2.0), checkpoint(2, 0.09, 1.0), checkpoint(3, 0.09, 1.05)]}
    )
    assert "0.080 or more at each of 3 checkpoints: no digit is lost" in stable[0]
    assert "1.000 at its best, 1.050 at its worst after that and 1.050 at the end" in stable[1]
    assert "the worst is within a tenth of the best and the end is within a tenth of the best" in stable[1]
    assert "The largest rise above the best so far is 5.0%, after 3 images." in stable[1]
    assert "2.000 at its best, 2.050 at its worst" in stable[3]
    assert "standard deviation of 0.141" in stable[4]
    lost = script.verdict(
        {"checkpoints": [checkpoint(1, 0.08, 1.0), checkpoint(2, 0.06, 3.0), checkpoint(3, 0.08, 1.08)]}
    )
    assert "below the limit of 0.07" in lost[0]
    assert "3.000 at its worst after that and 1.080 at the end" in lost[1]
    assert "The largest rise above the best so far is 200.0%, after 2 images." in lost[1]
    assert "the worst is not within a tenth of the best and the end is within a tenth of the best" in lost[1]
