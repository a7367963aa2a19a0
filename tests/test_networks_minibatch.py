from __future__ import annotations

import numpy as np
import torch

from vaegan.networks.layers import MinibatchDiscrimination


def looped(x: np.ndarray, weight: np.ndarray, num_features: int, row_dim: int) -> np.ndarray:
    """Equations of Salimans et al. (arXiv:1606.03498), section 3.2, one image and one row at a time."""
    batch = len(x)
    o = np.zeros((batch, num_features))
    for i in range(batch):
        for j in range(batch):
            for b in range(num_features):
                rows = weight[b * row_dim : (b + 1) * row_dim]
                o[i, b] += np.exp(-sum(abs(rows[c] @ x[i] - rows[c] @ x[j]) for c in range(row_dim)))
    return np.concatenate([x, o], axis=1)


def test_equals_the_loop() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(7, num_features=4, row_dim=3).double()
    x = torch.randn(6, 7, dtype=torch.float64)
    expected = looped(x.numpy(), layer.linear.weight.detach().numpy(), 4, 3)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10)


def test_equal_images_have_the_largest_closeness() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(7, num_features=4)
    same = torch.randn(1, 7).expand(6, 7)
    torch.testing.assert_close(layer(same)[:, 7:], torch.full((6, 4), 6.0))
    assert (layer(torch.randn(6, 7))[:, 7:] < 6).all()


def test_distances_keep_the_weights_precision_under_autocast() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(7, num_features=4)
    x = torch.randn(6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x)
        rows = layer.linear(x).float().view(6, 4, 5)
    expected = torch.exp(-(rows[:, None] - rows[None]).abs().sum(3)).sum(0)
    torch.testing.assert_close(low[:, 7:], expected)
