from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from vaegan.report.fonts import font_for
from vaegan.report.grid import _text, grid, sheet
from vaegan.views.view import View
from vaegan.views.write import write_view


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8, 3), dtype=np.uint8)


def test_without_names_a_sheet_is_a_grid(images):
    np.testing.assert_array_equal(sheet(images), grid(images.reshape(12, 8, 8, 3), 4))


@pytest.mark.parametrize("columns", [("a", "b", "c", "d"), ("a", "b", "c", "a name much wider than its image")])
def test_names_stand_outside_of_the_grid(images, columns):
    whole, bare = sheet(images, columns, ("first", "second", "third")), sheet(images)
    height, width, _ = bare.shape
    np.testing.assert_array_equal(whole[-height:, -width:], bare)
    top, left = whole[:-height], whole[:, :-width]
    # Each column and each row has ink beside it, and the corner has none.
    cells = top[:, -width + 2 :].min(axis=(0, 2))
    assert all(cells[58 * i : 58 * i + 58].min() < 128 for i in range(4))
    cells = left[-height + 2 :].min(axis=(1, 2))
    assert all(cells[58 * i : 58 * i + 58].min() < 128 for i in range(3))
    assert top[:, :-width].min() == 255


def test_all_of_a_name_is_on_the_sheet(images):
    # A wider name makes the margin wider by as much as it is wider itself: nothing is cut off.
    widths = [sheet(images, (), ("", "", "m" * n)).shape[1] for n in (4, 8, 12)]
    first, second = np.diff(widths)
    assert abs(second - first) <= 1  # letters are not whole pixels wide
    assert first > 20


def test_forms_of_a_sheet(images, tmp_path):
    codes = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    for name in ("a.png", "a.npz", "a.gif", "a"):
        view = View(images, list("xyz"), list("abcd"), codes=torch.from_numpy(codes))
        write_view(tmp_path / name, view)
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), sheet(images, list("abcd"), list("xyz")))
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], images.reshape(12, 8, 8, 3))
        np.testing.assert_array_equal(arrays["codes"], codes.reshape(12, 5))
        assert arrays["names"][6] == "y / c"
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 4
    assert len(list((tmp_path / "a").iterdir())) == 12


def test_names_need_not_be_ascii() -> None:
    font = ImageFont.truetype(font_for("×éßжλ"))
    missing = np.asarray(_text("\ufdd0", font))
    for letter in "×éßжλ":
        drawn = np.asarray(_text(letter, font))
        assert drawn.min() < 128
        assert drawn.shape != missing.shape or (drawn != missing).any()
