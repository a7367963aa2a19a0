"""Figures of images that a model made, wherever they come from, and of the yardstick's real ones.

Whether images have the labels of the data, and as often, as the extractor that knows labels sees them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..metrics.bootstrap import Interval
from ..metrics.extractors.learned import Learned
from ..metrics.image_quality import gradient_magnitude, laplacian_variance, mean_squared_error, psnr, ssim
from ..metrics.memorisation import copying_score, placements
from ..metrics.mode_coverage import compare_labels
from ..models import Model
from .figures import Figure, Figures, figure, mean_figure
from .reference import NUM_COPIES, Bench, batches_of, distribution_figures, reconstructions_of

Rows = dict[str, list[Tensor]]
"""Numbers per image by name, batch by batch."""


def yardstick_figures(bench: Bench) -> Figures:
    """Return figures of other real images, in place of samples."""
    values: Rows = {}
    for x in batches_of(bench.others.images, bench.batch_size):
        _add(values, _sharpness(x))
    return bench.yardstick | _means(values, bench.seed) | label_figures(bench.others_features, bench)


def sample_figures(batches: Iterable[Tensor], bench: Bench) -> Figures:
    """Return figures of new images.

    Args:
        batches: float `(B, C, H, W)` in [0, 1], `bench.num_samples` in all if the ratio shall mean something.
        bench: real images.
    """
    values: Rows = {}
    features: list[Tensor] = []
    first: list[Tensor] = []
    for x in batches:
        features.append(bench.extractor.features(x, batch_size=bench.batch_size))
        _add(values, _sharpness(x))
        if len(first) < NUM_COPIES:
            first += list(x[: NUM_COPIES - len(first)])
    found = torch.cat(features)
    return (
        _distribution(found, bench)
        | label_figures(found, bench)
        | _means(values, bench.seed)
        | _copies(torch.stack(first), bench)
    )


def reconstruction_figures(model: Model, bench: Bench) -> Figures:
    """Return figures of the reference's images, encoded and decoded again.

    Raises:
        UserError: if the model has no encoder or no decoder.
    """
    values: Rows = {}
    features = []
    c = model.condition_of(bench.images)
    for x, x_tilde in reconstructions_of(model, bench.images.images, bench.batch_size, c):
        of_x, of_x_tilde = bench.extractor.features(torch.cat([x, x_tilde]), batch_size=bench.batch_size).chunk(2)
        features.append(of_x_tilde)
        errors = {"mse": mean_squared_error(x_tilde, x), "psnr": psnr(x_tilde, x), "ssim": ssim(x_tilde, x)}
        _add(values, errors | {"feature_distance": mean_squared_error(of_x_tilde, of_x)} | _sharpness(x_tilde))
    return _means(values, bench.seed) | _distribution(torch.cat(features), bench)


def _sharpness(x: Tensor) -> dict[str, Tensor]:
    return {"sharpness": laplacian_variance(x), "gradient": gradient_magnitude(x)}


def _add(values: Rows, more: dict[str, Tensor]) -> None:
    for name, row in more.items():
        values.setdefault(name, []).append(row)


def _means(values: Rows, seed: int) -> Figures:
    return {name: mean_figure(torch.cat(rows), seed) for name, rows in values.items()}


def _distribution(features: Tensor, bench: Bench) -> Figures:
    figures = distribution_figures(features, bench.reference, seed=bench.seed)
    ratio = _ratio(figures["frechet_distance"], bench.yardstick["frechet_distance"])
    return {"frechet_distance": figures.pop("frechet_distance"), "frechet_ratio": ratio, **figures}


def _copies(x: Tensor, bench: Bench) -> Figures:
    """Return how near the images are to the training images, measured by how near held-out ones are.

    'copies_nearer' is the share of samples nearer than all but 5 % of the held-out images, 0.05 if nothing is copied;
    'copies_farther' the probability that a sample lies farther than a held-out image, 0.5 if both lie alike;
    'copies_score' the latter in standard deviations of chance (see `metrics.memorisation`).
    """
    distances, held_out = bench.to_training(x), bench.held_out_to_training
    nearer = (distances < held_out.double().quantile(0.05)).double()
    return {
        "copies_nearer": mean_figure(nearer, bench.seed),
        "copies_farther": mean_figure(placements(distances.double(), held_out.double()), bench.seed),
        "copies_score": figure(copying_score(distances.double(), held_out.double()), len(x), bench.seed),
    }


def _ratio(one: Figure, other: Figure) -> Figure:
    """Return a figure divided by the value of another."""
    value, low, high = (math.nan if x is None else x for x in (one["value"], one["low"], one["high"]))
    return figure(Interval(value, low, high) / (other["value"] or math.nan), one["num"], one["seed"])


_RESAMPLES = 1000


def label_figures(features: Tensor, bench: Bench) -> Figures:
    """Return figures of the likeliest labels of images beside those of the reference; none without labels.

    Both are labels as the classifier sees them, so that what it gets wrong does not count.

    Args:
        features: of the images, `(N, D)`.
        bench: real images.

    Returns:
        'missing_labels', how many have less than a tenth of their share in the data; 'rarest_share', the smallest;
        'label_divergence', the Kullback-Leibler divergence from the data's shares, in nats; and 'share of LABEL'.
    """
    extractor = bench.extractor
    if not isinstance(extractor, Learned) or not extractor.label_names:
        return {}
    real = extractor.label_probabilities(bench.reference.features).argmax(1)
    probabilities = extractor.label_probabilities(features)
    found = compare_labels(probabilities, real)
    told = probabilities.argmax(1)
    num, seed = len(told), bench.seed
    shares = {
        f"share of {name}": mean_figure((told == number).double(), seed)
        for number, name in enumerate(extractor.label_names)
    }
    return {
        "missing_labels": figure(float(len(found.missing)), num, seed),
        "rarest_share": mean_figure((told == found.rarest_label).double(), seed),
        "label_divergence": figure(_divergence(found.samples, found.data, num, seed, found.kl), num, seed),
        **shares,
    }


def _divergence(p: Tensor, q: Tensor, num: int, seed: int, value: float) -> Interval:
    """Return the divergence with its interval, of counts drawn again; moved down by what the draws lie too high."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.multinomial(p.expand(_RESAMPLES, -1), num, replacement=True, generator=generator)
    counts = torch.zeros(_RESAMPLES, len(p), dtype=torch.float64)
    again = counts.scatter_add_(1, draws, torch.ones_like(draws, dtype=torch.float64)) / num
    values = (torch.xlogy(again, again) - torch.xlogy(again, q)).sum(1)
    values = values - (values.mean() - value)
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(value, max(low, 0.0), high)
