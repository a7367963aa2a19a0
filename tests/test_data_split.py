from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vaegan.data.dataset import hashed_split

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
