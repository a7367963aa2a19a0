"""The order of a stream is a pure function of seed and images seen, and needs no memory per image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vaegan.data.stream.order import ShardOrder

COUNTS = np.array([5, 0, 7, 3, 12, 1])


def elements(order: ShardOrder, start: int, num: int) -> list[tuple[int, int]]:
    return list(zip(*(part.tolist() for part in order.at(start, num)), strict=True))


@pytest.mark.parametrize("window", [1, 4, 10, 28, 100])
def test_each_epoch_has_each_sample_once(window):
    order = ShardOrder(COUNTS, 3, window)
    every = [(shard, sample) for shard, num in enumerate(COUNTS) for sample in range(num)]
    epochs = [elements(order, 28 * epoch, 28) for epoch in range(4)]
    assert all(sorted(epoch) == every for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4


def test_any_place_in_any_pieces_gives_the_same():
    whole = elements(ShardOrder(COUNTS, 0, 6), 0, 200)
    for start, num in ((151, 40), (0, 1), (27, 3), (5, 7), (13, 120)):
        assert elements(ShardOrder(COUNTS, 0, 6), start, num) == whole[start : start + num]


def test_seeds_differ():
    assert elements(ShardOrder(COUNTS, 0, 6), 0, 28) != elements(ShardOrder(COUNTS, 1, 6), 0, 28)


def test_samples_are_shuffled_in_a_window():
    order = ShardOrder(np.array([1000]), 0, 100)
    _, samples = order.at(0, 1000)
    for first in range(0, 1000, 100):
        assert sorted(samples[first : first + 100]) == list(range(first, first + 100))
        assert samples[first : first + 100].tolist() != sorted(samples[first : first + 100])


def test_the_law_stays_what_it_is():
    """Another order would change every run of a stream."""
    order = ShardOrder(np.array([3, 2]), 0, 4)
    assert elements(order, 3, 8) == [(1, 1), (0, 2), (1, 1), (1, 0), (0, 0), (0, 1), (0, 2), (1, 0)]
    one = ShardOrder(np.array([100]), 0, 100)
    assert elements(one, 0, 100) != elements(one, 100, 100)


@pytest.mark.parametrize("place", [0, 5, 6, 17, 24, 27, 28, 60])
def test_shards_of_a_window_are_those_of_its_samples(place):
    order = ShardOrder(COUNTS, 2, 6)
    shards, following = order.shards_around(place)
    first = place // 28 * 28 + place % 28 // 6 * 6
    assert following == min(first + 6, (place // 28 + 1) * 28)
    assert set(shards) == {shard for shard, _ in elements(order, first, following - first)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_a_billion_images_fit_into_300_megabytes():
    code = r"""
import re
from pathlib import Path
import numpy as np
from vaegan.data.stream.order import ShardOrder
order = ShardOrder(np.full(10**6, 1000), 0, 2**16)
for place in (0, 10**9 - 32, 123_456_789, 5 * 10**9):
    shards, samples = order.at(place, 64)
    assert len(order.shards_around(place)[0]) <= 67
    assert 0 <= shards.min() and shards.max() < 10**6 and samples.max() < 1000
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # ru_maxrss is the parent's, too
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1e3 < 300
