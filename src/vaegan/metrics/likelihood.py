"""How probable a model with an encoder finds images: bounds of log p(x), in nats per image.

With the decoder's p(x|z), the prior p(z) = N(0, I) and the encoder's q(z|x) = N(mu, diag exp(logvar)),

    log p(x) >= E_q log p(x|z) - KL(q(z|x) || p(z)) = ELBO
    log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x),  z_k ~ q(z|x)

(Kingma & Welling, arXiv:1312.6114, eq. 3; Burda et al., arXiv:1509.00519, eq. 8). The second rises with K from the ELBO
(K = 1) to log p(x). The model comes in as a function ``nll`` from codes and images to -log p(x|z), made by
`gaussian_pixels` or `bernoulli_pixels` or your own.

A density in pixels means something only with the grain of the pixels. Images of 8 bits in [0, 1] are taken as spread
evenly over cells of 1/255 around their values (dequantisation; Theis et al., arXiv:1511.01844, section 3.1). The mean
of the squared error over a cell is that at its centre plus cell^2 / 12 per dimension, so no noise need be drawn. The
density times the size of a cell then bounds the probability of the bytes, which `bits_per_dimension` gives.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..distributed import ALONE, World
from ..losses import bernoulli_loss
from ..pixels import WHITE
from ..progress import paced
from .image_quality import squared_error

CELL = 1 / WHITE
"""Width of the cell of one value of 8 bits, of images in [0, 1]."""

Nll = Callable[[Tensor, Tensor], Tensor]
"""-log p(x|z) in nats, `(B,)`, of codes `(B, Z)` and images `(B, C, H, W)`."""


def gaussian_nll(error: Tensor, num_dims: int, variance: float, cell: float = CELL) -> Tensor:
    """-log N(x | x_tilde, variance I) of images spread over their cells.

    Args:
        error: ||x - x_tilde||^2, `(B,)`, or its mean over codes, for this is linear in it.
        num_dims: D, numbers of an image.
        variance: of a pixel, on the images' scale.
        cell: width of a cell; 0 for the density at the images as they are.

    Returns:
        Nats per image, `(B,)`; may be negative.
    """
    spread = error.double() + num_dims * cell**2 / 12
    return 0.5 * (spread / variance + num_dims * math.log(2 * math.pi * variance))


def optimal_variance(error: Tensor, num_dims: int, cell: float = CELL) -> float:
    """Variance of a pixel under which images are most probable: their mean squared error (arXiv:2006.13202, eq. 4).

    Args:
        error: ||x - x_tilde||^2 of images, `(N,)`, or its mean over codes.
        num_dims: D, numbers of an image.
        cell: as in `gaussian_nll`; with a cell the variance is more than 0 even if nothing is lost.
    """
    return float(error.double().mean()) / num_dims + cell**2 / 12


def gaussian_pixels(decode: Callable[[Tensor], Tensor], variance: float, cell: float = CELL) -> Nll:
    """Return -log p(x|z) of pixels that are Gaussian around ``decode(z)``; arguments as `gaussian_nll`."""
    return lambda z, x: gaussian_nll(squared_error(decode(z), x), x[0].numel(), variance, cell)


def bernoulli_pixels(logits: Callable[[Tensor], Tensor]) -> Nll:
    """Return -log p(x|z) of pixels that are white with probability sigmoid(``logits(z)``).

    It is a likelihood of black-and-white images; grey ones count as the mean over such with that brightness.
    """
    return lambda z, x: bernoulli_loss(logits(z), x).double()


@torch.no_grad()
def expectation(
    function: Nll, mu: Tensor, logvar: Tensor, x: Tensor, *, num_draws: int = 1, seed: int = 0, batch_size: int = 256
) -> Tensor:
    """Return the mean over codes z ~ q(z|x) of a function, `(N,)`; of -log p(x|z) it is the ELBO's first term.

    Args:
        function: of codes and images, such as -log p(x|z).
        mu: means of q(z|x), `(N, Z)`.
        logvar: its log variances, `(N, Z)`.
        x: images, `(N, C, H, W)`.
        num_draws: codes drawn for each image.
        seed: of the draws, which do not depend on the batch size; images in several calls want a seed each.
        batch_size: codes decoded at a time.
    """
    total = mu.new_zeros(len(mu), dtype=torch.float64)
    for _, z in _draws(mu, logvar, num_draws, seed):
        total += _in_batches(function, z.to(mu.dtype), x, batch_size)
    return total / num_draws


@torch.no_grad()
def importance_bound(
    nll: Nll,
    mu: Tensor,
    logvar: Tensor,
    x: Tensor,
    *,
    num_draws: int = 64,
    seed: int = 0,
    batch_size: int = 256,
    world: World = ALONE,
) -> Tensor:
    """Return the importance-weighted bound of log p(x) with K = num_draws (Burda et al., arXiv:1509.00519, eq. 8).

    In nats per image, `(N,)`; arguments as `expectation`. The time is that of decoding K N codes, the memory that of
    one code each. Several processes share the draws.
    """

    def log_weight(epsilon: Tensor, z: Tensor) -> Tensor:
        # log p(z) - log q(z|x); with z = mu + sigma epsilon both have the constant of a Gaussian.
        log_ratio = 0.5 * (epsilon.square() - z.square() + logvar.double()).sum(1)
        return log_ratio - _in_batches(nll, z.to(mu.dtype), x, batch_size)

    draws = itertools.islice(_draws(mu, logvar, num_draws, seed), world.rank, None, world.size)
    weights = world.gathered({"log": log_weight(epsilon, z)[None]} for epsilon, z in draws)["log"]
    return functools.reduce(torch.logaddexp, weights, torch.full_like(weights[0], -torch.inf)) - math.log(num_draws)


def bits_per_dimension(nats: Tensor, num_dims: int, cell: float = CELL) -> Tensor:
    """Bits that each number of an image takes.

    Args:
        nats: -log p(x) per image or a bound of it, such as ``-elbo``, `(N,)`.
        num_dims: D, numbers of an image.
        cell: width of a cell on the scale of x, as in the likelihood; 1 if it is of discrete values (Bernoulli).
    """
    return (nats / num_dims - math.log(cell)) / math.log(2)


def _draws(mu: Tensor, logvar: Tensor, num: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield epsilon and z = mu + sigma epsilon, each float64 `(N, Z)`; drawn on the CPU, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    mu, sigma = mu.double(), (0.5 * logvar.double()).exp()
    for _ in paced(range(num), num, "measuring the likelihood"):
        epsilon = torch.randn(mu.shape, generator=generator, dtype=torch.float64).to(mu.device)
        yield epsilon, mu + sigma * epsilon


def _in_batches(function: Nll, z: Tensor, x: Tensor, batch_size: int) -> Tensor:
    pairs = zip(torch.split(z, batch_size), torch.split(x, batch_size), strict=True)
    return torch.cat([function(some_z, some_x.to(z.device)).double() for some_z, some_x in pairs])
