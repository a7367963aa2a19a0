"""Distances of reconstructions against torchmetrics and against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaegan.errors import UserError
from vaegan.metrics.image_quality import mean_squared_error, psnr, squared_error, ssim


def pairs(*shape: int, seed: int = 0):
    """Images with some structure, and the same with noise of a strength that grows from pair to pair."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], 3, 3, generator=generator)
    x = torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1)
    noise = torch.randn(shape, generator=generator) * torch.linspace(0.01, 0.5, shape[0]).view(-1, 1, 1, 1)
    return (x + noise).clamp(0, 1), x


def plain_ssim(a: np.ndarray, b: np.ndarray, window: int) -> float:
    """The formula at every place of one channel, weights and all written out."""
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for i in range(a.shape[0] - window + 1):
        for j in range(a.shape[1] - window + 1):
            p, q = a[i : i + window, j : j + window], b[i : i + window, j : j + window]
            mu_p, mu_q = (weights * p).sum(), (weights * q).sum()
            var_p, var_q = (weights * (p - mu_p) ** 2).sum(), (weights * (q - mu_q) ** 2).sum()
            cov = (weights * (p - mu_p) * (q - mu_q)).sum()
            found.append(
                (2 * mu_p * mu_q + 1e-4) * (2 * cov + 9e-4) / ((mu_p**2 + mu_q**2 + 1e-4) * (var_p + var_q + 9e-4))
            )
    return float(np.mean(found))


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (4, 3, 64, 48)])
def test_against_torchmetrics(shape: tuple[int, ...]) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image", reason="the extra 'metrics' is not installed")
    x_tilde, x = pairs(*shape)
    # There the image is mirrored at its borders; the places where the window fits wholly are as here.
    _, everywhere = functional.structural_similarity_index_measure(
        x_tilde.double(), x.double(), reduction="none", data_range=1.0, return_full_image=True
    )
    wanted = everywhere[..., 5:-5, 5:-5].flatten(1).mean(1)
    torch.testing.assert_close(ssim(x_tilde, x), wanted, rtol=0, atol=1e-9)
    wanted = functional.peak_signal_noise_ratio(x_tilde, x, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(x_tilde, x), wanted.double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("side", "window"), [(8, 7), (11, 11), (13, 11), (2, 1), (1, 1)])
def test_ssim_of_small_images(side: int, window: int) -> None:
    x_tilde, x = pairs(3, 2, side, side)
    wanted = [
        np.mean([plain_ssim(a[c].double().numpy(), b[c].double().numpy(), window) for c in range(2)])
        for a, b in zip(x_tilde, x, strict=True)
    ]
    np.testing.assert_allclose(ssim(x_tilde, x), wanted, atol=1e-12)


def test_ssim_falls_with_noise_and_is_symmetric() -> None:
    _, x = pairs(2, 1, 28, 28)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    found = torch.stack([ssim(x + strength * noise, x) for strength in (0.0, 0.02, 0.1, 0.4)])
    assert (found.diff(dim=0) < -0.02).all()
    torch.testing.assert_close(ssim(x, x + noise), ssim(x + noise, x))


def test_other_shapes_are_not_compared() -> None:
    """Torch would repeat the one channel."""
    for function in (mean_squared_error, psnr, ssim):
        with pytest.raises(UserError, match=r"\(2, 3, 4, 4\) cannot be compared with \(2, 1, 4, 4\): shapes must be"):
            function(torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4))


def test_errors_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    x_tilde = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert squared_error(x_tilde, x).tolist() == [1.25, 4.0]
    assert mean_squared_error(x_tilde, x).tolist() == [0.3125, 1.0]
    assert psnr(x_tilde, x).tolist() == pytest.approx([-10 * np.log10(0.3125), 0.0])
    # features: one row per image, or a number
    assert mean_squared_error(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])).tolist() == [5.0]
    assert mean_squared_error(torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.0])).tolist() == [4.0, 0.0]


@pytest.mark.parametrize("side", [8, 28])
def test_same_and_constant_images(side: int) -> None:
    x = torch.stack([torch.full((1, side, side), level) for level in (0.0, 0.3, 1.0)])
    for y in (x, pairs(3, 1, side, side)[0]):
        torch.testing.assert_close(ssim(y, y), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-9)
        assert psnr(y, y).tolist() == [100.0] * 3
        assert squared_error(y, y).tolist() == [0.0] * 3
    # black against white: no structure to agree on, only the means count
    assert float(ssim(x[:1], x[2:])) == pytest.approx(1e-4 / (1 + 1e-4))
    assert float(psnr(x[:1], x[2:])) == 0.0
