"""Figures of images that a model made, wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..metrics.bootstrap import Interval
from ..metrics.reconstruction import mean_squared_error, psnr, ssim
from ..models import Model
from .bench import Bench
from .distribution import distribution_figures
from .figures import Figure, Figures, figure, mean_figure
from .streams import features_of, reconstructions_of


def sample_figures(batches: Iterable[Tensor], bench: Bench) -> Figures:
    """Return figures of new images.

    Args:
        batches: float `(B, C, H, W)` in [0, 1], `bench.num_samples` in all if the ratio shall mean something.
        bench: real images.
    """
    return _distribution(features_of(bench.extractor, batches), bench)


def reconstruction_figures(model: Model, bench: Bench) -> Figures:
    """Return figures of the reference's images, encoded and decoded again.

    Raises:
        UserError: if the model has no encoder or no decoder.
    """
    features, errors = [], []
    for x, x_tilde in reconstructions_of(model, bench.images.images, bench.batch_size):
        both = bench.extractor.features(torch.cat([x, x_tilde]), batch_size=bench.batch_size).chunk(2)
        distances = mean_squared_error(both[1], both[0])
        errors.append(torch.stack([mean_squared_error(x_tilde, x), psnr(x_tilde, x), ssim(x_tilde, x), distances]))
        features.append(both[1])
    names = ("mse", "psnr", "ssim", "feature_distance")
    figures = {name: mean_figure(row, bench.seed) for name, row in zip(names, torch.cat(errors, 1), strict=True)}
    return figures | _distribution(torch.cat(features), bench)


def _distribution(features: Tensor, bench: Bench) -> Figures:
    figures = distribution_figures(features, bench.reference, seed=bench.seed)
    ratio = _ratio(figures["frechet_distance"], bench.yardstick["frechet_distance"])
    return {"frechet_distance": figures.pop("frechet_distance"), "frechet_ratio": ratio, **figures}


def _ratio(one: Figure, other: Figure) -> Figure:
    """Return a figure divided by the value of another."""
    value, low, high = (math.nan if x is None else x for x in (one["value"], one["low"], one["high"]))
    return figure(Interval(value, low, high) / (other["value"] or math.nan), one["num"], one["seed"])
