"""Two scores of a model during training, measured in seconds on the same images each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from ..metrics.distances import Moments, frechet_distance
from ..metrics.extractors.features import FeatureExtractor
from ..models import Model
from .reference import Images, batches_of, decoded, features_of, priors_of, reconstructions_of, samples_of


def moments_of(images: Images, extractor: FeatureExtractor, batch_size: int = 256) -> Moments:
    """Return mean and covariance of the features of images, bytes `(N, H, W, C)` or floats `(N, C, H, W)` in [0, 1]."""
    return Moments(extractor.features(batch, batch_size=batch_size) for batch in batches_of(images, batch_size))


def quick_scores(
    model: Model,
    images_held_out: Images,
    extractor: FeatureExtractor,
    num: int,
    seed: int = 0,
    prior: str = "normal",
    *,
    reference: Moments | None = None,
    condition: Tensor | None = None,
    codes: Tensor | None = None,
    on_samples: Callable[[Tensor], None] = lambda features: None,
    batch_size: int = 256,
) -> dict[str, float]:
    """Return the Fréchet distances of samples and of reconstructions to held-out images.

    Args:
        model: to score.
        images_held_out: bytes `(N, H, W, C)` or floats `(N, C, H, W)` in [0, 1]; the first `num` are reconstructed.
        extractor: of features.
        num: samples and, at most, reconstructions.
        seed: of the samples.
        prior: that the samples come from; where the model has none, 'frechet_samples' is missing.
        reference: `moments_of(images_held_out, extractor)`, to be computed once for many calls.
        condition: of the held-out images, `(N, A)`, for a conditional model; samples have it too.
        codes: of the samples `(num, Z)`, instead of draws from the prior.
        on_samples: called with the samples' features `(num, D)`.
        batch_size: images at a time.
    """
    reference = reference or moments_of(images_held_out, extractor, batch_size)
    scores = {}
    drawn: Iterator[Tensor] | None = None
    if codes is not None:
        drawn = decoded(model, codes, batch_size, condition)
    elif prior in priors_of(model):
        drawn = samples_of(model, num, seed, prior, batch_size, condition)
    if drawn is not None:
        features = features_of(extractor, drawn)
        scores["frechet_samples"] = frechet_distance(Moments(features), reference)
        on_samples(features)
    if model.encoder is not None and model.decoder is not None:
        pairs = reconstructions_of(model, images_held_out[:num], batch_size, condition)
        made = features_of(extractor, (x_tilde for _, x_tilde in pairs))
        scores["frechet_reconstructions"] = frechet_distance(Moments(made), reference)
    return scores
