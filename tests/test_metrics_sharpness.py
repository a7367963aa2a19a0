"""Sharpness against scipy and on images whose slopes are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from vaegan.metrics.image_quality import errors_by_slope, gradient_magnitude, laplacian_variance


@pytest.fixture(scope="module")
def noise():
    return torch.rand(4, 3, 12, 9, generator=torch.Generator().manual_seed(0))


def test_against_scipy(noise) -> None:
    for image, laplacian, gradient in zip(noise, laplacian_variance(noise), gradient_magnitude(noise), strict=True):
        grey = image.double().mean(0).numpy()
        assert float(laplacian) == pytest.approx(ndimage.laplace(grey)[1:-1, 1:-1].var())
        slopes = [ndimage.correlate1d(grey, [0, -1, 1], axis)[:-1, :-1] for axis in (0, 1)]
        assert float(gradient) == pytest.approx(np.hypot(*slopes).mean())


def test_slopes_and_flat_images() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    x = torch.stack([0 * rows, 0 * rows + 1, 0.03 * rows + 0.04 * columns])[:, None]
    assert laplacian_variance(x).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert gradient_magnitude(x).tolist() == pytest.approx([0, 0, 0.05])


def test_blur_lowers_and_noise_raises_both(noise) -> None:
    coarse = torch.nn.functional.interpolate(noise, (36, 36), mode="bicubic").clamp(0, 1)
    blurred = torch.from_numpy(ndimage.gaussian_filter(coarse.numpy(), (0, 0, 1.5, 1.5)))
    grainy = coarse + 0.1 * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(1))
    for sharpness in (laplacian_variance, gradient_magnitude):
        assert (sharpness(blurred) < 0.9 * sharpness(coarse)).all()
        assert (sharpness(grainy) > 1.1 * sharpness(coarse)).all()


def test_checkerboard_by_hand() -> None:
    # Every pixel differs by 1 from all four neighbours: second differences of 4 and -4, as many of each.
    board = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    x = board.double()[None, None]
    assert float(laplacian_variance(x)) == pytest.approx(16)
    assert float(gradient_magnitude(x)) == pytest.approx(2**0.5)


def test_errors_are_parted_by_where_the_original_changes() -> None:
    x = torch.zeros(2, 1, 9, 9)
    x[0, :, :, 4:] = 1.0  # a vertical edge: 8 of 64 pixels
    x[1, :, 4:] = 0.5
    x_tilde = x.clone()
    x_tilde[0, :, :, 3] += 0.5  # where the edge is
    x_tilde[1, :, 0] += 0.5  # where all is flat
    edges, smooth = errors_by_slope(x_tilde, x, share=8 / 64)
    assert edges.tolist() == pytest.approx([0.25, 0.0])
    assert smooth.tolist() == pytest.approx([0.0, 8 * 0.25 / 56])
    x, x_tilde = torch.rand(2, 3, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    edges, smooth = errors_by_slope(x_tilde, x)
    whole = (x_tilde - x).double().square()[:, :, :-1, :-1].mean((1, 2, 3))
    torch.testing.assert_close(0.25 * edges + 0.75 * smooth, whole)
