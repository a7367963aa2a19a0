"""Image quality: reconstructions against their originals (MSE, PSNR, SSIM), and sharpness of single images.

Functions of pairs take images or features `(B, ...)` twice and return one number per pair, `(B,)`, so that a mean can
be given with an interval. Sums are taken in float64.

Sharpness is not good in itself, for noise is sharp as well; compare it with that of real images: blurred samples are
below it, noisy ones above. Colours are averaged to grey first.
"""

import torch
from torch import Tensor

from ..errors import check_shapes

BLURRED = 0.75
"""Share of the sharpness of real images below which others are called blurred."""
_HIGHEST_PSNR = 100.0


def squared_error(x_tilde: Tensor, x: Tensor) -> Tensor:
    """||x - x_tilde||^2, the sum over all dimensions, `(B,)`, of images or features `(B, ...)` of one shape."""
    check_shapes(x_tilde, x)
    return (x_tilde.double() - x.double()).square().reshape(len(x), -1).sum(1)


def mean_squared_error(x_tilde: Tensor, x: Tensor) -> Tensor:
    """||x - x_tilde||^2 / D, the mean over all D dimensions, `(B,)`, of images or features `(B, ...)`.

    Of features of any extractor this is the feature distance; its unit is the extractor's own.
    """
    return squared_error(x_tilde, x) / x[0].numel()


def psnr(x_tilde: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio -10 log10 MSE of images in [0, 1].

    Returns:
        Decibels, `(B,)`; at most 100 (an MSE of 1e-10, far below one grey level in one pixel), so that a single
        image without any error does not make the mean infinite.
    """
    return (-10 * mean_squared_error(x_tilde, x).log10()).clamp(max=_HIGHEST_PSNR)


def ssim(x_tilde: Tensor, x: Tensor, *, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity (Wang et al. 2004, "Image quality assessment", eq. 13; section III.B for the window).

    With means mu, variances and the covariance under a Gaussian window at every place where it fits entirely,

        (2 mu_x mu_y + C1) (2 cov_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2)),

    C1 = 0.01^2 and C2 = 0.03^2 for images in [0, 1], is averaged over places and channels. Where an image is smaller
    than the window, the window is cut at its sides to the largest odd size that fits: 7 x 7 at 8 x 8, which keeps
    0.98 of a side's weight and has four places. Figures of images of different sizes cannot be compared. It is our own
    for these small images and batches on any device; the tests compare it with an independent computation.

    Args:
        x_tilde: images in [0, 1], `(B, C, H, W)`.
        x: their originals, likewise.
        window: pixels along a side, odd.
        sigma: standard deviation of the Gaussian, in pixels.

    Returns:
        `(B,)` in [-1, 1]; 1 only where both images are the same.

    Raises:
        UserError: if the shapes differ.
    """
    check_shapes(x_tilde, x)
    x_tilde, x = x_tilde.double(), x.double()
    height, width = x.shape[-2:]
    smaller = min(height, width)
    window = min(window, max(1, smaller - 1 + smaller % 2))
    rows, columns = (_sliding_gaussian(side, window, sigma).to(x) for side in (height, width))

    def smooth(image: Tensor) -> Tensor:
        return rows @ image @ columns.T

    mu_y, mu_x = smooth(x_tilde), smooth(x)
    products, squares = mu_x * mu_y, mu_x.square() + mu_y.square()
    covariance = smooth(x * x_tilde) - products
    variances = smooth(x.square() + x_tilde.square()) - squares
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * products + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.flatten(1).mean(1)


def _sliding_gaussian(side: int, window: int, sigma: float) -> Tensor:
    """Return the matrix `(side - window + 1, side)` that averages under a Gaussian at every place where it fits."""
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    matrix = torch.zeros(side - window + 1, side, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights / weights.sum()
    return matrix


def laplacian_variance(x: Tensor) -> Tensor:
    """Variance of the Laplacian over an image, which responds most to the finest details.

    The Laplacian of a pixel is the sum of its four neighbours minus four times itself; pixels of the border, which lack
    a neighbour, are left out (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", "LAPV").
    Of images `(B, C, H, W)` in [0, 1], at least 3 x 3, `(B,)`; 0 of a flat image or an even slope.
    """
    grey = x.double().mean(1)
    neighbours = grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] + grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2]
    return (neighbours - 4 * grey[:, 1:-1, 1:-1]).flatten(1).var(1, correction=0)


def gradient_magnitude(x: Tensor) -> Tensor:
    """Mean magnitude of an image's gradient, in units of the grey scale per pixel, by differences to the next pixel.

    Of images `(B, C, H, W)` in [0, 1], at least 2 x 2, `(B,)`; 0 of a flat image, s of an even slope of s per pixel.
    """
    return _slopes(x).mean(1)


def errors_by_slope(x_tilde: Tensor, x: Tensor, share: float = 0.25) -> tuple[Tensor, Tensor]:
    """Mean squared error at edges and in smooth areas, each `(B,)`, of images `(B, C, H, W)` in [0, 1].

    Edges are the ``share`` of an original's pixels where its gradient is largest; the rest is smooth. Pixels of the
    last row and column have no gradient (see `gradient_magnitude`) and are left out.
    """
    order = _slopes(x).argsort(dim=1, descending=True, stable=True)
    errors = (x_tilde.double() - x.double()).square().mean(1)[:, :-1, :-1].flatten(1).gather(1, order)
    num = max(1, round(share * errors.shape[1]))
    return errors[:, :num].mean(1), errors[:, num:].mean(1)


def _slopes(x: Tensor) -> Tensor:
    """Return the magnitude of the gradient at each pixel but those of the last row and column, `(B, N)`."""
    grey = x.double().mean(1)
    down = grey[:, 1:, :-1] - grey[:, :-1, :-1]
    right = grey[:, :-1, 1:] - grey[:, :-1, :-1]
    return (down.square() + right.square()).sqrt().flatten(1)
