"""How probable a model finds the reference's images, and how its codes lie beside N(0, I).

No likelihood of pixels was trained in a VAE/GAN, and others were trained with one or the other. So that models can be
compared, pixels are taken as Gaussian around the decoded code, all with the one variance that makes the images most
probable, and images of 8 bits as spread over their cells (see `metrics.likelihood`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..latent.encoding import encode_images
from ..losses import kl_per_dimension
from ..metrics.aggregate import active_units, prior_gap
from ..metrics.image_quality import squared_error
from ..metrics.likelihood import (
    bits_per_dimension,
    expectation,
    gaussian_nll,
    gaussian_pixels,
    importance_bound,
    optimal_variance,
)
from ..models import Model
from ..pixels import to_unit
from .figures import Figures, figure, mean_figure
from .reference import Bench

_NUM_BOUND = 256  # images of the importance-weighted bound, which decodes _NUM_DRAWS codes of each
_NUM_DRAWS = 64


def likelihood_figures(model: Model, bench: Bench) -> Figures:
    """Return figures of likelihood, as far as the encoder gives a distribution, and of the codes against N(0, I).

    Returns:
        In nats per image 'nll', E_q -log p(x|z), 'kl', 'elbo', 'importance_bound' (64 draws); 'bits_per_dimension', of
        the ELBO; 'pixel_deviation', of the Gaussian, on the scale of [0, 1]; 'active_units'; and of the gap between all
        codes and N(0, I) 'gap_kl', 'gap_sliced' and, for comparison, 'gap_by_chance' (see `metrics.aggregate`).

    Raises:
        UserError: if the model has no encoder.
    """
    condition = model.condition_of(bench.images)
    mu, logvar = encode_images(model, bench.images.images, condition=condition, batch_size=bench.batch_size)
    num, seed = len(mu), bench.seed
    gap = prior_gap(mu, logvar, seed=seed)
    found: Figures = {
        "active_units": figure(float(active_units(mu).sum()), num, seed),
        "gap_kl": figure(gap.gaussian_kl, num, seed),
        "gap_sliced": figure(gap.sliced_wasserstein, num, seed),
        "gap_by_chance": figure(gap.by_chance, num, seed),
    }
    return found if logvar is None else _bounds(model, bench, mu, logvar, condition) | found


def _bounds(model: Model, bench: Bench, mu: Tensor, logvar: Tensor, condition: Tensor | None) -> Figures:
    images, seed, size = bench.images.images, bench.seed, bench.batch_size
    num_dims = images[0].size

    def x_of(rows: slice) -> Tensor:
        return to_unit(torch.from_numpy(np.array(images[rows])))

    def decoder_of(rows: slice) -> Callable[[Tensor], Tensor]:
        c = None if condition is None else condition[rows]
        return lambda z: model.decode(z, condition=c).cpu()

    def error_of(rows: slice) -> Tensor:
        decode = decoder_of(rows)
        of_codes = mu[rows], logvar[rows], x_of(rows)
        return expectation(lambda z, x: squared_error(decode(z), x), *of_codes, seed=seed + rows.start, batch_size=size)

    error = torch.cat([error_of(slice(start, start + size)) for start in range(0, len(mu), size)])
    variance = optimal_variance(error, num_dims)
    nll = gaussian_nll(error, num_dims, variance)
    kl = kl_per_dimension(mu.double(), logvar.double()).sum(1)
    few = slice(0, _NUM_BOUND)
    pixels = gaussian_pixels(decoder_of(few), variance)
    of_codes = mu[few], logvar[few], x_of(few)
    bound = importance_bound(pixels, *of_codes, num_draws=_NUM_DRAWS, seed=seed, batch_size=_NUM_BOUND)
    return {
        "nll": mean_figure(nll, seed),
        "kl": mean_figure(kl, seed),
        "elbo": mean_figure(-(nll + kl), seed),
        "importance_bound": mean_figure(bound, seed),
        "bits_per_dimension": mean_figure(bits_per_dimension(nll + kl, num_dims), seed),
        "pixel_deviation": figure(variance**0.5, len(error), seed),
    }
