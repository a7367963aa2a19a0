from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from vaegan.report.chart import BOTTOM, LEFT, RIGHT, TOP, running_mean
from vaegan.report.curves import collect_lines, draw_losses, phase_marks, rate_chart


def record(images, split="train", **losses):
    return {"images": images, "split": split, "losses": losses, "gradients": {"encoder": 1.0}, "images_per_second": 9}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw, and give the figure that was saved."""
    figures = []
    real = matplotlib.figure.Figure.savefig

    def savefig(figure, *args, **kwargs):
        figures.append(figure)
        return real(figure, *args, **kwargs)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)

    def draw(records):
        draw_losses(records, tmp_path / "losses.png")
        with Image.open(tmp_path / "losses.png") as image:
            assert image.format == "PNG"
            assert np.asarray(image.convert("L")).std() > 0
        assert [path.name for path in tmp_path.iterdir()] == ["losses.png"]
        return figures[-1]

    return draw


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_lines_are_sorted_and_the_last_record_counts():
    records = [
        record(20, encoder={"prior": 2.0}),
        record(10, encoder={"prior": 1.0}),
        record(20, encoder={"prior": 3.0}),
        record(20, "test", encoder={"prior": 4.0}),
    ]
    lines = collect_lines(records)["encoder"]["prior"]
    assert [values.tolist() for values in lines["train"]] == [[10, 20], [1, 3]]
    assert [values.tolist() for values in lines["test"]] == [[20], [4]]


def rates(**lr):
    num = len(next(iter(lr.values())))
    return [
        {"split": "train", "images": 10 * i, "lr": {part: each[i] for part, each in lr.items()}} for i in range(num)
    ]


def test_learning_rates_are_drawn_where_they_change_and_equal_ones_as_one_line():
    assert rate_chart(rates(encoder=[0.1, 0.1], decoder=[0.2, 0.2])) is None
    assert rate_chart([{"split": "train", "images": 3, "lr": None}, {"split": "test", "images": 4}]) is None
    falling = [0.4 - 0.001 * (i // 50) for i in range(100)]  # a step, which a running mean would blur
    chart = rate_chart(rates(encoder=falling, decoder=falling, discriminator=[0.1] * 100))
    assert [line.name for line in chart.lines] == ["encoder, decoder", "discriminator"]
    assert not any(line.faint for line in chart.lines)
    assert [line.last for line in chart.lines] == ["0.399", "0.1"]
    assert chart.y_ticks[0][1] == "0"


def test_what_is_unknown_is_passed_over():
    records = [{"event": "resumed"}, {"images": 5, "losses": None}, record(5, encoder={"note": "x"}, decoder=3.0)]
    assert collect_lines(records) == {}


def test_one_panel_for_each_part_there_is(drawn):
    values = {"llike": 30.0, "gan": -1.4}
    figure = drawn([record(i, decoder=values, discriminator={"real": 0.7}) for i in (64, 128, 192)])
    titles = [f"Losses of the {part}, in nats per image." for part in ("decoder", "discriminator")]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert labels(figure.axes[0]) == ["llike", "gan"]
    for axes in figure.axes:
        assert axes.get_xlabel() == "images seen"
    third, middle = (RIGHT - LEFT) / 3, (TOP + BOTTOM) / 2
    expected = [[LEFT + third, middle], [LEFT + 2 * third, middle], [RIGHT, middle]]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xydata(), expected)
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["0", "50", "100", "150"]


def test_held_out_lines_are_dashed_in_the_colour_of_their_training_line(drawn):
    records = [record(i, split, encoder={"prior": i, "llike": 2 * i}) for i in (5, 6) for split in ("train", "test")]
    (axes,) = drawn(records).axes
    assert labels(axes) == ["prior", "llike", "held out"]
    prior, prior_test, llike, _ = axes.lines
    assert prior.get_color() == prior_test.get_color() != llike.get_color()
    assert prior.get_linestyle() == "-"
    assert prior_test.get_linestyle() == "--"
    assert prior_test.get_marker() == "o"


def test_many_points_are_smoothed_over_the_faint_raw_line(drawn):
    noise = np.random.default_rng(0).normal(5.0, 1.0, 300)
    (axes,) = drawn([record(i, encoder={"prior": float(x)}) for i, x in enumerate(noise)]).axes
    raw, smooth = axes.lines
    assert raw.get_alpha() < 0.5
    assert np.std(smooth.get_ydata()) < 0.5 * np.std(raw.get_ydata())
    assert labels(axes) == ["prior"]


def test_running_mean_by_hand():
    values = np.array([1.0, 2.0, 6.0, math.nan, math.inf, 4.0])
    expected = [1.5, 3.0, 4.0, 6.0, 4.0, 4.0]
    np.testing.assert_allclose(running_mean(values, 3), expected)
    assert np.isnan(running_mean(np.array([math.nan, math.nan]), 1)).all()


@pytest.mark.parametrize(
    ("llike", "gan", "ticks"),
    [
        (30.0, 10.0, ["10", "20", "30"]),
        (3000.0, 10.0, ["10", "100", "1k"]),
        (3000.0, -1.4, ["-1", "0", "1", "10", "100", "1k"]),
    ],
)
def test_the_scale_suits_the_range(drawn, llike, gan, ticks):
    (axes,) = drawn([record(i, decoder={"llike": llike, "gan": gan}) for i in (1, 2, 3)]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ticks


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1.0, math.nan, 1e30], [1e-300, 1e300, -5.0]])
def test_few_and_broken_values_are_drawn_without_complaint(drawn, values, recwarn):
    (axes,) = drawn([record(i, encoder={"prior": value}) for i, value in enumerate(values)]).axes
    assert labels(axes) == ["prior"]
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]])
def test_a_run_without_finite_records_says_so(drawn, values):
    (axes,) = drawn([record(i, encoder={"prior": value}) for i, value in enumerate(values)]).axes
    assert axes.texts[0].get_text() == "no losses recorded yet"


def phased(images, phase, split="train", **losses):
    return {**record(images, split, **losses), "phase": phase}


def test_a_phase_is_marked_and_its_lines_break(drawn):
    """Also where records come out of order, and a resumed run wrote some twice."""
    values = {"llike": 30.0}
    records = [phased(i, "ae" if i <= 3 else "vaegan", decoder=values) for i in (1, 2, 3, 4, 5, 2)]
    records += [phased(i, "ae" if i < 3 else "vaegan", "test", decoder=values) for i in (1, 2, 4, 5)]
    assert phase_marks(records) == phase_marks(reversed(records)) == [(3, "VAE/GAN")]
    (axes,) = drawn(records).axes
    train, test, mark = axes.lines
    assert [np.isnan(line.get_xdata()).tolist().index(True) for line in (train, test)] == [3, 2]
    assert mark.get_xdata()[0] == pytest.approx(LEFT + (RIGHT - LEFT) * 3 / 5, abs=0.06)
    assert [text.get_text() for text in axes.texts] == [" VAE/GAN"]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record(1), record(2)],
        [phased(1, "ae"), phased(2, "ae")],
        [phased(1, "new"), phased(2, "x")],
        [phased(1, ["ae"])],
    ],
)
def test_a_run_of_one_phase_has_no_mark(records):
    assert phase_marks(records) == []
