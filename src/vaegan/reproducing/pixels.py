"""The plain models in numbers: how far reconstructions are from held-out images, and how sharp both and samples are."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..evaluation.figures import Figures, mean_figure
from ..evaluation.reference import batches_of, reconstructions_of, samples_of
from ..metrics.image_quality import laplacian_variance, mean_squared_error
from ..models import Model

FIGURES = {
    "reconstruction_mse": "squared error of a pixel, reconstructions",
    "reconstruction_sharpness": "sharpness of reconstructions",
    "sample_sharpness": "sharpness of samples",
}
"""Names and what they are called."""


def of_real(images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return how sharp real images are, which reconstructions and samples are compared with."""
    values = torch.cat([laplacian_variance(x) for x in batches_of(images.images, batch_size)])
    return dict.fromkeys(("reconstruction_sharpness", "sample_sharpness"), mean_figure(values, seed))


def of_model(model: Model, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of a model that is told nothing; those of reconstructions only if it has an encoder.

    Args:
        model: has a decoder.
        images: held-out ones; as many samples are drawn from N(0, I).
        seed: of samples and resampling.
        batch_size: images at a time.
    """
    found: dict[str, list[Tensor]] = {}
    if model.encoder is not None:
        for x, x_tilde in reconstructions_of(model, images.images, batch_size):
            found.setdefault("reconstruction_mse", []).append(mean_squared_error(x_tilde, x))
            found.setdefault("reconstruction_sharpness", []).append(laplacian_variance(x_tilde))
    found["sample_sharpness"] = [
        laplacian_variance(x) for x in samples_of(model, len(images), seed, "normal", batch_size)
    ]
    return {name: mean_figure(torch.cat(values), seed) for name, values in found.items()}
