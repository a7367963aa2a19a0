"""Priors for a model: fitted to draws from its aggregated posterior, the mixture of all q(z|x).

Draws, z ~ q(z|x), one of each image, fill the space as the decoder was trained to expect; means would leave it gaps.
A plain autoencoder has no posterior: its codes themselves count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..models import Model
from ..pixels import to_unit
from ..priors import DEFAULT, Prior, best_prior, fit_priors
from ..priors.prior import Progress

_MOST_NUMBERS = 2**25  # of all codes together
_MOST_IMAGES = 200_000


def fit_model_priors(
    model: Model,
    images: ImageSet,
    *,
    names: Sequence[str] | None = None,
    by_label: bool = False,
    seed: int,
    batch_size: int = 256,
    on_progress: Progress | None = None,
) -> dict[str, Prior]:
    """Fit priors to a model's codes; they join `model.priors`, and the likeliest of all becomes its default.

    Args:
        model: has an encoder.
        images: those it was trained on.
        names: of `priors.PRIORS`; `priors.DEFAULT` if None.
        by_label: fit to each label, so that codes can be drawn for a label.
        seed: of all random choices.
        batch_size: images encoded at a time.
        on_progress: told what is being done, a few words at a time.

    Returns:
        Those just fitted, and N(0, I) for comparison unless the model is a plain autoencoder.

    Raises:
        UserError: if there is no encoder, the images do not fit or have no labels, or the codes cannot be fitted.
    """
    if by_label and images.labels is None:
        raise UserError("these images have no labels to fit priors by; leave out --by-label, or take others (--data)")
    most = min(_MOST_IMAGES, _MOST_NUMBERS // model.latent_dim)
    chosen = some_rows(len(images), most, seed)
    codes = torch.cat(list(drawn_codes(model, images, chosen, seed, batch_size)))
    labels = torch.from_numpy(images.labels[chosen]).long() if by_label and images.labels is not None else None
    normal = [] if model.kind == "ae" else ["normal"]
    fitted = fit_priors(
        codes,
        names=[*normal, *(DEFAULT if names is None else names)],
        labels=labels,
        num_labels=len(images.label_names) if by_label else 0,
        seed=seed,
        on_progress=on_progress,
    )
    model.priors |= {name: prior for name, prior in fitted.items() if name != "normal"}
    model.info["default_prior"] = best_prior(fitted | model.priors)
    return fitted


def drawn_codes(
    model: Model, images: ImageSet, chosen: NDArray[np.int64], seed: int, batch_size: int
) -> Iterator[Tensor]:
    """Yield a draw from q(z|x), `(b, Z)` on the CPU, of one batch of the chosen images after another."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(chosen), batch_size):
        batch = chosen[start : start + batch_size]
        x, c = to_unit(torch.from_numpy(images.images[batch])), model.condition_of(images, batch)
        if model.kind == "ae":
            yield model.encode(x, condition=c, batch_size=batch_size).cpu()
        else:
            mu, logvar = (t.cpu() for t in model.posterior(x, condition=c, batch_size=batch_size))
            yield mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=generator)
