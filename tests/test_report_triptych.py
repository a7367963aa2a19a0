from __future__ import annotations

import numpy as np
import pytest

from vaegan.report.grid import triptych


@pytest.mark.parametrize(("num", "size", "channels", "scale"), [(7, 8, 3, 7), (32, 28, 1, 2), (1, 64, 3, 1)])
def test_three_blocks_of_equal_size_hold_the_images_in_equal_places(num, size, channels, scale):
    images = np.random.default_rng(0).integers(0, 256, (3, num, size, size, channels), dtype=np.uint8)
    picture = triptych(*images)
    columns = {7: 3, 32: 8, 1: 1}[num]
    rows = -(-num // columns)
    block = 2 + columns * (size * scale + 2), 2 + rows * (size * scale + 2)
    assert picture.shape[1] == 8 + 3 * (block[0] + 8)
    top = picture.shape[0] - (8 + block[1] + 8)
    for index in range(3):
        for number in range(num):
            left = 8 + index * (block[0] + 8) + 2 + number % columns * (size * scale + 2)
            upper = top + 8 + 2 + number // columns * (size * scale + 2)
            tile = picture[upper : upper + size * scale : scale, left : left + size * scale : scale]
            np.testing.assert_array_equal(tile, images[index, number])
    heads = picture[:top].min(axis=(0, 2))
    assert all(heads[8 + i * (block[0] + 8) :][: block[0]].min() < 128 for i in range(3))


def test_many_images_are_not_wider_than_a_grid_of_them():
    images = np.zeros((3, 64, 28, 28, 1), np.uint8)
    assert triptych(*images).shape[1] < 2100
