from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from vaegan.latent.attribute_vectors import balancing_weights


def test_balancing_weights_solve_their_equation():
    c = torch.from_numpy(np.random.default_rng(0).normal(0.3, 1, (300, 4)))
    w = balancing_weights(c, ridge=1e-12)
    assert float(w.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(w @ c, torch.zeros(4).double(), atol=1e-8, rtol=0)
    # Nearest to equal in entropy: log w is linear in c.
    fit = LinearRegression().fit(c.numpy(), w.log().numpy())
    assert fit.score(c.numpy(), w.log().numpy()) == pytest.approx(1.0)


def test_balancing_weights_where_none_can_do_it_stay_finite():
    w = balancing_weights(torch.rand(50, 2, generator=torch.Generator().manual_seed(0)).double() + 1)
    assert torch.isfinite(w).all()
    assert float(w.sum()) == pytest.approx(1.0)
