"""How sharp an image is: how strong its edges and its finest details are.

Neither is good in itself, for noise is sharp as well. What tells is the comparison with the same figure of real
images: blurred samples are below it, noisy ones above. Colours are averaged to one grey first.
"""

from __future__ import annotations

from torch import Tensor


def laplacian_variance(x: Tensor) -> Tensor:
    """Variance over an image of its second difference, which answers to the finest details most.

    The difference of a pixel is the sum of its four neighbours less four times itself; pixels of the border, which lack
    a neighbour, are left out (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", "LAPV").

    Args:
        x: images in [0, 1], `(B, C, H, W)`, at least 3 x 3.

    Returns:
        `(B,)`; 0 of a flat image or an even slope.
    """
    grey = x.double().mean(1)
    neighbours = grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] + grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2]
    return (neighbours - 4 * grey[:, 1:-1, 1:-1]).flatten(1).var(1, correction=0)


def gradient_magnitude(x: Tensor) -> Tensor:
    """Mean length of an image's gradient, in units of the grey scale per pixel, by differences to the next pixel.

    Args:
        x: images in [0, 1], `(B, C, H, W)`, at least 2 x 2.

    Returns:
        `(B,)`; 0 of a flat image, s of an even slope of s per pixel.
    """
    grey = x.double().mean(1)
    down = grey[:, 1:, :-1] - grey[:, :-1, :-1]
    right = grey[:, :-1, 1:] - grey[:, :-1, :-1]
    return (down.square() + right.square()).sqrt().flatten(1).mean(1)
