from __future__ import annotations

import numpy as np
import pytest

from vaegan.report.grid import LINE, grid


def numbered(num, height=8, width=8, channels=1):
    """Images whose pixels all differ from image to image."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num, height, width, channels), dtype=np.uint8)


def tile(picture, row, column, images, scale, pad=2, extra=0):
    _, height, width, _ = images.shape
    top, left = pad + row * (height * scale + pad) + extra, pad + column * (width * scale + pad)
    return picture[top : top + height * scale : scale, left : left + width * scale : scale]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_at_its_place_behind_lines(channels):
    images = numbered(7, channels=channels)
    picture = grid(images, columns=3, scale=2)
    assert picture.shape == (2 + 3 * 18, 2 + 3 * 18, channels)
    for index in range(7):
        assert np.array_equal(tile(picture, index // 3, index % 3, images, 2), images[index])
    assert (picture[:2] == LINE).all()
    assert (picture[:, 18:20] == LINE).all()
    assert (picture[-18:, -36:] == LINE).all(), "places without an image are blank"


def test_enlarged_pixels_are_plain_squares():
    images = numbered(1)
    picture = grid(images, scale=3)[2:-2, 2:-2]
    assert np.array_equal(picture, np.kron(images[0, :, :, 0], np.ones((3, 3), dtype=np.uint8))[:, :, None])


@pytest.mark.parametrize(
    ("num", "size", "shape"),
    [
        (64, 8, (2 + 8 * 58, 2 + 8 * 58)),  # enlarged seven times
        (10, 28, (2 + 3 * 58, 2 + 4 * 58)),  # twice
        (4, 64, (2 + 2 * 66, 2 + 2 * 66)),  # as they are
        (2, 8, (2 + 58, 2 + 2 * 58)),
        (1600, 28, (2 + 40 * 30, 2 + 40 * 30)),  # enlarged it would be wider than 2048
    ],
)
def test_by_itself_it_is_near_square_and_easy_to_see(num, size, shape):
    assert grid(numbered(num, size, size)).shape[:2] == shape


def test_ten_thousand_images_make_one_grid_as_large_as_may_be():
    images = numbered(10_000, 4, 4)
    picture = grid(images)
    assert picture.shape == (2 + 100 * 18, 2 + 100 * 18, 1), "enlarged four times; five would be wider than 2048"
    assert np.array_equal(tile(picture, 99, 99, images, 4), images[-1])


def test_originals_stand_above_their_reconstructions():
    originals, reconstructions = numbered(12)[:5], numbered(12)[5:10]
    picture = grid(reconstructions, columns=3, scale=1, originals=originals)
    assert picture.shape == (2 + 4 * 10 + 6, 2 + 3 * 10, 1)
    for index in range(5):
        row, column, extra = 2 * (index // 3), index % 3, 6 * (index // 3)
        assert np.array_equal(tile(picture, row, column, originals, 1, extra=extra), originals[index])
        assert np.array_equal(tile(picture, row + 1, column, originals, 1, extra=extra), reconstructions[index])
    assert (picture[-26:, -10:] == LINE).all(), "the sixth pair is blank"
    assert (picture[20 : 20 + 2 + 6] == LINE)[2:].all(), "rows of pairs are set apart"


def test_no_more_columns_than_images():
    images = numbered(3)
    assert grid(images, columns=8, scale=1).shape[:2] == (12, 32)
    assert grid(images, columns=8, scale=1, originals=images).shape[:2] == (22, 32)
