"""Table 2 of arXiv:1512.09300 for these models: are images like the attributes that they were asked for?

For each of N held-out attribute vectors a model makes K images (the paper: 10) of codes from N(0, I), the same for all
models; a regressor reads the attributes off them, and `metrics.attribute_similarity` compares, in values as stored.
Two rows of real images stand beside the models:

    real     held-out images with their own attributes: what the regressor's own errors leave, the upper row
    others   K held-out images drawn for each vector whatever it says: what a model reaches that does not listen
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..evaluation.comparison import Row
from ..evaluation.figures import Figures, mean_figure
from ..evaluation.ranking import rank
from ..evaluation.reference import decoded
from ..evaluation.seeds import combine
from ..metrics.attribute_similarity import attribute_similarity
from ..models import Model
from .regressor import Regressor

MAIN = ("cosine", "centred_cosine", "mse")
"""Figures of Table 2, the second of which the paper has not."""
FIGURES = (*MAIN, "mean_cosine", "mean_centred_cosine", "mean_mse")


def wanted_of(images: ImageSet) -> Tensor:
    """Return the attribute vectors of images, `(N, A)`, as stored, NaN where unknown."""
    assert images.attributes is not None
    return torch.from_numpy(np.array(images.attributes))


def of_real(regressor: Regressor, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of real images with their own attributes."""
    return _figures(regressor.of_images(images, batch_size)[:, None], images, regressor, seed)


def of_others(regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int) -> Figures:
    """Return the figures of real images that are drawn whatever the attributes."""
    seen = regressor.of_images(images, batch_size)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(seen), (len(seen), num_samples), generator=generator)
    return _figures(seen[drawn], images, regressor, seed)


def of_model(
    model: Model, regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int
) -> Figures:
    """Return the figures of a model that is told attributes.

    Args:
        model: makes images of attributes.
        regressor: reads them off.
        images: whose attributes are asked for.
        num_samples: K, images for each.
        seed: of codes and resampling.
        batch_size: images at a time.
    """
    condition = model.condition_of(images)
    assert condition is not None
    codes = model.sample_codes(len(images) * num_samples, seed, "normal")
    told = condition.repeat_interleave(num_samples, dim=0)
    seen = torch.cat([regressor.values(x) for x in decoded(model, codes, batch_size, told)])
    return _figures(seen.reshape(len(images), num_samples, -1), images, regressor, seed)


def _figures(seen: Tensor, images: ImageSet, regressor: Regressor, seed: int) -> Figures:
    found = attribute_similarity(seen, wanted_of(images), regressor.centre)
    return {name: mean_figure(getattr(found, name), seed) for name in FIGURES}


def table(real: Figures, models: Mapping[str, Sequence[Figures]]) -> list[Row]:
    """Put models side by side: means over seeds with intervals, and which lies nearest to real images.

    Args:
        real: figures of real images.
        models: of each model by name, one for each seed.
    """
    rows = []
    for name in FIGURES:
        combined = [combine([one[name] for one in runs]) for runs in models.values()]
        value = real[name]["value"]
        rows.append(Row(name, "real", value, combined, rank(combined, "real", value)))
    return rows


def as_json(rows: Sequence[Row], real: Figures, others: Figures, names: Sequence[str]) -> dict[str, Any]:
    """Return the table as plain data, figure by figure."""
    return {
        row.figure: {
            "real": real[row.figure],
            "other real images": others[row.figure],
            "models": {name: asdict(one) for name, one in zip(names, row.models, strict=True)},
            "nearest": None if row.verdict.best is None else names[row.verdict.best],
            "open_between": [names[i] for i in row.verdict.overlapping],
        }
        for row in rows
    }
