"""Axes, lines, dots, pictures and words of a report, against values computed by hand."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vaegan.config import Config
from vaegan.pages.render import data_uri, strips
from vaegan.pages.run_sections import (
    as_text,
    health_section,
    losses_section,
    speeds,
    timing_section,
    window_seconds,
)
from vaegan.progress import duration
from vaegan.report.animation import evenly
from vaegan.report.chart import BOTTOM, LEFT, RIGHT, TOP, Scale, draw_chart, fitting_scale, short
from vaegan.report.scatter import SIDE, Grouping, scatter_block
from vaegan.settings import PARTS


@pytest.mark.parametrize(
    ("scale", "values", "places"),
    [
        (Scale("linear", -1, 3), [-1, 0, 3], [0, 0.25, 1]),
        (Scale("log", 0.01, 100), [0.01, 1, 10], [0, 0.5, 0.75]),
        (Scale("asinh", -8, 8, 2.0), [-8, 0, 2], [0, 0.5, 0.5 + 0.5 * np.arcsinh(1) / np.arcsinh(4)]),
    ],
)
def test_places(scale, values, places):
    np.testing.assert_allclose(scale.place(values), places)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale("linear", 0, 30528), [0, 10000, 20000, 30000]),
        (Scale("linear", -0.12, 0.31), [-0.1, 0, 0.1, 0.2, 0.3]),
        (Scale("log", 0.5, 300), [1, 10, 100]),
        (Scale("log", 3, 70), [5, 10, 20, 50]),
        (Scale("log", 1e-9, 1e3), [1e-9, 1e-6, 1e-3, 1, 1e3]),
        (Scale("asinh", -30, 500, 10.0), [-10, 0, 10, 100]),
    ],
)
def test_ticks(scale, ticks):
    assert scale.ticks() == pytest.approx(ticks)


@given(st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=20))
def test_any_values_fit_on_their_axis(values):
    scale = fitting_scale(values)
    places = scale.place(values)
    assert np.isfinite(places).all()
    assert (places >= 0).all()
    assert (places <= 1).all()
    assert 1 <= len(scale.ticks()) <= 12
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in scale.place(scale.ticks()))


@pytest.mark.parametrize(
    ("values", "kind"), [([1, 29], "linear"), ([1, 200], "log"), ([0, 1, 200], "asinh"), ([-5, 5], "linear")]
)
def test_wild_values_get_a_bent_axis(values, kind):
    assert fitting_scale(values).kind == kind
    assert fitting_scale(np.abs(values), from_zero=True).low == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (12000, "12k"),
        (1.5e6, "1.5M"),
        (0.02, "0.02"),
        (1e-7, "1e-7"),
        (-30, "-30"),
        (1e15, "1e15"),
        (999, "999"),
    ],
)
def test_short_numbers(value, words):
    assert short(value) == words


def line(*values):
    return np.arange(1.0, len(values) + 1), np.array(values, float)


def numbers(path: str) -> list[tuple[float, float]]:
    return [tuple(map(float, spot.split())) for spot in re.split("[ML]", path)[1:]]


def test_a_line_goes_from_its_first_to_its_last_point():
    chart = draw_chart("speed", "images/s", [("a", 3, False, line(0, 10, 5))], from_zero=True)
    (drawn,) = chart.lines
    expected = [
        (LEFT + (RIGHT - LEFT) * x / 3, BOTTOM - (BOTTOM - TOP) * y / 10.5) for x, y in ((1, 0), (2, 10), (3, 5))
    ]
    np.testing.assert_allclose(numbers(drawn.path), expected, atol=0.051)
    assert (drawn.last, drawn.faint, drawn.colour) == ("5", "", 3)
    assert chart.points[0]["values"] == ["0", "10", "5"]
    assert chart.points[0]["images"] == [1, 2, 3]


def test_a_long_line_is_thinned_but_keeps_its_peak():
    values = np.ones(20_000)
    values[7777] = 9.0
    chart = draw_chart("t", "u", [("a", 0, False, line(*values)), ("b", 0, True, line(1, 2))])
    faint = numbers(chart.lines[0].faint)
    assert len(faint) <= 240
    assert len(numbers(chart.lines[0].path)) == 240
    top = min(faint, key=lambda spot: spot[1])
    assert top[0] == pytest.approx(LEFT + (RIGHT - LEFT) * 7778 / 20_000, abs=0.06)
    assert chart.lines[1].is_dashed


@pytest.mark.parametrize(("dashed", "first"), [(False, 3), (True, 2)])
def test_a_line_breaks_at_a_mark(dashed, first):
    """A training record at the mark ends what was before; a held-out loss there belongs to what follows."""
    chart = draw_chart("t", "u", [("a", 0, dashed, line(1, 2, 3, 4, 5))], [(3, "VAE/GAN")])
    strokes = chart.lines[0].path[1:].split("M")
    assert [stroke.count("L") + 1 for stroke in strokes] == [first, 5 - first]
    assert chart.points[0]["images"] == [1, 2, 3, 4, 5]
    assert chart.as_json()["marks"] == [(pytest.approx(LEFT + (RIGHT - LEFT) * 3 / 5, abs=0.06), "VAE/GAN")]
    assert draw_chart("t", "u", [("a", 0, dashed, line(1, 2))]).marks == []


def test_a_smoothed_line_breaks_without_a_trace_of_the_other_side():
    values = np.repeat([1.0, 25.0], 100)
    chart = draw_chart("t", "u", [("a", 0, False, line(*values))], [(100, "b")])
    for path in (chart.lines[0].path, chart.lines[0].faint):
        before, after = ({y for _, y in numbers(f"M{stroke}")} for stroke in path[1:].split("M"))
        assert len(before) == len(after) == 1
    one = draw_chart("t", "u", [("a", 0, False, line(*values[:2], *values))], [(1, "b")]).lines[0].path
    assert "nan" not in one


def test_values_that_are_not_finite_are_left_out():
    chart = draw_chart("t", "u", [("a", 0, False, line(np.nan, 2, np.inf))])
    assert chart.points[0]["values"] == ["2"]
    assert len(numbers(chart.lines[0].path)) == 2  # a dot
    assert draw_chart("t", "u", [("a", 0, False, line(np.nan))]) is None


def test_dots_lie_where_the_points_are_and_none_is_lost():
    points = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0]])
    groups = np.array([0, 1, 1])
    drawn = scatter_block(points, [Grouping("g", groups, ("a", "b")), Grouping("h", groups, tuple("x" * 21))], "", "")
    (only,) = drawn.panels  # 21 groups are too many to tell apart
    spots = {(group, spot) for group, path in only.paths for spot in re.findall(r"M(\d+) (\d+)h0", path)}
    side = SIDE - 16
    low, high = str(SIDE // 2 + side // 4), str(SIDE // 2 - side // 4)
    assert spots == {(0, ("8", low)), (1, (str(SIDE - 8), low)), (1, (str(SIDE - 8), high))}


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_small_picture_stays_and_a_large_one_shrinks_until_it_fits():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 100, 3), dtype=np.uint8))
    exact = data_uri(noise, 100_000)
    assert exact.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(np.asarray(decoded(exact)), np.asarray(noise))
    small = data_uri(noise, 5_000)
    assert small.startswith("data:image/webp;base64,")
    assert len(small) <= 5_000
    assert decoded(small).size in [(50, 100), (25, 50)]


def test_a_picture_too_long_for_a_webp_shrinks():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2, 16_400, 3), dtype=np.uint8))
    assert decoded(data_uri(noise, 50_000)).size == (8_200, 1)


def test_strips_share_their_bound(monkeypatch):
    monkeypatch.setattr("vaegan.pages.render.STRIPS_LIMIT", 8_000)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64, 3), dtype=np.uint8)
    block = strips(images, "c", list("abcd"))
    assert sum(len(uri) for _, uri, _ in block.rows) <= 8_000
    assert block.size == (3 * 66 + 2, 68)


def test_evenly():
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly("abc", 5) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"), ((), "–"), (True, "yes"), (1e-08, "1e-08"), ((32, 64), "32, 64"), ("digits", "digits"),
        ("/home/me/photos/", "…/photos"), (Path("/data/x"), "…/x"), ("C:\\Users\\me\\photos", "…/photos"),
        ("~/pictures", "…/pictures"), (Path("runs/gan"), "runs/gan"), ("hf:ylecun/mnist", "hf:ylecun/mnist"),
        ("https://me:key@a.example/x/{0..3}.tar?key=A", "https://a.example/x/{0..3}.tar"),
    ],
)  # fmt: skip
def test_values_of_settings(value, words):
    assert as_text(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.3512, "0.35 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (9.97, "10 s")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_each_window_took_its_images_over_its_speed():
    records = [
        {"images": 100, "images_per_second": 10.0},
        {"images": 400, "images_per_second": 77.0},
        {"images": 400, "images_per_second": 100.0},  # a resumed run made this step again
        {"images": 400, "split": "test"},
    ]
    np.testing.assert_allclose(window_seconds(speeds(records)), [10, 3])
    assert speeds([{"images": 5, "images_per_second": None}]) is None


@pytest.mark.parametrize(("device", "told"), [("cuda, H200", "cuda, H200"), (None, "auto")])
def test_timing_names_the_device_that_auto_became(device, told):
    facts = timing_section([], Config(), device).blocks[-1]
    assert dict(facts.pairs)["device"] == told


def test_health_says_what_is_not_checked_and_why():
    finding = {"check": "kl", "state": "ok", "sentence": "fine", "remedy": ""}
    record = {
        "images": 2000,
        "split": "test",
        "health": [finding],
        "not_checked": {"modes": "the images have no labels"},
    }
    now, _ = health_section([record]).blocks
    assert now.rows == [("KL", "ok", "fine"), ("label coverage", "not checked", "the images have no labels")]


def test_losses_of_two_phases_are_told_apart():
    records = [
        {"images": images, "split": "train", "phase": phase, "losses": {"decoder": {"llike": 1.0}}}
        for images, phase in ((1000, "ae"), (2000, "vaegan"))
    ]
    section = losses_section(records)
    assert "the phase changes to VAE/GAN: losses of different phases cannot be compared." in section.text
    assert [text for _, text in section.blocks[0].marks] == ["VAE/GAN"]
    assert "phases" not in losses_section(records[1:]).text


@pytest.mark.parametrize("parts", [("encoder", "decoder"), ("decoder", "discriminator"), PARTS])
def test_losses_show_rates_that_change_and_speak_of_features_only_where_there_are_some(parts):
    records = [
        {"images": n, "split": "train", "losses": {p: {"total": 1.0} for p in parts}, "lr": dict.fromkeys(parts, lr)}
        for n, lr in ((1, 0.1), (2, 0.2))
    ]
    section = losses_section(records)
    assert [block.title for block in section.blocks] == [*parts, "learning rate", "Latest values"]
    assert ("feature loss" in section.text) == (parts == PARTS)


def test_health_shows_the_last_findings_and_each_change():
    def look(images, state):
        finding = {"check": "kl", "state": state, "sentence": f"{images} seen", "remedy": "" if state == "ok" else "do"}
        return {"images": images, "split": "test", "health": [finding]}

    records = [
        {"images": 50, "split": "train"},
        look(100, "ok"),
        look(200, "bad"),
        look(300, "unhealthy"),
        look(400, "warning"),
    ]
    now, history = health_section(records).blocks
    assert now.rows == [("KL", "warning", "400 seen")]
    assert now.hints == ["do"]
    assert [row[1:] for row in history.blocks[0].rows] == [
        ("100", "ok", "100 seen"),
        ("200", "unhealthy", "200 seen"),
        ("400", "warning", "400 seen"),
    ]
    assert "No checks yet" in health_section(records[:1]).blocks[0].text
