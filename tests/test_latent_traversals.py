from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vaegan.latent.code_paths import order_by_kl, traverse


def test_dimensions_are_ordered_by_their_kl():
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 50, 6, generator=generator)
    mu[:, 4], logvar[:, 4] = 0.0, 0.0
    mu[:, 2] += 5
    order, kl = order_by_kl(mu, logvar)
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(torch.zeros(6), torch.ones(6))).mean(0)
    torch.testing.assert_close(kl, expected[order])
    assert order[0] == 2
    assert order[-1] == 4
    assert (kl.diff() <= 0).all()
    assert float(kl[-1]) == pytest.approx(0.0, abs=1e-6)


def test_only_one_dimension_moves_at_a_time():
    z = torch.tensor([1.0, 2.0, 3.0, 4.0])
    codes = traverse(z, [2, 0], (-3, 0.5, math.pi))
    assert codes.shape == (2, 3, 4)
    for row, d in enumerate((2, 0)):
        for column, value in enumerate((-3, 0.5, math.pi)):
            expected = z.clone()
            expected[d] = value
            assert torch.equal(codes[row, column], expected)
    assert z.tolist() == [1, 2, 3, 4]
