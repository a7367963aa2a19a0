"""What images are measured against: held-out ones, and as a yardstick other real ones that no model has made.

However good a model, its samples cannot be told from the held-out images less well than the training images can; so
what a distance means is seen from that of as many training images.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..data.images import ImageData, ImageSet, Options, some_of
from ..files import written_beside
from ..metrics.features import FeatureExtractor, Pixels
from ..metrics.nearest import find_nearest
from .distribution import Reference, distribution_figures
from .figures import Figures
from .streams import batches_of, features_of

log = logging.getLogger("vaegan")
NUM_COPIES = 1000  # images of which the nearest training image is looked for
_CHUNK = 2**13
_VERSION = 1  # raise it when the same extractor begins to give other features


@dataclass(frozen=True)
class Bench:
    """Real images and their features.

    Attributes:
        data: where they come from.
        split: 'test' or 'train', of the reference.
        images: of the reference.
        others: images of the other split, the yardstick.
        extractor: of features.
        reference: features of `images`.
        others_features: of `others`, `(M, D)`.
        seed: of every choice.
        batch_size: images at a time.
    """

    data: ImageData
    split: str
    images: ImageSet
    others: ImageSet
    extractor: FeatureExtractor
    reference: Reference
    others_features: Tensor
    seed: int
    batch_size: int

    @property
    def num_samples(self) -> int:
        """How many samples to measure: as many as the yardstick has, as distances depend on the number."""
        return len(self.others)

    def to_training(self, x: Tensor) -> Tensor:
        """Return the distance `(B,)` in pixels of each image `(B, C, H, W)` to the nearest training image."""
        pixels = Pixels(self.data.image_shape)
        chunks = (pixels.features(batch) for batch in batches_of(self.data.train.images, _CHUNK))
        return find_nearest(pixels.features(x), chunks, 1)[0][:, 0]

    @cached_property
    def held_out_to_training(self) -> Tensor:
        """The same of held-out images, `(B,)`."""
        images = some_of(self.data.test, NUM_COPIES, self.seed)
        return self.to_training(torch.cat(list(batches_of(images.images, self.batch_size))))

    @cached_property
    def yardstick(self) -> Figures:
        """Figures of the other real images."""
        return distribution_figures(self.others_features, self.reference, seed=self.seed)


def open_bench(
    data: ImageData,
    extractor: FeatureExtractor,
    *,
    num: int = 10_000,
    split: str = "test",
    seed: int = 0,
    batch_size: int = 256,
    cache: Path | None = None,
) -> Bench:
    """Return the bench of these data; features of real images are kept on disk.

    Args:
        data: real images.
        extractor: of features.
        num: images of each kind, at most.
        split: 'test' or 'train'; the others are the yardstick.
        seed: of the choice of images.
        batch_size: images at a time.
        cache: folder for features; ``~/.cache/vaegan`` if None.
    """
    folder = Options(cache=cache).cache_folder / "features"
    chosen, features = {}, {}
    for name, images in (("test", data.test), ("train", data.train)):
        chosen[name] = some_of(images, num, seed)
        what = repr((_VERSION, data.fingerprint, name, extractor.fingerprint, len(chosen[name]), seed))
        path = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.safetensors"
        features[name] = _kept_features(path, chosen[name], extractor, batch_size)
    other = "train" if split == "test" else "test"
    reference = Reference(features[split])
    return Bench(data, split, chosen[split], chosen[other], extractor, reference, features[other], seed, batch_size)


def _kept_features(path: Path, images: ImageSet, extractor: FeatureExtractor, batch_size: int) -> Tensor:
    if path.is_file():
        try:
            return safetensors.torch.load_file(path)["features"]
        except (OSError, KeyError, safetensors.SafetensorError) as error:
            log.warning("%s is damaged (%s); computing features anew", path, type(error).__name__)
    features = features_of(extractor, batches_of(images.images, batch_size))
    with written_beside(path) as beside:
        beside.write_bytes(safetensors.torch.save({"features": features}))
    return features
