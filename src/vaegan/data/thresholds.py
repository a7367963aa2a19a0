"""Which images have an attribute: those whose value is above a threshold."""

from __future__ import annotations

import torch
from torch import Tensor


def find_thresholds(attributes: Tensor) -> Tensor:
    """Return the thresholds `(A,)` between values `(N, A)` with an attribute (above) and without (at or below).

    They are half-way between the values of a binary attribute, the median of any other; where nothing is above the
    median, half-way to the next lower value; NaN where there are fewer than two values.
    """
    return torch.stack([_threshold(column[~column.isnan()]) for column in attributes.double().unbind(1)])


def has_attribute(attributes: Tensor, thresholds: Tensor) -> Tensor:
    """Return float32 `(N, A)`: 1 with the attribute, 0 without, NaN where unknown."""
    return torch.where(attributes.isnan(), torch.nan, (attributes.double() > thresholds).float())


def _threshold(values: Tensor) -> Tensor:
    distinct = torch.unique(values)
    if len(distinct) < 2:
        return values.new_tensor(torch.nan)
    middle = (distinct[-2] + distinct[-1]) / 2
    median = values.median()
    return middle if len(distinct) == 2 or not (values > median).any() else median
