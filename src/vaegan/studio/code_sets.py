"""What many codes look like together: their clusters, their places on a plane, the dimensions that say most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..latent.encoding import encode_images
from ..latent.kmeans import ALGORITHMS, MAPS, Clusters
from ..latent.paths import order_by_kl
from ..report.grid import to_uint8
from .served_model import BATCH, Opened

Split = Literal["test", "train"]
_RESTARTS = 2
_LOOKED_AT = 1000  # images that the KL of each dimension is the mean over


@dataclass(frozen=True)
class Group:
    """Some images of a split.

    Attributes:
        split: 'test' or 'train'.
        num: images, at most.
        seed: that chooses them.
    """

    split: Split
    num: int
    seed: int

    def codes(self, opened: Opened) -> tuple[NDArray[np.int64], Tensor]:
        """Return places in the split `(N,)` and codes `(N, Z)`."""
        chosen, mu, _ = opened.codes(self.split, self.num, self.seed)
        return chosen, mu

    def clusters(self, opened: Opened, k: int, how: str) -> Clusters:
        """Return k clusters of their codes."""
        _, mu = self.codes(opened)
        key = ("clusters", self, k, how)
        return opened.slowly(key, lambda: ALGORITHMS[how](mu, k, seed=self.seed, restarts=_RESTARTS))

    def places(self, opened: Opened, how: str) -> Tensor:
        """Return their places on a plane `(N, 2)`."""
        _, mu = self.codes(opened)
        return opened.slowly(("map", self, how), lambda: MAPS[how](mu, self.seed))


def leading_dimensions(opened: Opened) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return all dimensions, the most used first; their mean KL in nats, or None; the deviation of codes in each.

    Codes are those of held-out images or, where these are not here, of the model's own samples. A plain autoencoder's
    dimensions are ordered by their deviation; a GAN's, which has no encoder, not at all.
    """
    model = opened.model()
    if model.encoder is None:
        return torch.arange(model.latent_dim), None, torch.ones(model.latent_dim)
    mu, logvar = _codes(opened)
    if logvar is None:
        deviation = mu.std(0)
        order = deviation.argsort(descending=True, stable=True)
        return order, None, deviation[order]
    order, kl = order_by_kl(mu, logvar)
    return order, kl, mu.std(0)[order]


def _codes(opened: Opened) -> tuple[Tensor, Tensor | None]:
    try:
        _, mu, logvar = opened.codes("test", _LOOKED_AT, 0)
        return mu, logvar
    except UserError:
        model = opened.model()

        def of_samples() -> tuple[Tensor, Tensor | None]:
            c = model.condition_in_turn(_LOOKED_AT)
            images = to_uint8(model.sample(_LOOKED_AT, condition=c, batch_size=BATCH))
            return encode_images(model, images, condition=c, batch_size=BATCH)

        return opened.slowly("codes of samples", of_samples)
