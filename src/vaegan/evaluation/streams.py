"""Images in batches, so that only a batch of floats is held at a time: of a data set, reconstructed, sampled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batches import to_unit
from ..metrics.features import FeatureExtractor
from ..models import Model

Images = NDArray[np.uint8] | Tensor
"""Bytes `(N, H, W, C)`, or floats in [0, 1] `(N, C, H, W)`."""


def batches_of(images: Images, batch_size: int) -> Iterator[Tensor]:
    """Yield images as float `(B, C, H, W)` in [0, 1], on the CPU."""
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        batch = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
        yield to_unit(batch) if batch.dtype == torch.uint8 else batch.cpu()


def reconstructions_of(
    model: Model, images: Images, batch_size: int, condition: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield originals and their reconstructions, float `(B, C, H, W)` in [0, 1], on the CPU.

    A conditional model is given the ``condition`` `(N, A)` of the images.
    """
    for x, c in zip(batches_of(images, batch_size), _split(condition, batch_size), strict=False):
        yield x, model.reconstruct(x, condition=c, batch_size=batch_size).cpu()


def samples_of(
    model: Model, num: int, seed: int, prior: str, batch_size: int, condition: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield new images, float `(B, C, H, W)` in [0, 1], on the CPU.

    A conditional model is given ``condition``, `(N, A)` of real images, for one sample after another, again and again.

    Raises:
        UserError: if the model has no such prior or no decoder.
    """
    yield from decoded(model, model.sample_codes(num, seed, prior), batch_size, condition)


def decoded(model: Model, codes: Tensor, batch_size: int, condition: Tensor | None = None) -> Iterator[Tensor]:
    """Yield the images of codes `(num, Z)`; the rest as `samples_of`.

    Raises:
        UserError: if the model has no decoder.
    """
    c = None if condition is None else condition[torch.arange(len(codes)) % len(condition)]
    for z, own in zip(torch.split(codes, batch_size), _split(c, batch_size), strict=False):
        yield model.decode(z, condition=own, batch_size=batch_size).cpu()


def _split(condition: Tensor | None, batch_size: int) -> Iterable[Tensor | None]:
    return repeat(None) if condition is None else torch.split(condition, batch_size)


def priors_of(model: Model) -> list[str]:
    """Return the names of the priors that a model can be sampled from; none without a decoder."""
    return model.prior_names if model.decoder is not None else []


def features_of(extractor: FeatureExtractor, batches: Iterable[Tensor]) -> Tensor:
    """Return the features `(N, D)` of batches of images."""
    return torch.cat([extractor.features(batch, batch_size=len(batch)) for batch in batches])
