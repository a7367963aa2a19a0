from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vaegan.latent.code_paths import smoothness


def test_a_cross_fade_is_perfectly_smooth():
    a, b = torch.rand(2, 3, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    path = torch.stack([(1 - t) * a + t * b for t in (0, 0.25, 0.5, 0.75, 1)])
    found = smoothness(path)
    torch.testing.assert_close(found.detour, torch.ones(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.largest, torch.ones(3).double(), atol=1e-6, rtol=0)


def test_a_leap_and_a_detour_by_hand():
    leap = [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]
    corner = [[0.0, 0.0], [4.0, 0.0], [4.0, 1.0], [4.0, 3.0]]
    found = smoothness(torch.tensor([leap, corner]).transpose(0, 1))
    assert found.detour.tolist() == pytest.approx([1.0, 7 / 5])
    assert found.largest.tolist() == pytest.approx([3.0, 4 / (7 / 3)])


def test_bytes_do_not_overflow():
    path = torch.tensor([[[255]], [[0]], [[255]], [[100]]], dtype=torch.uint8)
    found = smoothness(path)
    assert found.detour.item() == pytest.approx((255 + 255 + 155) / 155)


def test_paths_that_stand_still_or_come_back():
    still, back = [1.0, 1.0, 1.0], [0.0, 2.0, 0.0]
    found = smoothness(torch.tensor([still, back]).T[..., None])
    assert found.detour.tolist() == [1.0, math.inf]
    assert found.largest.tolist() == [1.0, 1.0]


def test_every_path_by_a_loop():
    path = np.random.default_rng(0).normal(size=(6, 4, 2, 3, 3))
    found = smoothness(torch.from_numpy(path))
    for i in range(4):
        steps = [np.sqrt(((path[t + 1, i] - path[t, i]) ** 2).sum()) for t in range(5)]
        assert float(found.detour[i]) == pytest.approx(sum(steps) / np.sqrt(((path[5, i] - path[0, i]) ** 2).sum()))
        assert float(found.largest[i]) == pytest.approx(max(steps) / np.mean(steps))
