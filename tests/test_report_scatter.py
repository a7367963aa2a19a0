from __future__ import annotations

import numpy as np
from PIL import Image

from vaegan.report.scatter import Grouping, draw_scatter


def colours(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return pixels, image.size


def test_each_group_has_its_colour(tmp_path):
    points = np.random.default_rng(0).normal(size=(200, 2))
    groups = np.arange(200) % 2
    draw_scatter(points, [Grouping("two", groups, ("a", "b"))], tmp_path / "two.png")
    draw_scatter(points, [Grouping("one", groups * 0, ("a", "b"))], tmp_path / "one.png")
    orange = np.array([255, 127, 14])  # the second colour of matplotlib's tab10
    many, few = ((colours(tmp_path / name)[0] == orange).all(1).sum() for name in ("two.png", "one.png"))
    assert many > 20 * max(few, 1)


def test_a_panel_for_each_grouping_and_many_groups(tmp_path):
    points = np.random.default_rng(0).normal(size=(100, 2))
    groups = np.arange(100) % 30
    one = Grouping("many", groups, [str(i) for i in range(30)])
    draw_scatter(points, [one], tmp_path / "one.png")
    draw_scatter(points, [one, one], tmp_path / "two.png")
    (_, (width1, height1)), (_, (width2, height2)) = (colours(tmp_path / name) for name in ("one.png", "two.png"))
    assert (width2, height2) == (2 * width1, height1)
