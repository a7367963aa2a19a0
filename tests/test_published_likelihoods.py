"""The script on published likelihoods: its commands, how runs are measured, and its table, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from vaegan.cli import train
from vaegan.cli.parse import parse


@pytest.fixture
def script(study_script):
    return study_script("published_likelihoods")


def test_every_command_parses(script, tmp_path):
    commands = script.trainings(list(script.VARIANTS), [1], tmp_path, 2, ["--train.images", "300"])
    assert [Path(words[-1]).name for words, _ in commands] == [f"{variant}-1" for variant in script.VARIANTS]
    settings = [parse(train.Options, words[1:], "train").settings for words, _ in commands]
    for (words, _), config in zip(commands, settings, strict=True):
        variant = Path(words[-1]).name.rpartition("-")[0]
        assert config.data.binarize == variant.rpartition("-")[2]
        assert (config.loss.draws > 1) == variant.startswith("iwae")
        assert (config.loss.likelihood, config.loss.kl_weight, config.model.kind) == ("bernoulli", 1.0, "vae")
        assert config.model.encoder.hidden == ((400,) if variant == "vae-fixed" else (200, 200))
        assert (config.model.network, config.model.encoder.norm) == ("mlp", "none")
        assert (config.train.epochs, config.train.images) == (2, 300)


def test_a_run_is_measured_once_with_the_draws_of_its_source(script, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(script.side_by_side, "vaegan", lambda words: (called.append(words), 0)[1])
    for name, draws, expected in (("vae-fixed-0", None, "200"), ("iwae-50-dynamic-1", None, "5000"), ("x", 7, "7")):
        assert script.measured(50, draws)(tmp_path / name) == 0
        assert called[-1][:6] == ["evaluate", str(tmp_path / name), "--num", "50", "--draws", expected]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "evaluation.json").touch()
    found = {"data": {"num": 40, "available": 40}, "draws": 7, "extractor": {"name": "pixels"}}
    monkeypatch.setattr(script.side_by_side, "OpenedRun", lambda run: SimpleNamespace(evaluation=lambda: found))
    assert script.measured(50, 7)(tmp_path / "x") == 0
    assert len(called) == 3
    others = found | {"extractor": {"name": "classifier"}}
    for num, draws, of_these_weights in ((50, 8, found), (30, 7, found), (50, 7, None), (50, 7, others)):
        found = of_these_weights
        script.measured(num, draws)(tmp_path / "x")
        assert called.pop()[2:6] == ["--num", str(num), "--draws", str(draws)]
        assert len(called) == 3


def test_the_table_has_ours_beside_theirs(script, tmp_path):
    for variant, published in script.VARIANTS.items():
        for seed, change in ((0, 0.4), (1, 0.6)):
            (run := tmp_path / f"{variant}-{seed}").mkdir()
            report = {"likelihood": {"importance_bound": {"value": -published.published - change}}}
            (run / "evaluation.json").write_text(json.dumps(report))
    nats = script.results(list(script.VARIANTS), [0, 1], tmp_path)
    lines = script.table(nats).splitlines()
    assert lines[2] == "| vae-fixed | 90.40 ± 1.27 | 2 | 89.90 | +0.50 | 89.78 | 200 | arXiv:1505.05770 |"
    assert lines[-1].startswith("| iwae-50-dynamic | 85.28 ± 1.27 | 2 | 84.78 | +0.50 | – | 5,000 | arXiv:1509.00519")
    assert "| 85.18 (one run) | 1 |" in script.table({"iwae-50-dynamic": [85.18]})
    assert "| – | 7 | arXiv" in script.table({"iwae-50-dynamic": [85.18]}, draws=7)
