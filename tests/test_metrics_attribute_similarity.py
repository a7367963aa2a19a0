"""Attributes seen against those asked for, by scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error
from sklearn.metrics.pairwise import cosine_similarity

from vaegan.reproducing.measurements import attribute_similarity


def test_against_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted, centre = torch.randn(6, 5, generator=generator) + 2, torch.full((5,), 2.0)
    seen = wanted[:, None] + torch.randn(6, 10, 5, generator=generator)
    found = attribute_similarity(seen, wanted, centre)
    for row in range(6):
        y, made = wanted[row].double().numpy(), seen[row].double().numpy()
        cosine = cosine_similarity(made, y[None])[:, 0]
        centred = cosine_similarity(made - 2, y[None] - 2)[:, 0]
        errors = [mean_squared_error(y, image) for image in made]
        assert float(found["cosine"][row]) == pytest.approx(cosine.max())
        assert float(found["mean_cosine"][row]) == pytest.approx(cosine.mean())
        assert float(found["centred_cosine"][row]) == pytest.approx(centred.max())
        assert float(found["mean_centred_cosine"][row]) == pytest.approx(centred.mean())
        assert float(found["mse"][row]) == pytest.approx(errors[cosine.argmax()])
        assert float(found["mean_mse"][row]) == pytest.approx(np.mean(errors))


def test_images_that_ignore_what_was_asked_for() -> None:
    # Attributes with much in common: the cosine is high all the same, the centred one is not.
    generator = torch.Generator().manual_seed(0)
    centre = torch.full((20,), 3.0)
    wanted, others = centre + torch.randn(2, 500, 20, generator=generator)
    found = attribute_similarity(others[:, None], wanted, centre)
    assert found["cosine"].mean() > 0.85
    assert abs(found["centred_cosine"].mean()) < 0.05
    same = attribute_similarity(wanted[:, None], wanted, centre)
    torch.testing.assert_close(same["centred_cosine"], torch.ones(500, dtype=torch.float64))
    assert same["mse"].tolist() == [0.0] * 500


def test_attributes_left_open_do_not_count() -> None:
    wanted = torch.tensor([[1.0, math.nan, 2.0]])
    seen = torch.tensor([[[2.0, 9.0, 1.0], [3.0, -9.0, 6.0]]])
    found = attribute_similarity(seen, wanted, torch.tensor([0.0, 5.0, 0.0]))
    assert float(found["cosine"]) == pytest.approx(1.0)
    assert float(found["mean_cosine"]) == pytest.approx((1 + 0.8) / 2)
    assert float(found["centred_cosine"]) == pytest.approx(1.0)
    assert float(found["mse"]) == pytest.approx((4 + 16) / 2)
    assert float(found["mean_mse"]) == pytest.approx((10 + 1) / 2)


def test_nothing_seen_or_asked_for_is_no_similarity() -> None:
    zeros, ones = torch.zeros(1, 1, 3), torch.ones(1, 3)
    assert float(attribute_similarity(zeros, ones, torch.zeros(3))["cosine"]) == 0
    found = attribute_similarity(ones[None], ones, torch.ones(3))  # all of it is the mean
    assert (float(found["cosine"]), float(found["centred_cosine"])) == (pytest.approx(1), 0)
