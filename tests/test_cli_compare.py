from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
import statistics

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from vaegan.cli import main
from vaegan.cli.evaluate import MetricOptions
from vaegan.data import open_data
from vaegan.evaluation.measure import evaluate
from vaegan.metrics.extractors.features import open_extractor
from vaegan.models import load
from vaegan.runs.run_folder import RunFolder
from vaegan.training import snapshots

NUM = 40
KINDS = {"ae": "AE", "vae": "VAE", "gan": "GAN", "vae-dis-l": "VAE_Dis_l"}


@pytest.fixture(scope="module")
def runs(tiny, tiny_of, tmp_path_factory):
    """A run of each kind, and a second VAE/GAN of another seed."""
    folder = tmp_path_factory.mktemp("runs")
    patch = pytest.MonkeyPatch()
    patch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
    for kind in KINDS:
        metric = ["--loss.metric", str(folder / "gan")] if kind == "vae-dis-l" else []
        more = ["--loss.likelihood", "gaussian"] if kind in ("ae", "vae") else metric
        more += ["--train.priors", "gaussian"] if kind == "ae" else []
        assert main(["train", *tiny_of(kind), *more, "--out", str(folder / kind)]) == 0
    for seed in ("0", "1"):
        assert main(["train", *tiny, "--seed", seed, "--out", str(folder / f"vaegan-{seed}")]) == 0
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def compare(runs, tmp_path_factory):
    """Run ``vaegan compare`` with few images, compared as pixels."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*words, num=NUM):
        return main(
            ["compare", *map(str, words), "--num", str(num), "--extractor", "pixels", "--data.cache", str(cache)]
        )

    return run


@pytest.fixture(scope="module")
def all_of_them(runs, compare, tmp_path_factory):
    """Page, JSON and table of all runs."""
    out = tmp_path_factory.mktemp("out") / "all.html"
    names = ("ae", "vae", "gan", "vae-dis-l", "vaegan-0", "vaegan-1")
    assert compare(*(runs / name for name in names), "--out", out, "--markdown", out.with_suffix(".md")) == 0
    return out


@pytest.fixture(scope="module")
def found(all_of_them):
    return json.loads(all_of_them.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def data(images_file):
    return open_data(images_file)


def evaluated(path, data, seed=0):
    return evaluate(load(path), data, extractor=open_extractor("pixels", data), num=NUM, seed=seed)


def test_the_json_holds_what_evaluate_finds(found, runs, data):
    assert [model["name"] for model in found["models"]] == [*KINDS.values(), "VAE/GAN"]
    assert found["data"]["fingerprint"] == data.fingerprint
    vae = evaluated(runs / "vae", data)
    for group, figures in {
        "samples of normal": vae["samples"]["normal"],
        "reconstructions": vae["reconstructions"],
        "likelihood": vae["likelihood"],
    }.items():
        for name, one in figures.items():
            there = found["figures"][group][name]["models"]["VAE"]
            assert {key: there[key] for key in ("value", "low", "high")} == {
                key: one[key] for key in ("value", "low", "high")
            }, name
            assert there["spread"] is None
    assert found["yardstick"] == vae["yardstick"]


def test_seeds_are_put_together(found, runs, data):
    values = [
        evaluated(runs / f"vaegan-{seed}", data)["samples"]["normal"]["frechet_distance"]["value"] for seed in (0, 1)
    ]
    there = found["figures"]["samples of normal"]["frechet_distance"]["models"]["VAE/GAN"]
    half = 12.7062 * statistics.stdev(values) / math.sqrt(2)
    assert there["values"] == values
    assert there["value"] == pytest.approx(statistics.fmean(values))
    assert (there["low"], there["high"]) == pytest.approx((there["value"] - half, there["value"] + half), rel=1e-4)
    assert there["spread"]["value"] == pytest.approx(statistics.stdev(values))
    s = there["spread"]["value"]
    assert there["spread"]["high"] == pytest.approx(s / math.sqrt(stats.chi2.ppf(0.025, 1)))
    assert [run["seed"] for run in found["models"][-1]["runs"]] == [0, 1]


def test_costs_are_those_of_the_runs(found, runs):
    costs = found["figures"]["cost"]
    records = [r for r in RunFolder(runs / "gan").records() if "images_per_second" in r]
    ends = [0, *(r["images"] for r in records)]
    seconds = sum(
        (end - start) / r["images_per_second"] for start, end, r in zip(ends, ends[1:], records, strict=False)
    )
    assert costs["training_seconds"]["models"]["GAN"]["value"] == pytest.approx(seconds)
    model = load(runs / "gan")
    num = sum(p.numel() for p in model.decoder.parameters())
    assert costs["decoder_parameters"]["models"]["GAN"]["value"] == num
    assert costs["encoder_parameters"]["models"]["GAN"]["value"] is None
    operations = {name: one["value"] for name, one in costs["training_operations"]["models"].items()}
    assert operations["AE"] < operations["VAE_Dis_l"] < operations["VAE/GAN"]


def test_missing_parts_are_missing_and_said(found, all_of_them):
    figures = found["figures"]
    assert figures["reconstructions"]["mse"]["models"]["GAN"]["value"] is None
    assert figures["samples of normal"]["coverage"]["models"]["AE"]["value"] is None
    assert figures["likelihood"]["elbo"]["models"]["AE"]["value"] is None
    assert figures["likelihood"]["gap_sliced"]["models"]["AE"]["value"] is not None
    page = all_of_them.read_text()
    assert "AE is left out: it has no prior normal." in page
    assert "VAE is left out: it has no prior gaussian." in page
    assert "GAN is left out: this model is a GAN and has no encoder" in page


def test_each_model_draws_from_its_own_prior(found, all_of_them):
    figures = found["figures"]
    for name, one in figures["samples"]["frechet_distance"]["models"].items():
        prior = "gaussian" if name == "AE" else "normal"
        assert one == figures[f"samples of {prior}"]["frechet_distance"]["models"][name]
    assert "AE: gaussian; VAE: normal; GAN: normal;" in all_of_them.read_text()
    assert all_of_them.with_suffix(".md").read_text().count("coverage") == 1


def test_verdicts_follow_from_the_intervals(found):
    better = {"low": 1, "high": -1}
    seen = 0
    for rows in found["figures"].values():
        for name, row in rows.items():
            if name.startswith("frechet"):  # of few images
                assert (row["best"], row["overlapping"]) == (None, [])
                continue
            there = {n: one for n, one in row["models"].items() if one["value"] is not None}
            sure = {n: one for n, one in there.items() if one["low"] is not None and one["low"] < one["high"]}
            if row["better"] not in better or len(there) < 2 or len(sure) < len(there):
                continue
            sign = better[row["better"]]
            ends = {n: sorted((sign * one["low"], sign * one["high"])) for n, one in there.items()}
            first = min(there, key=lambda n: sign * there[n]["value"])
            near = {n for n in there if n != first and ends[n][0] <= ends[first][1]}
            seen += 1
            assert (row["best"] == first) == (not near)
            assert set(row["overlapping"]) == ({first} | near if near else set())
    assert seen > 10


def test_the_page_shows_the_same(found, all_of_them):
    page = all_of_them.read_text()
    assert "6 runs of 5 models" in page
    for name in ("AE", "VAE", "GAN", "VAE_Dis_l", "VAE/GAN"):
        assert f'<th scope="col">{name}</th>' in page
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", page) == []
    assert len(re.findall(r'<img [^>]*alt="Images of', page)) == 1 + 4 + 4 + 5 + 4 + 1  # originals ..., worst, samples
    sections = re.findall(r'<section id="([\w-]+)"', page)
    assert sections == ["reconstructions", "samples", "summary", "details"]
    unfolded = page.split('<section id="details"')[0]
    assert len(re.findall(r'<img [^>]*alt="Images of', unfolded)) == 1 + 4 + 4 + 5  # no samples of single priors
    header = page.split("</header>")[0]
    assert "9 held-out images are too few to conclude by Fréchet distance; take 250 (training" in header
    assert "Clear wins, other metrics: " in header
    marked = sum(bool(row["best"]) for rows in found["figures"].values() for row in rows.values())
    assert 0 < marked <= page.count("★") - 1
    assert str(all_of_them.parent) not in page


def test_the_page_shows_where_the_errors_lie(all_of_them, runs, data):
    """Maps of all models have one scale; the images that a model reconstructs worst come first."""
    page, errors = all_of_them.read_text(), {}
    x = torch.from_numpy(data.test.images).movedim(-1, 1) / 255
    for name, run in {"AE": "ae", "VAE": "vae", "VAE_Dis_l": "vae-dis-l"}.items():
        errors[name] = (load(runs / run).reconstruct(x) - x).square()
    both = [(load(runs / f"vaegan-{seed}").reconstruct(x) - x).square() for seed in (0, 1)]
    errors["VAE/GAN"] = torch.stack(both).mean(0)
    maps = {name: each.mean((0, 1)) for name, each in errors.items()}
    peak = max(float(each.max()) for each in maps.values())
    assert f"over 9 held-out images (and all runs of a model). One scale for all: black is 0, white {peak:.3g}." in page
    for name, each in maps.items():
        assert (
            f"<figcaption>{name}: mean {float(each.mean()):.3g}, highest {float(each.max()):.3g}</figcaption>" in page
        )
        tiles = pixels_of(page, f"Errors of {name}")[2:-2, 2:-2]
        assert tiles.shape == (200, 200)
        assert np.abs(tiles[::25, ::25] - each.numpy() / peak * 255).max() < 0.51
    strips = page.split("The 8 images of highest MSE of each model, above their reconstructions.")[0].split("<figure")[
        -1
    ]
    worst, side = pixels_of(strips, "Images of VAE"), 8 * 7
    order = errors["VAE"].mean((1, 2, 3)).argsort(descending=True)
    for i, row in enumerate(order[:8]):
        left = 2 + i * (side + 2)
        original, below = (worst[top : top + side : 7, left : left + side : 7] for top in (2, side + 4))
        assert np.array_equal(original, data.test.images[row, :, :, 0])
        assert np.abs(below / 255 - load(runs / "vae").reconstruct(x)[row, 0].numpy()).max() < 0.003


def pixels_of(page, alt):
    """The pixels of the first picture of a page with this description."""
    (uri, *_) = re.findall(rf'<img src="data:image/png;base64,([^"]+)"[^>]* alt="{re.escape(alt)}"', page)
    with Image.open(io.BytesIO(base64.b64decode(uri))) as picture:
        return np.asarray(picture, float)


def test_the_page_fits_any_window_and_asks_for_nothing(new_page, all_of_them):
    for width in (390, 800, 1200):
        page = new_page(width)
        page.goto(all_of_them.as_uri())
        for fold in page.locator("summary").all():
            fold.click()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        wide = "tables => tables.filter(table => table.getBoundingClientRect().right > innerWidth).length"
        assert width == 800 or page.eval_on_selector_all("table", wide) == 0
        cut = "spans => spans.filter(span => span.scrollWidth > span.parentElement.clientWidth).length"
        assert page.eval_on_selector_all(".matrix td span", cut) == 0
    assert {url for url in new_page.requests if not url.startswith("data:")} == {all_of_them.as_uri()}


def test_the_markdown_has_the_best_in_bold(found, all_of_them):
    lines = all_of_them.with_suffix(".md").read_text().splitlines()
    assert lines[0] == "| metric | real-data baseline | AE | VAE | GAN | VAE_Dis_l | VAE/GAN |"
    (line,) = (line for line in lines if line.startswith("| Reconstructions: per-pixel MSE |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")][2:]
    row = found["figures"]["reconstructions"]["mse"]
    for cell, (name, one) in zip(cells, row["models"].items(), strict=True):
        assert cell.startswith("**") == (row["best"] == name)
        if one["value"] is None:
            assert cell == "–"
        else:
            number = float(cell.replace("**", "").split(" (")[0])
            assert number == pytest.approx(one["value"], rel=0.2)


def test_the_table_goes_to_standard_output(runs, compare, tmp_path, capsys):
    assert compare(runs / "ae", runs / "gan", "--out", tmp_path / "c.html", "--markdown", "-", "--prior", "normal") == 0
    out = capsys.readouterr().out
    assert out.startswith("| metric | real-data baseline | AE | GAN |\n| --- |")
    table, words = out.split("\n\n")
    assert [line for line in table.splitlines() if not line.startswith("| ")] == []
    assert words.startswith("Runs: AE 1, GAN 1. ")


def test_an_evaluation_is_used_only_where_it_fits(runs, compare, tmp_path, capsys, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    shutil.copytree(runs / "vae", one)
    shutil.copytree(runs / "gan", other)
    out = tmp_path / "c.html"
    cache = tmp_path / "cache"
    words = ["--extractor", "pixels", "--num", str(NUM), "--data.cache", str(cache)]
    for run in (one, other):
        assert main(["evaluate", str(run), *words]) == 0
    changed = json.loads((one / "evaluation.json").read_text())
    changed["reconstructions"]["mse"]["value"] = 123.0
    (one / "evaluation.json").write_text(json.dumps(changed))

    def error_of(*more, num=NUM) -> float:
        assert compare(one, other, "--out", out, "--overwrite", *more, num=num) == 0
        value = json.loads(out.with_suffix(".json").read_text())["figures"]["reconstructions"]["mse"]["models"]["VAE"]
        return value["value"]

    assert error_of() == 123.0
    (one / "model" / "attributes.safetensors").touch()  # vectors change nothing that is measured
    assert error_of() == 123.0
    assert error_of("--seed", 1) < 1
    assert error_of(num=NUM - 30) < 1
    (one / "evaluation.json").write_text(json.dumps(changed | {"draws": 500}))  # the bound rises with them
    assert error_of() < 1
    (one / "evaluation.json").write_text(json.dumps(changed | {"format": 1}))  # whose intervals were wider
    assert error_of() < 1
    changed["extractor"]["fingerprint"] = "another"
    (one / "evaluation.json").write_text(json.dumps(changed))
    assert error_of() < 1
    changed["extractor"]["fingerprint"] = "pixels 1 x 8 x 8"
    changed["model"]["digest"] = "another"  # the run has been trained further since
    (one / "evaluation.json").write_text(json.dumps(changed))
    assert error_of() < 1
    (one / "evaluation.json").write_text("{")
    assert error_of() < 1


def test_what_was_measured_outlasts_a_page_that_fails(runs, compare, tmp_path, monkeypatch):
    monkeypatch.setattr("vaegan.pages.comparison_page.comparison_page", lambda *_: 1 / 0)
    assert compare(runs / "vaegan-0", runs / "vae", "--out", tmp_path / "x.html") == 1
    assert json.loads((tmp_path / "x.json").read_text())["answer"]


def test_the_best_model_of_a_run_stands_beside_its_last(runs, compare, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "c.html"
    shutil.copytree(runs / "vae", run)
    shutil.copytree(run / "model", run / "best")
    assert compare(run, run / "best", "--out", out) == 0
    said = capsys.readouterr().out
    assert "9 held-out images are too few to conclude by Fréchet distance" in said
    found = json.loads(out.with_suffix(".json").read_text())
    assert [[one["name"] for one in model["runs"]] for model in found["models"]] == [["run"], ["best"]]
    assert found["figures"]["cost"]["images_seen"]["models"]["VAE best"]["value"] > 0


@pytest.fixture
def elsewhere(tmp_path):
    """Untrained models of other shapes and data."""
    from vaegan.recipes import config_for
    from vaegan.settings_io import dump_yaml
    from vaegan.training.factories import build_model

    for name, source, shape in (("digits", "digits", (1, 8, 8)), ("large", "digits", (1, 16, 16))):
        config = config_for("digits", {"data.source": source})
        build_model(config, shape, {"data": source}).save(tmp_path / name / "model")
        dump_yaml(config, tmp_path / name / "config.yaml")
    return tmp_path


def test_mistakes_are_one_line(runs, compare, elsewhere, tmp_path, capsys):
    out = tmp_path / "c.html"
    out.touch()
    a, b = runs / "vae", runs / "gan"
    for words, told in (
        ((), "name at least two runs"),
        ((a,), "name at least two runs"),
        ((a, a), f"{a} is given twice; name each run once"),
        ((a, runs / "nothing"), "no run or saved model at"),
        ((a, b, "--out", out), "c.html exists; choose another name or allow it to be replaced (--overwrite)"),
        ((a, b, "--out", "new.html", "--markdown", "new.json"), "--markdown new.json: the page or its JSON is written"),
        ((a, b, "--out", "c.json"), "--out c.json: the comparison is a page; end its name in .html"),
        ((a, b, "--prior", "flow"), "no model here has a prior 'flow'; available: normal"),
        ((a, b, "--weights", "gone.pth"), "--weights gone.pth: no such file or folder; correct it, or leave it out"),
        ((a, elsewhere / "digits"), "was trained on blobs, "),
        ((a, elsewhere / "digits"), "on digits; name images for all with --data SOURCE"),
        ((a, elsewhere / "large"), "takes images of shape 1 x 8 x 8, "),
    ):
        place = () if "--out" in words else ("--out", tmp_path / "d.html")
        assert compare(*words, *place) == 2, words
        err = capsys.readouterr().err
        assert told in err
        assert len([line for line in err.splitlines() if line.startswith("vaegan compare:")]) == 1
    assert not (tmp_path / "d.html").exists()


def test_a_prior_that_no_model_has_is_refused_before_a_network_is_trained(runs, compare, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(MetricOptions, "networks", None)
    assert compare(runs / "vae", runs / "gan", "--prior", "flow", "--out", tmp_path / "c.html") == 2
    assert "no model here has a prior 'flow'" in capsys.readouterr().err


def test_different_data_are_compared_on_what_is_named(runs, compare, elsewhere, images_file, tmp_path):
    out = tmp_path / "c.html"
    assert compare(runs / "vae", elsewhere / "digits", "--data", images_file, "--out", out) == 0
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["data"]["name"] == "blobs"
    assert [model["runs"][0]["name"] for model in found["models"]] == ["vae", "digits"]


def test_a_saved_model_is_compared_on_the_data_of_the_run(runs, compare, tmp_path, capsys):
    shutil.copytree(runs / "gan" / "model", tmp_path / "kept")
    out = tmp_path / "c.html"
    assert compare(runs / "vae", tmp_path / "kept", "--out", out) == 0
    found = json.loads(out.with_suffix(".json").read_text())
    cost = found["figures"]["cost"]
    assert cost["training_seconds"]["models"]["GAN"]["value"] is None
    assert cost["decoder_parameters"]["models"]["GAN"]["value"] > 0
    shutil.copytree(tmp_path / "kept", tmp_path / "again")
    assert compare(tmp_path / "kept", tmp_path / "again", "--out", tmp_path / "d.html") == 2
    assert (
        "none of these has a record of its training data; name images for all with --data SOURCE"
        in capsys.readouterr().err
    )
