"""Whether images have the labels of the data, and as often, as the extractor that knows labels sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..metrics.bootstrap import Interval
from ..metrics.label_shares import compare_labels
from ..metrics.learned import Learned
from .bench import Bench
from .figures import Figures, figure, mean_figure

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
