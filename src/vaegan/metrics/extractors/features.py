"""Features of images, in which distributions of images are compared.

Every extractor maps images `(B, C, H, W)` in [0, 1] to features `(B, D)`. Distances are comparable only within one
extractor, so each figure is stored with its extractor's name and fingerprint.

* 'classifier': a small network, trained here to predict the data's labels and attributes; needs no download.
* 'rotations': the same, trained on rotation prediction, for images without labels and attributes.
* 'inception', 'dinov2': published networks trained on photographs, for colour images of the usual kind. Of other
  images they see the channels that pictures show.
* 'pixels': the image itself, reduced to at most 32 x 32 pixels.

LPIPS compares pairs of images and has no features; it is a perceptual loss and a metric of reconstructions.
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
from ...errors import UserError, one_of
from ...pixels import Shown
from .dinov2 import DINOv2
from .inception import PUBLISHED as INCEPTION
from .inception import Inception
from .learned import Learned, has_targets, in_batches, open_learned
from .lpips import LINEAR, LPIPS, SMALLEST, VGG16
from .weights import Published

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
        cache: folder of trained networks and weights; ``vaegan`` in $XDG_CACHE_HOME or ~/.cache if None.
        weights: file of the weights of a published network.
        device: where it computes.
        bands: channels that a published network sees, as `pixels.Shown`; our own networks see all.

    Raises:
        UserError: if the name is unknown, or the extractor cannot be trained on these data or downloaded.
    """
    name = one_of("extractor", name or default_extractor(data), EXTRACTORS)
    folder = cache_folder(cache) / "extractors"
    if name == "pixels":
        return Pixels(data.image_shape)
    if name in _PUBLISHED:
        network = _PUBLISHED[name](weights, cache_folder(cache) / "weights", device)
        places = _places_seen(name, data, bands)
        return network if places == list(range(data.image_shape[0])) else OfBands(network, places)
    if name == "classifier" and not has_targets(data.train):
        raise UserError(f"{data.name}: there are no labels or attributes to train a classifier on; use rotations")
    use = "the losses" if seed == _OF_LAYERS else "the metrics"
    return open_learned(name, data, seed=seed, folder=folder, use=use, device=device)


def _places_seen(name: str, data: ImageData, bands: tuple[int, ...]) -> list[int]:
    """Return the channels that a published network sees, counted from 0; the log says so unless it sees all."""
    num = data.image_shape[0]
    places = Shown(data.pixels, bands).checked(num).places(num)
    if places != list(range(num)):
        _log.info("%s sees channels %s of %d", name, ", ".join(str(place + 1) for place in places), num)
    return places


def open_lpips(data: ImageData, *, cache: Path | None = None, bands: tuple[int, ...] = (), **network: Any) -> LPIPS:
    """Return LPIPS for images like these; arguments and errors as in `open_extractor`, and for images too small."""
    height, width = data.image_shape[1:]
    if min(height, width) < SMALLEST:
        raise UserError(f"LPIPS needs images of at least {SMALLEST} pixels a side, not {height}x{width}; enlarge them")
    return LPIPS(folder=cache_folder(cache) / "weights", places=_places_seen("LPIPS", data, bands), **network)


def open_published(
    which: str, data: ImageData, extractor: str, *, cache: Path | None = None, weights: Path | None = None, **more: Any
) -> dict[str, LPIPS | FeatureExtractor]:
    """Return networks, by name, that measure reconstructions beside the ``extractor``: 'lpips' and 'inception'.

    'none' of them, both, whose weights are a 'download' where they are missing, or ('auto') those at hand: with their
    files in the cache, or in ``weights`` if that is a folder. The other arguments, and errors, as in `open_extractor`.
    """
    own = weights if weights is not None and weights.is_dir() else None
    place, more["cache"], more["weights"] = own or cache_folder(cache) / "weights", cache, own

    def is_wanted(*files: Published) -> bool:
        return which == "download" or (which == "auto" and all((place / each.file).is_file() for each in files))

    networks: dict[str, LPIPS | FeatureExtractor] = {}
    if is_wanted(VGG16, LINEAR) and (which == "download" or min(data.image_shape[1:]) >= SMALLEST):
        networks["lpips"] = open_lpips(data, **more)
    if is_wanted(INCEPTION) and extractor != "inception":
        networks["inception"] = open_extractor("inception", data, **more)
    return networks


def open_layers(name: str | None, data: ImageData, **options: Any) -> Callable[[Tensor], list[Tensor]]:
    """Return the function images `(B, C, H, W)` in [0, 1] -> maps of an extractor's hidden layers, differentiable.

    Arguments and errors as in `open_extractor`, without a seed: our own networks have another one than those that
    measure. 'pixels' has no layers; 'lpips' is LPIPS, whose maps have their own distance.
    """
    if name == LPIPS.name:
        return open_lpips(data, **options)
    extractor = open_extractor(name, data, seed=_OF_LAYERS, **options)
    if isinstance(extractor, (Learned, Inception, DINOv2, OfBands)):
        return extractor.layers
    raise UserError(f"extractor '{extractor.name}' has no hidden layers; use classifier or rotations")
