from __future__ import annotations

import threading

import pytest
import torch

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.studio.batching import Batcher
from vaegan.studio.http_errors import Refused


class Slow:
    """Doubles rows; the first pass waits until it is let go."""

    def __init__(self):
        self.go, self.started, self.sizes = threading.Event(), threading.Event(), []

    def __call__(self, rows, *more):
        self.sizes.append(len(rows))
        self.started.set()
        assert self.go.wait(60)
        if (rows < 0).any():
            raise ValueError("negative")
        return rows * 2, rows + 1


def queued(batcher, slow, inputs):
    """Futures of inputs, all of which but the first wait while the first is computed."""
    first = batcher.submit(slow, inputs[0])
    assert slow.started.wait(60)
    return [first, *(batcher.submit(slow, each) for each in inputs[1:])]


def test_what_waits_is_joined_and_each_gets_its_share():
    batcher, slow = Batcher(max_rows=64), Slow()
    inputs = [torch.full((num, 2), float(num)) for num in (1, 2, 3, 4)]
    futures = queued(batcher, slow, inputs)
    slow.go.set()
    for future, rows in zip(futures, inputs, strict=True):
        doubled, plus_one = future.result(60)
        assert torch.equal(doubled, rows * 2)
        assert torch.equal(plus_one, rows + 1)
    assert slow.sizes == [1, 9]
    batcher.close()


@pytest.mark.parametrize(("max_rows", "sizes"), [(5, [1, 5, 4]), (1, [1, 2, 3, 4])])
def test_bounds_of_a_batch(max_rows, sizes):
    batcher, slow = Batcher(max_rows), Slow()
    futures = queued(batcher, slow, [torch.ones(num, 1) for num in (1, 2, 3, 4)])
    slow.go.set()
    assert [len(future.result(60)[0]) for future in futures] == [1, 2, 3, 4]
    assert slow.sizes == sizes
    batcher.close()


def test_other_functions_are_not_joined():
    batcher, slow, other = Batcher(), Slow(), Slow()
    futures = queued(batcher, slow, [torch.ones(1, 1), torch.ones(2, 1)])
    futures += [batcher.submit(other, torch.ones(3, 1)), batcher.submit(slow, torch.ones(4, 1), torch.ones(4, 1))]
    slow.go.set()
    other.go.set()
    assert [len(future.result(60)[0]) for future in futures] == [1, 2, 3, 4]
    assert slow.sizes == [1, 2, 4]
    assert other.sizes == [3]
    batcher.close()


def test_one_mistake_is_nobody_elses():
    batcher, slow = Batcher(), Slow()
    first, good, bad = queued(batcher, slow, [torch.ones(1, 1), torch.ones(2, 1), -torch.ones(3, 1)])
    slow.go.set()
    assert len(first.result(60)[0]) == 1
    assert len(good.result(60)[0]) == 2
    with pytest.raises(ValueError, match="negative"):
        bad.result(60)
    batcher.close()


def test_too_many_are_refused_and_the_given_up_are_left_out():
    batcher, slow = Batcher(max_waiting=2), Slow()
    first, second, third = queued(batcher, slow, [torch.ones(num, 1) for num in (1, 2, 3)])
    with pytest.raises(Refused, match="too many") as refused:
        batcher.submit(slow, torch.ones(1, 1))
    assert refused.value.status == 429
    assert second.cancel()
    slow.go.set()
    assert len(first.result(60)[0]) == 1
    assert len(third.result(60)[0]) == 3
    assert slow.sizes == [1, 3]
    batcher.close()
    with pytest.raises(Refused):
        batcher.submit(slow, torch.ones(1, 1))
