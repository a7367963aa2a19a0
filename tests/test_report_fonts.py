"""Fonts of pictures: letters that the usual one lacks come from another; without one there is a single warning."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from vaegan.report import fonts
from vaegan.report.grid import sheet
from vaegan.report.scatter import Grouping, draw_scatter

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SERIF_ONLY = "\u02ef"  # of matplotlib's fonts DejaVu Serif has it, DejaVu Sans has not


@pytest.fixture(autouse=True)
def fresh():
    fonts._font_with.cache_clear()


def install(monkeypatch, *names: str) -> None:
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(FONTS / name) for name in names])


def draw(names: list[str], folder: Path) -> np.ndarray:
    groups = np.arange(6) % 2
    draw_scatter(np.eye(6)[:, :2], [Grouping("labels", groups, names)], folder / "map.png")
    return sheet(np.zeros((2, 1, 8, 8, 1), np.uint8), rows=names)


@pytest.mark.filterwarnings("error")
def test_letters_come_from_a_font_that_has_them(monkeypatch, tmp_path, caplog):
    names = [f"a {SERIF_ONLY}", "b"]
    install(monkeypatch)
    boxes = draw(names, tmp_path)
    assert f"no installed font has all of the letters {SERIF_ONLY}: pictures show boxes; install one" in caplog.text
    fonts._font_with.cache_clear()
    caplog.clear()
    install(monkeypatch, "LastResortHE-Regular.ttf", "none.ttf", "cmr10.ttf", "DejaVuSerif.ttf")
    assert fonts.font_for(names) == FONTS / "DejaVuSerif.ttf"
    written = draw(names, tmp_path)
    assert written.shape != boxes.shape or (written != boxes).any()
    assert not caplog.text


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_one_warning(monkeypatch, tmp_path, caplog):
    install(monkeypatch, "DejaVuSerif.ttf")
    draw(["猫", "犬"], tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "no installed font has all of the letters 犬猫: pictures show boxes; install one that does, such as a Noto font"
    ]


def test_the_usual_font_is_not_replaced(monkeypatch):
    install(monkeypatch, "DejaVuSerif.ttf")
    assert fonts.font_for(["a × é", "ж", ""]) == FONTS / "DejaVuSans.ttf"
