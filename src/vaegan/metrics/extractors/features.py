"""Features of images, in which distributions of images are compared.

Every extractor maps images `(B, C, H, W)` in [0, 1] to features `(B, D)`. Distances are comparable only within one
extractor, so each figure is stored with its extractor's name and fingerprint.

* 'classifier': a small network, trained here to predict the data's labels and attributes; needs no download.
* 'rotations': the same, trained on rotation prediction, for images without labels and attributes.
* 'inception', 'dinov2': published networks trained on photographs, for colour images of the usual kind. Of other
  images they see the channels that pictures show.
* 'pixels': the image itself, reduced to at most 32 x 32 pixels.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.cache import cache_folder
from ...data.dataset import ImageData
from ...errors import UserError, nearest
from ...pixels import Shown
from .dinov2 import DINOv2
from .inception import Inception
from .learned import TASKS, Learned, has_targets, in_batches, open_learned

_log = logging.getLogger("vaegan")
_MOST_PIXELS = 32
EXTRACTORS = ("classifier", "rotations", "inception", "dinov2", "pixels")


class FeatureExtractor(Protocol):
    """Anything that maps images to rows of numbers.

    Attributes:
        name: as in `EXTRACTORS`.
        fingerprint: hash of the weights; only features with the same fingerprint can be compared or share a cache.
        dim: D, numbers of a row.
    """

    name: str
    fingerprint: str
    dim: int

    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return features float32 `(B, D)`, on the CPU, of images `(B, C, H, W)` in [0, 1]."""


class Pixels:
    """The images themselves, of shape (C, H, W); larger ones averaged down to 32 x 32."""

    name = "pixels"

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        channels, height, width = image_shape
        self.size = (min(height, _MOST_PIXELS), min(width, _MOST_PIXELS))
        self.dim = channels * self.size[0] * self.size[1]
        self.fingerprint = f"pixels {channels} x {self.size[0]} x {self.size[1]}"

    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return pixels `(B, D)`, on the CPU."""

        def shrunk(chunk: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(chunk, self.size).flatten(1).float()

        return in_batches(shrunk, x, batch_size, x.device)


class OfBands:
    """A published network of some channels of images; places count from 0."""

    def __init__(self, network: Inception | DINOv2, places: list[int]) -> None:
        self.network, self.places, self.name, self.dim = network, places, network.name, network.dim
        self.fingerprint = f"{network.fingerprint} of channels {places}"

    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return features float32 `(B, D)`, on the CPU, of images `(B, C, H, W)` in [0, 1]."""
        return self.network.features(x[:, self.places], batch_size=batch_size)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return maps of the network's hidden layers."""
        return self.network.layers(x[:, self.places])


_PUBLISHED: dict[str, Callable[..., Inception | DINOv2]] = {"inception": Inception, "dinov2": DINOv2}
_OF_LAYERS = 1
"""Seed of our own networks for a perceptual loss, so that what is trained on is not what measures."""


def default_extractor(data: ImageData) -> str:
    """Return 'classifier' where there are labels or attributes, else 'rotations'."""
    return "classifier" if has_targets(data.train) else "rotations"


def open_extractor(
    name: str | None,
    data: ImageData,
    *,
    seed: int = 0,
    cache: Path | None = None,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    bands: tuple[int, ...] = (),
) -> FeatureExtractor:
    """Return an extractor, trained or downloaded unless it is in the cache.

    Args:
        name: one of `EXTRACTORS`; the default of these data if None.
        data: images it is trained and used on, in the size it will see.
        seed: of the training of our own networks.
        cache: folder of trained networks and weights; ``~/.cache/vaegan`` if None.
        weights: file of the weights of a published network.
        device: where it computes.
        bands: channels that a published network sees, as `pixels.Shown`; our own networks see all.

    Raises:
        UserError: if the name is unknown, or the extractor cannot be trained on these data or downloaded.
    """
    name = name or default_extractor(data)
    folder = cache_folder(cache) / "extractors"
    if name == "pixels":
        return Pixels(data.image_shape)
    if name in _PUBLISHED:
        network, num = _PUBLISHED[name](weights, cache_folder(cache) / "weights", device), data.image_shape[0]
        places = Shown(data.pixels, bands).checked(num).places(num)
        if places == list(range(num)):
            return network
        _log.info("%s sees channels %s of %d", name, ", ".join(str(place + 1) for place in places), num)
        return OfBands(network, places)
    if name == "classifier" and not has_targets(data.train):
        raise UserError(f"{data.name}: there are no labels or attributes to train a classifier on; use rotations")
    if name in TASKS:
        return open_learned(name, data, seed=seed, folder=folder, device=device)
    raise UserError(f"unknown extractor '{name}'{nearest(name, EXTRACTORS)}; available: {', '.join(EXTRACTORS)}")


def open_layers(name: str | None, data: ImageData, **options: Any) -> Callable[[Tensor], list[Tensor]]:
    """Return the function images `(B, C, H, W)` in [0, 1] -> maps of an extractor's hidden layers, differentiable.

    Arguments and errors as in `open_extractor`, without a seed: our own networks have another one than those that
    measure. 'pixels' has no layers.
    """
    extractor = open_extractor(name, data, seed=_OF_LAYERS, **options)
    if isinstance(extractor, (Learned, Inception, DINOv2, OfBands)):
        return extractor.layers
    raise UserError(f"extractor '{extractor.name}' has no hidden layers; take classifier or rotations")
