"""What images are measured against: two sets of real images, with their features.

The reference is the held-out images. The other set, the real-data baseline, is as many training images measured in the
place of samples: no model can be expected to come nearer to the reference, so it sets the scale of a distance.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..data.cache import cache_folder
from ..data.dataset import ImageData, ImageSet
from ..distributed import ALONE, World
from ..errors import UserError
from ..files import short_hash, write_bytes
from ..metrics.bootstrap import bootstrap_mean
from ..metrics.distances import Moments, frechet_interval, kernel_distance
from ..metrics.extractors.features import FeatureExtractor, Pixels
from ..metrics.figures import Figures
from ..metrics.memorisation import find_nearest
from ..metrics.precision_recall import Manifold, overlap
from ..models import Model
from ..progress import paced

log = logging.getLogger("vaegan")
NUM_COPIES = 1000  # images of which the nearest training image is looked for
_CHUNK = 2**13  # training images whose pixels, reduced, are searched at a time
_VERSION = 1  # raise it when the same extractor begins to give other features


@dataclass(frozen=True)
class RealImages:
    """Real images and their features."""

    data: ImageData  # where they come from
    split: str  # 'test' or 'train', of the reference
    images: ImageSet  # of the reference
    baseline_images: ImageSet  # of the other split, measured in the place of samples
    extractor: FeatureExtractor  # of features
    reference: "Reference"  # features of `images`
    baseline_features: Tensor  # of `baseline_images`, `(M, D)`
    seed: int  # of every choice
    batch_size: int  # images at a time
    world: World = ALONE  # of the processes that share the work
    published: Mapping[str, Any] = field(default_factory=dict)  # what measures reconstructions, too: `open_published`

    @property
    def num_samples(self) -> int:
        """How many samples to measure: as many as the baseline has, as distances depend on the number."""
        return len(self.baseline_images)

    @cached_property
    def pixels(self) -> Pixels:
        """Extractor of the images themselves, in which copies of training images are looked for."""
        return Pixels(self.data.image_shape)

    def to_training(self, pixels: Tensor) -> Tensor:
        """Return the distance `(B,)` of each image's `pixels`, `(B, D)`, to the nearest training image."""
        batches = batches_of(self.data.train, self.batch_size)  # in full size, so only a few at a time
        features = (self.pixels.features(batch) for batch in batches)
        num = max(1, _CHUNK // self.batch_size)
        chunks = (torch.cat([first, *islice(features, num - 1)]) for first in features)
        return find_nearest(pixels, chunks, 1)[0][:, 0]

    @cached_property
    def held_out_to_training(self) -> Tensor:
        """The same of held-out images, `(B,)`."""
        images = self.data.test.some(NUM_COPIES, self.seed)
        return self.to_training(features_of(self.pixels, batches_of(images, self.batch_size)))

    @cached_property
    def baseline(self) -> Figures:
        """Distances of the baseline to the reference."""
        return distribution_figures(self.baseline_features, self.reference, seed=self.seed)


def open_real_images(
    data: ImageData,
    extractor: FeatureExtractor,
    *,
    num: int = 10_000,
    split: str = "test",
    seed: int = 0,
    batch_size: int = 256,
    cache: Path | None = None,
    world: World = ALONE,
    published: Mapping[str, Any] = {},
) -> RealImages:
    """Choose the real images to measure against; their features are cached on disk.

    The split, 'test' or 'train', is the reference's; the other one is the baseline.
    """
    folder = cache_folder(cache) / "features"
    chosen, features = {}, {}
    for name, images in (("test", data.test), ("train", data.train)):
        chosen[name] = images.some(num, seed)
        key = repr((_VERSION, data.fingerprint, name, extractor.fingerprint, len(chosen[name]), seed))
        path = folder / f"{short_hash(key)}.safetensors"
        features[name] = _cached_features(path, chosen[name], extractor, batch_size, world)
    other = "train" if split == "test" else "test"
    of = chosen[split], chosen[other], extractor, Reference(features[split]), features[other]
    return RealImages(data, split, *of, seed, batch_size, world, published)


def _cached_features(
    path: Path, images: ImageSet, extractor: FeatureExtractor, batch_size: int, world: World
) -> Tensor:
    features = None
    if path.is_file():
        try:
            features = safetensors.torch.load_file(path)["features"]
        except (OSError, KeyError, safetensors.SafetensorError) as error:
            log.warning("%s is damaged (%s); computing features again", path, type(error).__name__)
    if not world.any(features is None):
        assert features is not None
        return features
    batches = batches_of(images, batch_size, world)
    features = world.gathered({"features": extractor.features(x, batch_size=len(x))} for x in batches)["features"]

    def keep() -> None:
        if world.local_rank == 0:
            try:
                write_bytes(path, safetensors.torch.save({"features": features}))
            except UserError as error:
                log.warning("%s; the next evaluation computes these features again", error)

    world.together(keep)
    return features


def batches_of(images: ImageSet, batch_size: int, world: World = ALONE) -> Iterator[Tensor]:
    """Yield images as float `(B, C, H, W)` in [0, 1], on the CPU; of several processes each its own batches."""
    starts = world.own(range(0, len(images), batch_size))
    for start in paced(starts, len(starts), "measuring"):
        yield images.unit(slice(start, start + batch_size))


def reconstructions_of(
    model: Model, images: ImageSet, batch_size: int, condition: Tensor | None = None, world: World = ALONE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield originals and reconstructions, float `(B, C, H, W)` in [0, 1], on the CPU; ``condition`` is `(N, A)`."""
    for x, c in zip(batches_of(images, batch_size, world), _split(condition, batch_size, world), strict=False):
        yield x, model.reconstruct(x, condition=c, batch_size=batch_size).cpu()


def decoded(
    model: Model, codes: Tensor, batch_size: int, condition: Tensor | None = None, world: World = ALONE
) -> Iterator[Tensor]:
    """Yield the images of codes `(num, Z)`, float `(B, C, H, W)` in [0, 1], on the CPU.

    Of a conditional model sample i has condition i mod N of ``condition`` `(N, A)`, that of real images.
    """
    c = None if condition is None else condition[torch.arange(len(codes)) % len(condition)]
    parts = world.own(torch.split(codes, batch_size))
    for z, own in zip(paced(parts, len(parts), "measuring samples"), _split(c, batch_size, world), strict=False):
        yield model.decode(z, condition=own, batch_size=batch_size).cpu()


def _split(condition: Tensor | None, batch_size: int, world: World) -> Iterable[Tensor | None]:
    return repeat(None) if condition is None else world.own(torch.split(condition, batch_size))


def priors_of(model: Model) -> list[str]:
    """Return the names of the priors that a model can be sampled from; none without a decoder."""
    return model.prior_names if model.decoder is not None else []


def features_of(extractor: FeatureExtractor, batches: Iterable[Tensor]) -> Tensor:
    """Return the features `(N, D)` of batches of images."""
    return torch.cat([extractor.features(batch, batch_size=len(batch)) for batch in batches])


class Reference:
    """Features `(N, D)` of real images, and what is computed of them once for many comparisons."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments(self.features)

    @cached_property
    def manifold(self) -> Manifold:
        """Balls around the images."""
        return Manifold.of(self.features)


def distribution_figures(features: Tensor, reference: Reference, *, paired: bool = False, seed: int = 0) -> Figures:
    """Return Fréchet and kernel distance, precision, recall, density and coverage of features `(M, D)` of images.

    With ``paired`` image i is a reconstruction of image i of the reference: see `metrics.distances`.
    """
    pairs = reference.features if paired else None
    shares = vars(overlap(reference.manifold, Manifold.of(features)))
    return {
        "frechet_distance": frechet_interval(features, reference.moments, pairs=pairs, seed=seed),
        "kernel_distance": kernel_distance(features, reference.features, paired=paired, seed=seed),
        **{name: bootstrap_mean(values, seed=seed) for name, values in shares.items()},
    }
