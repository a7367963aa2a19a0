"""Studies: intervals, verdicts and tables of made-up results, names of runs, saved results, one study end to end."""

from __future__ import annotations

import importlib
import json
import math
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from vaegan.errors import UserError

ROOT = Path(__file__).parents[1]
MOST_PIXELS = 0.0005
"""Share of a chart's pixels that may differ much: room for another version of matplotlib, none for other values."""


@pytest.fixture(autouse=True)
def _scripts(study_script):
    """Import the studies as when they run as scripts."""


def test_every_script_can_be_imported(monkeypatch):
    import requests  # noqa: F401  # the library, before the benchmark of that name can be found

    for path in sorted([*ROOT.glob("studies/*.py"), *ROOT.glob("benchmarks/*.py")]):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(path.parent))
            runpy.run_path(str(path), run_name="imported")


def made_up(**variants):
    """Results with one metric, ``share``, of each variant and seed."""
    from common.results import Results

    results = Results()
    for variant, values in variants.items():
        for seed, value in enumerate(values):
            results.add(variant, seed, 100, {} if value is None else {"share": value})
    return results


def test_differences_are_taken_seed_by_seed():
    results = made_up(a=[1.0, 2.0, 3.0], b=[0.5, 1.5, None])
    gap = results.gap("a", "b", "share")
    assert (gap.mean, gap.half, gap.n) == (0.5, 0.0, 2)
    assert results.diverged("b") == 1


def test_a_table_is_markdown():
    from common.results import table_of

    lines = table_of(made_up(a=[1.0, 1.0], b=[2.0, 3.0]), [("share of it", "share")], first="variant").splitlines()
    assert lines[:3] == ["| variant | share of it |", "| --- | ---: |", "| a | 1.00 ± 0.00 |"]
    assert lines[3].startswith("| b | 2.5 ± 6.4")


def test_a_run_s_name_follows_what_its_steps_depend_on(tmp_path):
    from common.bases import mlp
    from common.runs import run_name

    name = run_name(mlp(), 100)
    assert name == run_name(mlp({"train.images": 5, "data.root": tmp_path, "device": "cpu"}), 200)
    changed = {
        run_name(mlp({setting: value}), 100) for setting, value in (("seed", 1), ("loss.gamma", 2), ("data.limit", 9))
    }
    assert len(changed | {name}) == 4
    assert name.startswith("vaegan-mlp-")
    falling = mlp({"optim.schedule": "cosine"})
    assert run_name(falling, 100) != run_name(falling, 200)


def test_the_index_names_every_study():
    from index import NAMES, index, studies

    assert [study.number for study in studies()] == list(range(1, 12))
    assert [study.name for study in studies()] == list(NAMES)
    assert all(study.seeds >= 3 for study in studies())
    assert index(ROOT / "docs") == (ROOT / "docs/studies/README.md").read_text(encoding="utf-8")
    scripts = (ROOT / "studies").glob("*.py")
    assert {path.stem for path in scripts if "STUDY = Study(" in path.read_text(encoding="utf-8")} == set(NAMES)


def test_results_save_what_was_read_and_no_more(tmp_path):
    from common.results import Results, read_results

    results = Results({"seeds": 1}, extras={"k": 10})
    strip = np.arange(24, dtype=np.uint8).reshape(4, 6)
    results.strips |= {"first": strip, "second": 255 - strip}
    for images in (100, 200):
        results.add("a", 0, images, {"share": 1 / 3, "entropy": math.inf, "shares": [0.1, 0.9], "mse": 2.0})
        results.add("b", 0, images, {})
    assert results.values("a", "share") == [0.33333333]
    assert math.isnan(results.values("a", "entropy")[0])
    results.save(tmp_path / "one.json")
    again = read_results(tmp_path / "one.json")
    assert [row["metrics"] for row in again.rows] == [{}, {"share": 0.33333333, "entropy": None}, {}]
    assert (again.about, again.extras, again.variants) == (results.about, results.extras, ["b", "a"])
    assert again.diverged("b") == 1
    assert list(again.strips) == ["first", "second"]
    assert np.array_equal(again.strips["second"], 255 - strip)
    with pytest.raises(UserError, match="no 'mse' of 'a'"):
        again.values("a", "mse")


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "docs" / "studies").glob("*.json"))])
def test_saved_results_give_page_and_chart_again(name, tmp_path):
    from common.charts import save_chart
    from common.results import read_results
    from PIL import Image

    study = importlib.import_module(name).STUDY
    saved = ROOT / "docs" / "studies" / f"{name}.json"
    results = read_results(saved)
    statements = study.judge(results)
    page = study.page(results, statements)
    assert all(re.search(r"\d ± \d|interval", str(s.answer)) for s in statements if s.answer.kind.startswith("n"))
    assert "unclear" not in page.lower()
    assert page == saved.with_suffix(".md").read_text(encoding="utf-8")
    save_chart(study.draw(results), tmp_path / "chart.png")
    drawn, committed = (
        np.asarray(Image.open(path).convert("RGB")).astype(int)
        for path in (tmp_path / "chart.png", ROOT / "docs" / "images" / "studies" / f"{name}.png")
    )
    assert drawn.shape == committed.shape
    assert (np.abs(drawn - committed).max(2) > 64).mean() < MOST_PIXELS
    results.save(tmp_path / saved.name)
    assert (tmp_path / saved.name).read_text(encoding="utf-8") == saved.read_text(encoding="utf-8")


def test_lost_digits_are_not_those_never_drawn():
    from longer_training import NORMAL, TINY, judge

    def verdict(early, late):
        from common.results import Results

        results = Results()
        for name in (TINY, NORMAL):
            for seed in range(3):
                for mark, share in ((1, early), (2, early), (3, late)):
                    results.add(name, seed, mark, {"rarest": share + 0.001 * seed, "coverage": 0.5})
        return judge(results)[0].answer.kind

    assert verdict(0.08, 0.03) == "confirmed"
    assert verdict(0.08, 0.079) == "no difference"
    assert verdict(0.05, 0.08) == "refuted"
    assert verdict(0.001, 0.001) == verdict(0.001, 0.08) == "premise not met"


def test_nothing_is_cured_where_no_digit_is_rare():
    from common.results import Results
    from minibatch_discrimination import CELLS, judge

    def verdicts(plain):
        results = Results()
        for name, (on, _) in CELLS.items():
            for seed in range(3):
                results.add(name, seed, 1, {"rarest": 0.09 if on else plain, "coverage": 0.5})
        return [str(statement.answer) for statement in judge(results)]

    assert verdicts(0.02) == ["confirmed", "no difference larger than 0.01 in the rarest digit's share (0.00 ± 0.00)"]
    assert verdicts(0.08) == ["premise not met: no digit is rare without it"] * 2


def test_one_run_with_images_refutes_that_there_are_none():
    from common.results import Results
    from norm_order import CELLS, judge

    def verdicts(first, second):
        results = Results(extras={"blank": 100.0})
        for name, (order, _) in CELLS.items():
            for seed, good in enumerate(first if order == "norm first" else second):
                results.add(name, seed, 1, {"frechet": 10.0 if good else 90.0})
        return {statement.answer.kind for statement in judge(results)}

    assert verdicts((1, 1, 1), (0, 0, 0)) == {"confirmed"}
    assert verdicts((1, 1, 1), (0, 1, 0)) == verdicts((1, 0, 1), (0, 1, 0)) == {"refuted"}
    assert verdicts((1, 0, 1), (0, 0, 0)) == {"premise not met"}


def test_a_schedule_that_harms_is_not_easier():
    from common.results import Results
    from kl_schedules import SCHEDULES, judge

    def verdicts(**changes):
        results = Results()
        for name in SCHEDULES:
            for seed in range(3):
                errors = changes.get(name, (100, 100))
                errors = errors[seed] if isinstance(errors, list) else errors
                names = ("feature_error", "frechet", "nats")
                results.add(name, seed, 1, {} if errors is None else dict(zip(names, (*errors, 5), strict=True)))
        return [statement.answer.kind for statement in judge(results)]

    assert verdicts() == ["no difference"] * 4
    assert verdicts(sigmoid=(80, 100), exp=(90, 120)) == ["no difference", "confirmed", "confirmed", "confirmed"]
    assert verdicts(sigmoid=(80, 120), exp=(90, 100)) == ["no difference", "refuted", "confirmed", "refuted"]
    assert verdicts(exp=None)[2:] == ["confirmed"] * 2
    diverging = [(80, 80), (81, 80), None]
    assert verdicts(sigmoid=diverging)[1] == "refuted"
    assert verdicts(**{"sigmoid": diverging, "1": [(100, 100), (101, 100), None]})[1] == "confirmed"


def test_a_mark_that_a_run_has_passed_gets_a_run_of_its_own(tmp_path):
    from common.bases import mlp
    from common.runs import Runs

    config = mlp({"data": "digits", "train.precision": "fp32", "train.batch_size": 64, "data.limit": 128})
    runs = Runs(tmp_path)
    late = runs.at(config, 200)
    early = runs.at(config, 100)
    weights = [next(checkpoint.model().decoder.parameters()) for checkpoint in (early, late, runs.at(config, 200))]
    assert not weights[0].equal(weights[1])
    assert weights[1].equal(weights[2])
    assert [path.name for path in sorted(late.folder.parent.iterdir())] == ["000000100", "000000200", "run"]


def test_only_a_run_with_a_constant_rate_is_saved_on_the_way():
    from argparse import Namespace
    from types import SimpleNamespace

    from common.bases import SHARED_MARKS, conv, mlp
    from common.lab import Lab

    runs = SimpleNamespace(at=lambda config, images, earlier: earlier)
    lab = Lab(Namespace(root=None, data=None, set={}), runs)
    configs = (conv(), conv({"optim.schedule": "cosine"}), mlp())
    assert [lab.checkpoint(config, 0, 200_000) for config in configs] == [SHARED_MARKS, (), ()]


def test_a_diverged_run_is_a_result(tmp_path):
    from common.bases import mlp
    from common.runs import Diverged, Runs

    config = mlp({"data": "digits", "train.precision": "fp32", "optim.lr": 1e30, "data.limit": 256})
    for _ in range(2):
        with pytest.raises(Diverged):
            Runs(tmp_path).at(config, 512)


@pytest.mark.parametrize(
    "name", ["longer_training", "latent_gaps", "kl_alone", "kmeans_digits", "attribute_vectors", "cluster_methods"]
)
def test_a_page_is_written_where_all_runs_diverge(name, tmp_path, monkeypatch, capsys):
    import cluster_methods
    from common.runs import Diverged, Runs
    from common.study import run_study

    def at(self, config, images, earlier=()):
        raise Diverged("the loss of the encoder is not finite")

    monkeypatch.setattr(Runs, "at", at)
    monkeypatch.setattr(cluster_methods, "pick_algorithm", lambda name: None)
    words = ["--seeds", "2", "--images", "64", "--samples", "50", "--data", "digits", "--docs", str(tmp_path)]
    assert run_study(importlib.import_module(name).STUDY, words) == 0, capsys.readouterr().err
    assert run_study(importlib.import_module(name).STUDY, ["--docs", str(tmp_path), "--redraw"]) == 0


@pytest.mark.slow
def test_a_study_from_end_to_end_and_drawn_again(tmp_path, monkeypatch, capsys):
    import common.measures
    import common.runs
    from common.study import run_study
    from index import main
    from kmeans_digits import STUDY

    monkeypatch.setattr(common.measures, "EXTRACTOR", "pixels")
    docs = tmp_path / "docs"
    words = ["--data", "digits", "--seeds", "2", "--images", "256", "--samples", "200", "--docs", docs]
    words += ["--work", tmp_path / "runs", "--set", "train.precision", "fp32", "--set", "model.latent_dim", "4"]
    assert run_study(STUDY, list(map(str, words))) == 0
    page = (docs / "studies/kmeans_digits.md").read_text(encoding="utf-8")
    picture = docs / "images/studies/kmeans_digits.png"
    assert picture.stat().st_size > 10_000
    assert all((docs / "studies" / link).is_file() for link in re.findall(r"\]\(([^)]+)\)", page))
    assert {"pixels", "4 components", "VAE/GAN"} <= set(re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE))
    saved = json.loads((docs / "studies/kmeans_digits.json").read_text(encoding="utf-8"))
    assert {row["seed"] for row in saved["rows"]} == {0, 1}
    picture.unlink()
    assert run_study(STUDY, ["--docs", str(docs), "--redraw"]) == 0
    assert picture.is_file()
    assert (docs / "studies/kmeans_digits.md").read_text(encoding="utf-8") == page
    assert main(["--docs", str(docs)]) == 0
    index = (docs / "studies/README.md").read_text(encoding="utf-8")
    assert index.count("not run yet") == 10
    verdicts = re.findall(r"^\* \*\*(.+?)\*\*: (.+?\.) ", page, re.MULTILINE)
    assert len(verdicts) == 4
    assert all(f"**{verdict[0].lower()}{verdict[1:]}**: {text}" in index for verdict, text in verdicts)

    trained, train = [], common.runs.train
    monkeypatch.setattr(common.runs, "train", lambda config, *rest: (trained.append(config.seed), train(config, *rest)))
    words[words.index("--seeds") + 1] = "3"
    assert run_study(STUDY, list(map(str, words))) == 0
    assert trained == [2, 2, 2]
    more = json.loads((docs / "studies/kmeans_digits.json").read_text(encoding="utf-8"))
    assert [row for row in more["rows"] if row["seed"] < 2] == saved["rows"]
    capsys.readouterr()


def test_a_page_says_how_to_get_the_missing_seeds():
    from common.results import Statement
    from common.statistics import Answer
    from latent_gaps import STUDY

    def made_of(drop):
        results = made_up()
        for name, values in {"AE": drop, "VAE": (0.0, 0.0, 0.0), "VAE/GAN": drop}.items():
            names = ("normal", "fitted", "middle", "ends", "ends_confidence", "middle_confidence", "unsure", "leap")
            for seed, value in enumerate(values):
                results.add(name, seed, 1, dict.fromkeys(names, 1.0) | {"drop": value})
        about = {"source": "mnist", "seeds": 3, "images": 1000, "samples": 10, "seconds": 300, "set": {"z": 4}}
        results.about |= about | {"machine": "m", "threads": 1, "torch": "2", "marks": "1"}
        return results

    def page(drop):
        results = made_of(drop)
        statements = STUDY.judge(results)
        return statements[1].answer.seeds, STUDY.page(results, statements)

    seeds, words = page((0.0, 0.03, 0.05))
    assert seeds > 3
    assert f"`python studies/latent_gaps.py --data.root DIR --seeds {seeds} --images 1000 --set z 4`" in words
    assert f"trains the {seeds - 3} missing seeds (about {100 * (seeds - 3) / 60:.0f} minutes" in words
    assert "To decide" not in page((0.05, 0.05, 0.05))[1]
    with_three = [Statement("It is.", Answer("needs more seeds", "needs about 3 seeds", 3), "Seen.")]
    assert "To decide" not in STUDY.page(made_of((0.0, 0.0, 0.0)), with_three)  # as when some of three runs diverged


def test_pages_say_how_long_each_run_was_and_name_a_folder_only_of_data_that_have_one():
    from common.results import Results
    from latent_regularisers import STUDY

    results = Results({"seeds": 1, "images": 1000, "samples": 10, "seconds": 30, "set": {}, "machine": "m"})
    results.about |= {"source": STUDY.source, "threads": 1, "torch": "2"}
    for variant, images in (("plain", 1000), ("equivariance", 1000), ("alignment", 1000), ("both", 100)):
        results.add(variant, 0, images, dict.fromkeys(("mse", "turned", "fine", "nats", "probe"), 1.0))
    page = STUDY.page(results, STUDY.judge(results))
    assert "1 seeds, up to 1,000 training images per run" in page
    assert "`python studies/latent_regularisers.py --seeds 3 --images 1000`" in page


def test_methods_of_clustering_are_compared(monkeypatch):
    """Codes in three clouds: every method finds them, and new ones join; verdicts follow bounds and k-means."""
    from types import SimpleNamespace

    import cluster_methods
    import torch
    from common.results import Results

    z, labels = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    z[:, 0] += 30 * labels
    monkeypatch.setattr(cluster_methods, "train_codes", lambda model, reference: z + 0.1)
    reference = SimpleNamespace(x=z, labels=labels, data=SimpleNamespace(train=SimpleNamespace(labels=labels.numpy())))
    embedded = SimpleNamespace(fit_transform=lambda z: z[:, :2])
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=lambda *sizes, **settings: embedded))
    model = SimpleNamespace(encode=lambda x: x)
    metrics = cluster_methods.method_metrics(model, reference) | cluster_methods.probe_metrics(model, reference)
    assert [metrics[f"accuracy_{name}"] for name in ("kmeans", "mixture", "manifold", "probe")] == [1, 1, 1, 1]
    results = Results()
    for name, values in {"AE": (0.96, 0.7), "VAE/GAN": (0.8, 0.85)}.items():
        for seed in range(5):
            shares = {"accuracy_manifold": values[0] + seed / 1e4, "accuracy_kmeans": values[1]}
            results.add(name, seed, 1, shares)
    assert [s.answer.kind for s in cluster_methods.judge(results)] == ["confirmed", "confirmed", "refuted", "refuted"]


def test_vectors_are_measured_by_the_classifier():
    """Codes that equal the attributes: along a vector of length one, its attribute flips and nothing else."""
    from types import SimpleNamespace

    import torch
    from attribute_vectors import ATTRIBUTES, vector_metrics

    from vaegan.data import ImageSet

    rng = np.random.default_rng(0)
    attributes = rng.integers(0, 2, (400, len(ATTRIBUTES))).astype(np.float32)
    images = (255 * attributes.astype(np.uint8))[:, None, :, None]
    model = SimpleNamespace(encode=lambda x: x.flatten(1), decode=lambda z: z)
    reference = SimpleNamespace(
        data=SimpleNamespace(train=ImageSet(images, [], attributes=attributes, attribute_names=ATTRIBUTES)),
        extractor=SimpleNamespace(
            attribute_names=ATTRIBUTES, features=lambda x: x, attribute_probabilities=lambda f: (f - 0.1).clamp(0, 1)
        ),
        x=torch.from_numpy(attributes[:, None, None]),
        rows=np.arange,
    )
    metrics = vector_metrics(model, reference)
    assert metrics["flipped 1"] == 1.0
    assert metrics["flipped 0.25"] == 0.0
    assert metrics["others 1"] < 0.1
    assert metrics["random 1"] < 0.5


def test_redrawing_without_results_is_a_one_line_error(tmp_path, capsys):
    from common.results import read_results
    from common.study import run_study
    from norm_order import STUDY

    assert run_study(STUDY, ["--docs", str(tmp_path), "--redraw"]) == 2
    assert "run it without --redraw first" in capsys.readouterr().err
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match="another version"):
        read_results(tmp_path / "old.json")
