"""How figures of several models are written, and who is called best."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from vaegan.errors import UserError
from vaegan.evaluation.comparison import ComparedModel, FigureGroup, FigureRow, MeasuredRun, compare, spreads
from vaegan.evaluation.seed_groups import SeedFigure, Verdict
from vaegan.metrics.figures import Figure
from vaegan.pages.comparison_page import _strips
from vaegan.pages.comparison_tables import default_priors, in_words, markdown_of, matrix_of, spread_matrices, verdict_of
from vaegan.pages.content import Fold


def evaluation(distance: float, half: float = 1.0, **priors: float):
    def figures(value: float):
        return {"frechet_distance": Figure(value, value - half, value + half, 100, 0).as_json()}

    samples = {prior: figures(value) for prior, value in {"normal": distance, **priors}.items()}
    nothing: dict[str, dict[str, float]] = {name: {} for name in ("reconstructions", "likelihood", "codes")}
    made_with = {"data": {"name": "blobs", "num": 900, "split": "test"}, "extractor": {"name": "pixels"}, "seed": 7}
    return {"yardstick": figures(3.0), "samples": samples, **nothing, "left_out": {}, **made_with}


def model(name: str, *distances: float) -> ComparedModel:
    runs = [
        MeasuredRun(name, seed, evaluation(value), {"training_seconds": 60.0}) for seed, value in enumerate(distances)
    ]
    return ComparedModel(name, runs)


def cell(name: str, value: float, low: float = math.nan, high: float = math.nan) -> tuple[str, str]:
    row = FigureRow(name, None, math.nan, [SeedFigure(Figure(value, low, high), (value,))], Verdict())
    ((_, _, (found, _)),) = matrix_of("", [row], [model("A", 1.0)]).rows
    return found.text, found.under


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        (("mse", 0.012348, 0.0118, 0.0129), ("0.01235", "0.01180 to 0.01290")),
        (("frechet_distance", 148.2, 134.1, 161.3), ("148", "134 to 161")),
        (("frechet_distance", 1234567.0, 1230000.0, 1240000.0), ("1,234,567", "1,230,000 to 1,240,000")),
        (("sharpness", 0.0031, 0.0016, 0.0195), ("0.0031", "0.0016 to 0.0195")),  # of a spread: far above, not below
        (("kernel_distance", -0.26, -4.1, 3.6), ("-0.3", "-4.1 to 3.6")),
        (("coverage", 0.02, -9.0, 9.1), ("0.0", "-9.0 to 9.1")),
        (("coverage", -0.02, -9.0, 9.1), ("0.0", "-9.0 to 9.1")),  # no minus before nothing
        (("precision", 1.0, 0.97, 1.0), ("1.000", "0.970 to 1.000")),
        (("precision", 7.0, 0.97, 1.0), ("7.0", "1.0 to 1.0")),  # an interval beside its figure
        (("recall", 1.0, 1.0, 1.0), ("1", "")),
        (("training_seconds", 200.0, -50.0, 450.0), ("3 min 20 s", "0 s to 7 min 30 s")),
        (("training_operations", 3.084e8), ("308 M", "")),
        (("encoder_parameters", 865800.0), ("865,800", "")),
    ],
)
def test_numbers_show_what_is_known_of_them(figures, shown):
    assert cell(*figures) == shown


def test_who_is_best_is_said_in_words():
    names = ["A", "B", "C"]
    assert in_words(Verdict(best=1), names) == "B"
    assert in_words(Verdict(overlapping=(2, 0)), names) == "no clear winner (C, A)"
    assert in_words(Verdict(), names) == "–"


def test_the_best_is_bold():
    apart, near = [model("A", 9.0), model("B", 5.0)], [model("A", 6.5), model("B", 5.0)]
    wanted = "| Samples, prior normal: Fréchet distance | 3 | {} (8.0 to 10.0) | **5.0** (4.0 to 6.0) |"
    assert markdown_of(compare(apart), apart).splitlines()[2] == wanted.format("9.0")
    assert "| **" not in markdown_of(compare(near), near)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (
            (("A", 9.0), ("B", 5.0)),
            "Samples, prior normal: B is best by Fréchet distance. Clear wins, metric by metric: B 1.",
        ),
        (
            (("A", 6.5), ("B", 5.0), ("C", 6.0), ("D", 20.0)),
            "Samples, prior normal: no clear winner by Fréchet distance; the intervals of B, C and A overlap. "
            "Clear wins, metric by metric: undecided 1.",
        ),
        (
            (("A", math.nan), ("B", 5.0)),
            "",
        ),
    ],
)
def test_the_conclusion_names_the_best_model_or_those_that_overlap(models, words):
    made = [model(*each) for each in models]
    assert verdict_of(compare(made), made) == words


@pytest.mark.parametrize(("num", "concludes"), [(53, False), (249, False), (250, True)])
def test_too_few_held_out_images_have_no_best(num, concludes):
    made = [model("A", 9.0), model("B", 5.0)]
    for each in made:
        each.runs[0].evaluation["data"]["num"] = num
    assert ("B is best by Fréchet distance." in verdict_of(compare(made), made)) == concludes
    few = f"{num} held-out images are too few to conclude by Fréchet distance; take 250 (training with a larger "
    few += "--data.held-out)."
    assert (verdict_of(compare(made), made) == few) != concludes
    assert ("| **" in markdown_of(compare(made), made)) == concludes
    assert (few in markdown_of(compare(made), made)) != concludes


def test_one_model_has_no_best():
    alone = [model("A", 9.0, 8.0)]
    assert verdict_of(compare(alone), alone) == ""


def test_of_several_runs_the_first_that_has_the_samples_is_shown():
    def make(run):
        if run == "without":
            raise UserError("no such prior")
        return np.full((1, 2, 2, 3), 7, np.uint8)

    comparison = SimpleNamespace(
        models=[model("A", 1.0, 2.0), model("B", 3.0)], runs=[["without", "with"], ["without"]]
    )
    rows = {}
    _strips(comparison, rows, make, "Samples.")
    assert {name: int(row.max()) for name, row in rows.items()} == {"A": 7}


def test_a_group_of_own_priors_stands_first_where_there_are_several():
    a = ComparedModel("A", [MeasuredRun("a", 0, evaluation(9.0, mixture=4.0), {}, "mixture")])
    b = ComparedModel("B", [MeasuredRun("b", 0, evaluation(7.0), {}, "normal")])
    c = ComparedModel("C", [MeasuredRun("c", 0, evaluation(7.0), {}, None)])
    groups = compare([a, b, c])
    assert [group.name for group in groups] == ["samples", "samples of normal", "samples of mixture"]
    values = {group.name: [one["value"] for one in (m.as_json() for m in group.rows[0].models)] for group in groups}
    assert values["samples"] == [4.0, 7.0, None]
    assert values["samples of normal"] == [9.0, 7.0, 7.0]
    assert values["samples of mixture"] == [4.0, None, None]
    table, words = markdown_of(groups, [a, b, c]).split("\n\n")
    assert len(table.splitlines()) == 3  # head, rule, the own priors' row
    assert words.startswith(
        "Runs: A 1, B 1, C 1. 900 held-out images of blobs, 100 samples, seed 7, features of pixels."
    )
    assert words.endswith("Default priors: A: mixture; B: normal.\n")
    a.runs[0].evaluation["guidance"] = {"mixture": 3.0}
    assert default_priors([a, b, c]) == "A: mixture, guidance 3; B: normal"


def test_spreads_are_of_models_of_several_runs():
    models = [model("A", 4.0, 5.0, 6.0), model("B", 5.0), model("C", 1.0, 5.0, 9.0)]
    ((group, (row,)),) = spreads(compare(models))
    assert (group.name, row.name, row.better) == ("samples of normal", "frechet_distance", "low")
    assert [one.as_json()["value"] for one in row.models] == [1.0, None, 4.0]
    assert row.verdict == Verdict(overlapping=(0, 2))  # of three runs one says little
    many = [model("A", *[4.0, 5.0, 6.0] * 9), model("C", *[1.0, 5.0, 9.0] * 9)]
    assert spreads(compare(many))[0][1][0].verdict == Verdict(best=0)
    table, fold = spread_matrices(compare(models), models)
    assert table.rows[0][0] == "Fréchet distance"
    assert isinstance(fold, Fold)
    assert spreads(compare(models[1:2])) == []


def test_unknown_figures_keep_their_own_names():
    row = FigureRow("something_new", None, math.nan, [SeedFigure(Figure(1.0), (1.0,))], Verdict())
    assert matrix_of("", [row], [model("A", 1.0)]).rows[0][:2] == ("something new", "")
    assert FigureGroup("samples", "flow", [row]).name == "samples of flow"
