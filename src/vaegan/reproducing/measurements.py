"""What is measured of each model of the paper's experiments, and of real images beside them.

Table 2 of arXiv:1512.09300: do images show the attributes they are conditioned on? For each of N held-out attribute
vectors a model draws K images (the paper: 10) from codes of N(0, I), the same for all models; a regressor predicts the
attributes of each, and `metrics.attribute_similarity` compares them, in values as stored. Two rows of real images
enclose the models:

    real     held-out images with their own attributes, where all error is the regressor's
    others   K held-out images drawn at random for each vector: what a model that ignores the attributes reaches

Unconditional models: how far reconstructions are from held-out images, and how sharp both and samples are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..evaluation.reference import batches_of, decoded, reconstructions_of, samples_of
from ..metrics.attribute_similarity import attribute_similarity
from ..metrics.bootstrap import bootstrap_mean
from ..metrics.figures import Figures
from ..metrics.image_quality import laplacian_variance, mean_squared_error
from ..models import Model
from .regressor import Regressor

MAIN_SIMILARITIES = ("cosine", "centred_cosine", "mse")
"""Figures of Table 2; the paper does not have the second."""
SIMILARITIES = (*MAIN_SIMILARITIES, "mean_cosine", "mean_centred_cosine", "mean_mse")
PIXEL_FIGURES = ("reconstruction_mse", "reconstruction_sharpness", "sample_sharpness")


def similarity_of_real(regressor: Regressor, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of real images with their own attributes."""
    return _similarities(regressor.of_images(images, batch_size)[:, None], images, regressor, seed)


def similarity_of_others(
    regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int
) -> Figures:
    """Return the figures of real images drawn at random, whatever the attributes."""
    predicted = regressor.of_images(images, batch_size)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(predicted), (len(predicted), num_samples), generator=generator)
    return _similarities(predicted[drawn], images, regressor, seed)


def similarity_of_model(
    model: Model, regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int
) -> Figures:
    """Return the figures of an attribute-conditional model.

    Args:
        model: to measure.
        regressor: predicts attributes of images.
        images: whose attributes the model is conditioned on.
        num_samples: K, images for each.
        seed: of codes and resampling.
        batch_size: images at a time.
    """
    condition = model.condition_of(images)
    assert condition is not None
    codes = model.sample_codes(len(images) * num_samples, seed, "normal")
    c = condition.repeat_interleave(num_samples, dim=0)
    predicted = torch.cat([regressor.values(x) for x in decoded(model, codes, batch_size, c)])
    return _similarities(predicted.reshape(len(images), num_samples, -1), images, regressor, seed)


def _similarities(predicted: Tensor, images: ImageSet, regressor: Regressor, seed: int) -> Figures:
    assert images.attributes is not None
    target = torch.from_numpy(np.array(images.attributes))  # (N, A), as stored, NaN where unknown
    values = attribute_similarity(predicted, target, regressor.centre)
    return {name: bootstrap_mean(getattr(values, name), seed=seed) for name in SIMILARITIES}


def pixels_of_real(images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the sharpness of real images, which that of reconstructions and samples is compared with."""
    values = torch.cat([laplacian_variance(x) for x in batches_of(images.images, batch_size)])
    return dict.fromkeys(("reconstruction_sharpness", "sample_sharpness"), bootstrap_mean(values, seed=seed))


def pixels_of_model(model: Model, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of an unconditional model; those of reconstructions only if it has an encoder.

    Args:
        model: has a decoder.
        images: held-out ones; as many samples are drawn from N(0, I).
        seed: of samples and resampling.
        batch_size: images at a time.
    """
    values: dict[str, list[Tensor]] = {}
    if model.encoder is not None:
        for x, x_tilde in reconstructions_of(model, images.images, batch_size):
            values.setdefault("reconstruction_mse", []).append(mean_squared_error(x_tilde, x))
            values.setdefault("reconstruction_sharpness", []).append(laplacian_variance(x_tilde))
    samples = samples_of(model, len(images), seed, "normal", batch_size)
    values["sample_sharpness"] = [laplacian_variance(x_p) for x_p in samples]
    return {name: bootstrap_mean(torch.cat(batches), seed=seed) for name, batches in values.items()}
