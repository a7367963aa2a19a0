"""Figures of images: samples, reconstructions and the real-data baseline.

Where the extractor is a classifier of the data's labels, also whether the images have those labels, and as often.
`quick_scores` are two figures for every snapshot of a training, in seconds and on the same images each time.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..metrics.bootstrap import bootstrap_mean
from ..metrics.distances import Moments, frechet_distance, frechet_interval
from ..metrics.extractors.features import FeatureExtractor
from ..metrics.extractors.learned import Learned
from ..metrics.figures import SHARE_OF, Figure, Figures
from ..metrics.image_quality import (
    errors_by_slope,
    gradient_magnitude,
    laplacian_variance,
    mean_squared_error,
    psnr,
    ssim,
)
from ..metrics.label_scores import compare_labels
from ..metrics.memorisation import are_nearer, copying_score, placements
from ..models import Model
from .reference import (
    NUM_COPIES,
    RealImages,
    batches_of,
    decoded,
    distribution_figures,
    features_of,
    priors_of,
    reconstructions_of,
)

Row = dict[str, Tensor]
"""Numbers per image of a batch, by name."""


def baseline_figures(real: RealImages) -> Figures:
    """Return figures of the real-data baseline."""
    batches = batches_of(real.baseline_images, real.batch_size, real.world)
    values = real.world.gathered(map(_sharpness, batches))
    return real.baseline | _means(values, real.seed) | label_figures(real.baseline_features, real)


def sample_figures(batches: Iterable[Tensor], real: RealImages) -> Figures:
    """Return figures of samples, float `(B, C, H, W)` in [0, 1], in all `real.num_samples`, which the ratio assumes.

    Of several processes each has its own batches.
    """

    def rows() -> Iterator[Row]:
        num = 0
        for x in batches:
            features = real.extractor.features(x, batch_size=real.batch_size)
            pixels = real.pixels.features(x[: max(0, NUM_COPIES - num)])  # at least of the first samples of all
            yield {"features": features, "pixels": pixels} | _sharpness(x)
            num += len(x)

    values = real.world.gathered(rows())
    features, pixels = values.pop("features"), values.pop("pixels")[:NUM_COPIES]
    return (
        _distribution(features, real)
        | label_figures(features, real)
        | _means(values, real.seed)
        | _memorisation(pixels, real)
    )


def reconstruction_figures(
    model: Model, real: RealImages, on_values: Callable[[Row], object] = lambda values: None
) -> Figures:
    """Return figures of the reference's images, encoded and decoded; UserError without an encoder or a decoder.

    ``on_values`` is called with the numbers of each image, `(N,)` by name, and 'error_map' `(H, W)`: the squared error
    of each pixel, the mean over all images and their channels.
    """
    c, published, world = model.condition_of(real.images), real.published, real.world
    squares = torch.zeros(real.data.image_shape[1:], dtype=torch.float64)

    def row(x: Tensor, x_tilde: Tensor) -> Row:
        of_x, of_x_tilde = real.extractor.features(torch.cat([x, x_tilde]), batch_size=real.batch_size).chunk(2)
        errors = {"mse": mean_squared_error(x_tilde, x), "psnr": psnr(x_tilde, x), "ssim": ssim(x_tilde, x)}
        squares.add_((x_tilde.double() - x.double()).square().mean(1).sum(0))
        errors["mse_edges"], errors["mse_smooth"] = errors_by_slope(x_tilde, x)
        errors["feature_distance"] = mean_squared_error(of_x_tilde, of_x)
        if "lpips" in published:
            errors["lpips"] = published["lpips"].of_pairs(x_tilde, x)
        if "inception" in published:
            both = torch.stack([x_tilde, x], 1).flatten(0, 1)
            errors["inception"] = published["inception"].features(both).unflatten(0, (-1, 2))
        return errors | _sharpness(x_tilde) | {"features": of_x_tilde}

    pairs = reconstructions_of(model, real.images, real.batch_size, c, world)
    values = world.gathered(itertools.starmap(row, pairs))
    error_map = squares.to(world.device) * world.size / len(real.images)
    world.average_([error_map])
    features, figures = values.pop("features"), {}
    if "inception" in values:
        of_x_tilde, of_x = values.pop("inception").unbind(1)
        figures["frechet_inception"] = frechet_interval(of_x_tilde, Moments(of_x), pairs=of_x, seed=real.seed)
    on_values(values | {"error_map": error_map.cpu()})
    return _means(values, real.seed) | figures | _distribution(features, real, paired=True)


def _sharpness(x: Tensor) -> Row:
    return {"sharpness": laplacian_variance(x), "gradient": gradient_magnitude(x)}


def _means(values: Row, seed: int) -> Figures:
    return {name: bootstrap_mean(row, seed=seed) for name, row in values.items()}


def _distribution(features: Tensor, real: RealImages, *, paired: bool = False) -> Figures:
    figures = distribution_figures(features, real.reference, paired=paired, seed=real.seed)
    distance = figures.pop("frechet_distance")
    baseline = real.baseline["frechet_distance"].value
    return {"frechet_distance": distance, "frechet_ratio": distance / (baseline or math.nan), **figures}


def _memorisation(pixels: Tensor, real: RealImages) -> Figures:
    """Return how close images are to the training images, in `RealImages.pixels`, compared with held-out images.

    'copies_nearer' is the memorisation rate: the share of samples nearer than all but 5 % of the held-out images, 0.05
    if nothing is copied; 'copies_farther' the probability that a sample lies farther than a held-out image, 0.5 if
    both lie alike; 'copies_score' the latter in standard deviations of chance (see `metrics.memorisation`).
    """
    distances, held_out = real.to_training(pixels), real.held_out_to_training
    return {
        "copies_nearer": bootstrap_mean(are_nearer(distances, held_out).double(), seed=real.seed),
        "copies_farther": bootstrap_mean(placements(distances.double(), held_out.double()), seed=real.seed),
        "copies_score": Figure(copying_score(distances.double(), held_out.double()), num=len(pixels), seed=real.seed),
    }


_RESAMPLES = 1000


def label_figures(features: Tensor, real: RealImages) -> Figures:
    """Compare the predicted labels of images with those of the reference, by features `(N, D)`; {} without labels.

    Both are labels that the classifier predicts, so that its mistakes cancel. 'missing_labels' counts those with less
    than a tenth of their share in the data; 'rarest_share' is the smallest share; 'label_divergence' the
    Kullback-Leibler divergence from the data's shares, in nats; and there is a 'share of LABEL' each.
    """
    extractor = real.extractor
    if not isinstance(extractor, Learned) or not extractor.label_names:
        return {}
    real_labels = extractor.label_probabilities(real.reference.features).argmax(1)
    probabilities = extractor.label_probabilities(features)
    comparison = compare_labels(probabilities, real_labels)
    labels = probabilities.argmax(1)
    num, seed = len(labels), real.seed
    shares = {
        f"{SHARE_OF}{name}": bootstrap_mean((labels == number).double(), seed=seed)
        for number, name in enumerate(extractor.label_names)
    }
    return {
        "missing_labels": Figure(float(len(comparison.missing)), num=num, seed=seed),
        "rarest_share": bootstrap_mean((labels == comparison.rarest_label).double(), seed=seed),
        "label_divergence": _divergence(comparison.samples, comparison.data, num, seed, comparison.kl),
        **shares,
    }


def _divergence(p: Tensor, q: Tensor, num: int, seed: int, value: float) -> Figure:
    """Return the divergence with a bootstrap interval over counts, corrected for the bias of resampling."""
    again = torch.from_numpy(np.random.default_rng(seed).multinomial(num, p.numpy(), _RESAMPLES) / num)
    values = (torch.xlogy(again, again) - torch.xlogy(again, q)).sum(1)
    values = values - (values.mean() - value)
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Figure(value, max(low, 0.0), high, num, seed)


def moments_of(images: ImageSet, extractor: FeatureExtractor, batch_size: int = 256) -> Moments:
    """Return mean and covariance of the features of images."""
    return Moments(extractor.features(batch, batch_size=batch_size) for batch in batches_of(images, batch_size))


def quick_scores(
    model: Model,
    images_held_out: ImageSet,
    extractor: FeatureExtractor,
    num: int,
    seed: int = 0,
    *,
    reference: Moments | None = None,
    condition: Tensor | None = None,
    codes: Tensor | None = None,
    on_samples: Callable[[Tensor], None] = lambda features: None,
    batch_size: int = 256,
) -> dict[str, float]:
    """Return the Fréchet distances of ``num`` samples and as many reconstructions (at most) to held-out images.

    They are 'frechet_samples' where the model has the prior N(0, I), 'frechet_reconstructions' where it has an encoder.
    The ``reference`` is `moments_of(images_held_out, extractor)`, to be computed once for many calls. The ``condition``
    of the held-out images, `(N, A)`, is that of samples too. Codes `(num, Z)` take the place of draws from the prior;
    ``on_samples`` is called with the samples' features `(num, D)`.
    """
    reference = reference or moments_of(images_held_out, extractor, batch_size)
    scores = {}
    if codes is None and "normal" in priors_of(model):
        codes = model.sample_codes(num, seed, "normal")
    if codes is not None:
        features = features_of(extractor, decoded(model, codes, batch_size, condition))
        scores["frechet_samples"] = frechet_distance(Moments(features), reference)
        on_samples(features)
    if model.encoder is not None and model.decoder is not None:
        c = None if condition is None else condition[:num]
        pairs = reconstructions_of(model, images_held_out.take(slice(num)), batch_size, c)
        made = features_of(extractor, (x_tilde for _, x_tilde in pairs))
        scores["frechet_reconstructions"] = frechet_distance(Moments(made), reference)
    return scores
