"""Which numbers a histogram counts."""

from __future__ import annotations

import torch

from vaegan.training.recorder import MOST_VALUES, some_values


def test_small_tensors_are_counted_whole() -> None:
    tensor = torch.arange(24.0, dtype=torch.bfloat16).view(2, 3, 4)
    assert torch.equal(some_values(tensor), torch.arange(24.0))


def test_of_large_tensors_a_spread_is_counted() -> None:
    values = some_values(torch.arange(4 * MOST_VALUES + 4).view(4, -1))
    assert MOST_VALUES // 2 < len(values) <= MOST_VALUES
    assert torch.equal(values, 5.0 * torch.arange(len(values)))
