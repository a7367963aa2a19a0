"""Figures of a model's codes: how probable images are with them, how they compare with N(0, I), what labels they hold.

No likelihood of pixels was trained in a VAE/GAN, and others were trained with one or the other. So that models can be
compared, pixels are taken as Gaussian around the decoded code, all with the one variance that makes the images most
probable, and integers as spread over their cells (see `metrics.likelihood`). Floats have no cells: for them the density
is that at the images as they are, and bits per dimension are not defined. Images that were drawn black and white have
probabilities under the decoder's sigmoid.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..latent.encoding import encode_batches
from ..losses import kl_per_dimension
from ..metrics.bootstrap import bootstrap_mean
from ..metrics.codes import active_units, linear_probe, neighbour_probe, prior_gap
from ..metrics.figures import Figure, Figures
from ..metrics.image_quality import squared_error
from ..metrics.likelihood import (
    Nll,
    bernoulli_pixels,
    bits_per_dimension,
    expectation,
    gaussian_nll,
    gaussian_pixels,
    importance_bound,
    optimal_variance,
)
from ..models import Model
from ..models.inference import at_once
from ..progress import Beat, paced
from .reference import RealImages

_NUM_BOUND = 256  # images at a time of the importance-weighted bound; of one with _NUM_DRAWS, all, by the seed
_NUM_DRAWS = 64  # codes decoded of each


def likelihood_figures(model: Model, real: RealImages, draws: int | None = None) -> Figures:
    """Return figures of likelihood, as far as the encoder gives a distribution, and of the codes against N(0, I).

    In nats per image 'nll', E_q -log p(x|z), 'kl', 'elbo', 'importance_bound' (of so many ``draws`` for each image; if
    None, 64 for 256 images); 'bits_per_dimension', of the ELBO; 'pixel_deviation', of a Gaussian, on the scale of [0,
    1]; 'active_units'; and of the gap between all codes and N(0, I) 'gap_kl', 'gap_sliced' and, for comparison,
    'gap_by_chance' (see `metrics.codes`). Raises UserError if the model has no encoder, is a published one (its codes
    were not trained to follow N(0, I)), or gives black and white images no probability.
    """
    if model.kind != "ae" and not model.has_normal_prior:
        raise UserError("codes of published autoencoders, and of models fine-tuned from them, do not follow N(0, I)")
    mu, logvar = _codes(model, real.images, real)
    num, seed = len(mu), real.seed
    gap = prior_gap(mu, logvar, seed=seed)
    numbers = {
        "active_units": float(active_units(mu).sum()),
        "gap_kl": gap.gaussian_kl,
        "gap_sliced": gap.sliced_wasserstein,
        "gap_by_chance": gap.by_chance,
    }
    figures = {name: Figure(number, num=num, seed=seed) for name, number in numbers.items()}
    return figures if logvar is None else _bounds(model, real, mu, logvar, draws) | figures


def _bounds(model: Model, real: RealImages, mu: Tensor, logvar: Tensor, draws: int | None) -> Figures:
    images, seed, world = real.images, real.seed, real.world
    size, size_of_bound = (at_once(images.images.shape[1:3], num) for num in (real.batch_size, _NUM_BOUND))
    condition = model.condition_of(real.images)
    num_dims, cell = images.images[0].size, images.pixels.cell
    is_binary = real.data.grey is not None
    decode = model.logits if is_binary else model.decode

    def decoder_of(rows: slice | Tensor) -> Callable[[Tensor], Tensor]:
        c = None if condition is None else condition[rows]
        return lambda z: decode(z, condition=c).cpu()

    def arguments(rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return mu[rows], logvar[rows], images.unit(rows if isinstance(rows, slice) else rows.numpy())

    def error_of(rows: slice) -> Tensor:
        decoder = decoder_of(rows)
        error: Nll = bernoulli_pixels(decoder) if is_binary else lambda z, x: squared_error(decoder(z), x)
        return expectation(error, *arguments(rows), seed=seed + rows.start, batch_size=size)

    starts = world.own(range(0, len(mu), size))
    error = world.gathered({"error": error_of(slice(start, start + size))} for start in starts)["error"]
    if is_binary:
        nll, cell, variance = error, 1.0, 0.0  # probabilities as they are
    else:
        variance = optimal_variance(error, num_dims, cell)
        nll = gaussian_nll(error, num_dims, variance, cell)
    kl = kl_per_dimension(mu.double(), logvar.double()).sum(1)

    chosen = torch.from_numpy(some_rows(len(mu), len(mu) if draws else _NUM_BOUND, seed))
    bounds, beat = list[Tensor](), Beat("measuring the importance-weighted bound", len(chosen), "images")
    bound = partial(importance_bound, num_draws=draws or _NUM_DRAWS, batch_size=size_of_bound, world=world)
    for number, rows in enumerate(torch.split(chosen, size_of_bound)):
        decoder = decoder_of(rows)
        pixels = bernoulli_pixels(decoder) if is_binary else gaussian_pixels(decoder, variance, cell)
        bounds.append(bound(pixels, *arguments(rows), seed=seed + _NUM_BOUND * number))
        beat(sum(map(len, bounds)))
    of_images = {"nll": nll, "kl": kl, "elbo": -(nll + kl), "importance_bound": torch.cat(bounds)}
    if cell:  # floats have none
        of_images["bits_per_dimension"] = bits_per_dimension(nll + kl, num_dims, cell)
    figures = {name: bootstrap_mean(values, seed=seed) for name, values in of_images.items()}
    if not is_binary:
        figures["pixel_deviation"] = Figure(variance**0.5, num=len(error), seed=seed)
    return figures


def code_figures(model: Model, real: RealImages) -> Figures:
    """Return the accuracies of a linear probe and of nearest neighbours that predict labels from codes.

    They are trained on the baseline images; 'probe_chance' is the accuracy of the most frequent label. Raises UserError
    without an encoder or labels.
    """
    if real.images.labels is None or real.baseline_images.labels is None:
        raise UserError("the data have no labels to predict from the codes")
    z, z_test = (_codes(model, images, real)[0] for images in (real.baseline_images, real.images))
    labels, labels_test = torch.from_numpy(real.baseline_images.labels), torch.from_numpy(real.images.labels)
    is_right = {
        "linear_probe": linear_probe(z, labels, z_test, labels_test),
        "neighbour_probe": neighbour_probe(z, labels, z_test, labels_test),
        "probe_chance": labels_test == labels.mode().values,
    }
    return {name: bootstrap_mean(values.double(), seed=real.seed) for name, values in is_right.items()}


def _codes(model: Model, images: ImageSet, real: RealImages) -> tuple[Tensor, Tensor | None]:
    """Return mu and logvar of images, of which each process encodes some batches."""
    size = at_once(images.images.shape[1:3], real.batch_size)

    def row(start: int) -> dict[str, Tensor]:
        some = images.take(slice(start, start + size))
        c = model.condition_of(some)
        mu, logvar = next(encode_batches(model, some.images, condition=c, batch_size=real.batch_size))
        return {"mu": mu} if logvar is None else {"mu": mu, "logvar": logvar}

    starts = real.world.own(range(0, len(images), size))
    codes = real.world.gathered(map(row, paced(starts, len(starts), "encoding")))
    return codes["mu"], codes.get("logvar")
