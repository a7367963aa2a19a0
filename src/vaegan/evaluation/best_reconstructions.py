"""Which of several models reconstructs best, in words: the answer to "do I need my own?".

All models reconstruct the same images, so two of them are compared image by image (`bootstrap.paired_ratio`). LPIPS
decides, or the feature MSE if LPIPS was not measured. If there are published models and others, the best of each are
compared, else the best two. A model of several runs counts with their mean, image by image; the interval does not cover
other seeds, and the answer says so unless one of the two is published.
"""

from collections.abc import Sequence

from ..metrics.bootstrap import paired_ratio
from ..metrics.figures import Figure, info_of
from .comparison import ComparedModel

_DECIDING = ("lpips", "feature_distance")
_SMALL = 0.05
"""Improvement that is hardly worth a training."""


def best_reconstructions(models: Sequence[ComparedModel], seed: int = 0) -> str:
    """Return the answer; '' if fewer than two models reconstruct."""
    models = [model for model in models if model.values]
    if len(models) < 2:
        return ""
    by = next(name for name in _DECIDING if all(name in model.values for model in models))
    ranked = sorted(models, key=lambda model: float(model.values[by].mean()))
    kinds = [[model for model in ranked if model.is_published == kind] for kind in (False, True)]
    a, b = sorted((kind[0] for kind in kinds), key=ranked.index) if all(kinds) else ranked[:2]
    decides, pixels, edges, smooth = (
        paired_ratio(a.values[name], b.values[name], seed=seed) for name in (by, "mse", "mse_edges", "mse_smooth")
    )
    question, title = "Do you need your own? " if all(kinds) else "", info_of(by).title
    images = f"{len(a.values[by]):,} held-out images"
    if decides.high < 1:
        answer = "No" if a.is_published else "Hardly" if 1 - decides.value < _SMALL else "Yes"
        best = ", the next best" if not all(kinds) else ", the best published one" if b.is_published else ", your best"
        has_others = len(kinds[b.is_published]) > 1 if all(kinds) else len(ranked) > 2
        first = f"{f'{question}{answer}: ' if question else ''}{a.name} reconstructs {images} better than {b.name}"
        first += f"{best if has_others else ''}. Its {title} {_change(decides)}"
        second = f", {'but' if pixels.low > 1 else 'and'} its per-pixel MSE"
    else:
        first = f"{question}No clear difference: on {images}, the {title} of {a.name} and {b.name} {_change(decides)}"
        second = f"; the per-pixel MSE of {a.name}"
    where = f"{_signed(edges.value)} at edges, {_signed(smooth.value)} in smooth areas"
    seeds = " The intervals are over images; other seeds may differ more." if decides.high < 1 and not question else ""
    return f"{first}{second} {_change(pixels, '')}: {where}.{seeds}"


def _change(ratio: Figure, interval: str = "95 % interval: ") -> str:
    """Say how far a ratio is from 1, or at most."""
    if ratio.low <= 1 <= ratio.high:
        return f"differs by at most {_percent(max(1 - ratio.low, ratio.high - 1))} %"
    nearer, farther = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    return f"is {_signed(ratio.value)} ({interval}{_percent(nearer)} to {_percent(farther)} %)"


def _signed(ratio: float) -> str:
    text = _percent(abs(1 - ratio))
    return "equal" if text == "0.0" else f"{text} % {'lower' if ratio < 1 else 'higher'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share > 0.0995 else f"{100 * share:.1f}"
