from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vaegan.data import dataset
from vaegan.data.dataset import ImageSet, hashed_split

NAMES = [f"class/{i:05}.jpg" for i in range(2000)]


def test_parts_are_disjoint_whole_and_of_the_right_share():
    split = hashed_split(NAMES, 0.2)
    assert sorted([*split.train, *split.test]) == list(range(2000))
    assert abs(len(split.test) - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8)


def test_held_out_are_those_whose_hash_is_small():
    test = hashed_split(NAMES, 0.2).test
    small = {n for n in NAMES if int(hashlib.sha256(n.encode()).hexdigest(), 16) / 2**256 < 0.2}
    assert {NAMES[i] for i in test} == small


def test_new_files_move_no_others():
    before = {NAMES[i] for i in hashed_split(NAMES[:1500], 0.1).test}
    after = {NAMES[i] for i in hashed_split(NAMES, 0.1).test}
    assert before == after & set(NAMES[:1500])


@pytest.mark.parametrize("held_out", [1e-9, 1 - 1e-9])
@pytest.mark.parametrize("num_images", [2, 3, 50])
def test_no_part_is_empty(num_images, held_out):
    split = hashed_split(NAMES[:num_images], held_out)
    assert len(split.train) >= 1
    assert len(split.test) >= 1
    assert len(split) == num_images


def test_one_image_is_on_both_sides():
    split = hashed_split(["a"], 0.1)
    assert (split.train.tolist(), split.test.tolist(), len(split)) == ([0], [0], 1)


def test_names_that_are_not_unicode_are_taken():
    split = hashed_split(["a\udcff.png", "b.png"], 0.1)
    assert len(split.train) == len(split.test) == 1


def test_many_chosen_images_are_read_from_their_map_when_they_are_indexed(tmp_path, monkeypatch):
    numbers = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", numbers)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = ImageSet(mapped, [str(i) for i in range(50)], labels=np.arange(50))
    copied = images.some(20, 3)
    monkeypatch.setattr(dataset, "_LARGE", copied.images.nbytes - 1)
    read = images.some(20, 3)
    assert isinstance(copied.images, np.ndarray)
    assert not isinstance(read.images, np.ndarray)
    assert (read.images.shape, read.images.dtype, len(read)) == ((20, 4, 5, 3), np.uint8, 20)
    assert (read.names, read.labels.tolist()) == (copied.names, copied.labels.tolist())
    np.testing.assert_array_equal(read.images, copied.images)
    for key in (3, slice(2, 9), np.array([4, 1]), (slice(2, 9), slice(1, 3), slice(None, None, -1)), (slice(9), None)):
        np.testing.assert_array_equal(read.images[key], copied.images[key])
    assert read.unit().equal(copied.unit())
    assert read.unit([5, 2]).equal(copied.unit([5, 2]))
    np.testing.assert_array_equal(read.take(slice(3, 8)).images, copied.images[3:8])
    np.testing.assert_array_equal(read.some(7, 0).images, copied.some(7, 0).images)
