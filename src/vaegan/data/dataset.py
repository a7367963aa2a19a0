"""What a data set is, once opened: two sets of uint8 images, and what is known about each image.

Images stay bytes in ``(N, H, W, C)`` until a batch reaches the device. Where there are many, the array is a
read-only map of a file, so that a set may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""


@dataclass(frozen=True)
class ImageSet:
    """Images and what is known about each of them.

    Attributes:
        images: uint8 ``(N, H, W, C)``, C 1 or 3; often a read-only memory map.
        names: N file names relative to the folder, or indices as text.
        labels: int64 ``(N,)`` indices into ``label_names``, or None.
        label_names: name of each class.
        attributes: float32 ``(N, A)``, NaN where unknown, or None.
        attribute_names: name of each attribute.
    """

    images: NDArray[np.uint8]
    names: Sequence[str]
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    attributes: NDArray[np.float32] | None = None
    attribute_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class ImageData:
    """A data set: what is trained on, and what is held out.

    Attributes:
        name: of the source.
        train: images to train on.
        test: held-out images.
        fingerprint: hash of all images as prepared; the same on every machine.
        num_bad: files that could not be read and were left out.
    """

    name: str
    train: ImageSet
    test: ImageSet
    fingerprint: str
    num_bad: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of each image."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width


@dataclass(frozen=True)
class Options:
    """How to open a source; the fields and their meaning are those of `vaegan.config.DataSettings`.

    Attributes:
        on_progress: called while images are decoded.
    """

    root: Path | None = None
    size: int | None = None
    channels: Literal[1, 3] | None = None
    crop: Literal["center", "none"] = "center"
    crop_size: int | None = None
    held_out: float = 0.1
    max_unreadable: float = 0.05
    limit: int | None = None
    workers: int | None = None
    cache: Path | None = None
    on_progress: Progress | None = None

    @property
    def cache_folder(self) -> Path:
        """Where decoded images are kept."""
        return self.cache or Path.home() / ".cache" / "vaegan"


@dataclass(frozen=True)
class Look:
    """What the header of an image tells.

    Attributes:
        width: pixels, as seen (after its EXIF orientation).
        height: likewise.
        colour: whether it may hold anything but greys.
    """

    width: int
    height: int
    colour: bool


@dataclass(frozen=True)
class Collection:
    """Images that are not decoded yet.

    Attributes:
        where: path or source, for messages.
        names: of all images.
        keys: what ``reader.open`` takes, one for each name.
        reader: opens single images; see `vaegan.data.image_file.Reader`.
        digest: changes whenever the images do.
        look: of every image, where all are known to be alike; else None.
        labels: int64 ``(N,)`` or None.
        label_names: name of each class.
        attributes: float32 ``(N, A)`` or None.
        attribute_names: name of each attribute.
    """

    where: str
    names: Sequence[str]
    keys: Sequence[Any]
    reader: Any
    digest: str
    look: Look | None = None
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    attributes: NDArray[np.float32] | None = None
    attribute_names: tuple[str, ...] = ()

    def chosen(self, images: NDArray[np.uint8], positions: NDArray[np.int64]) -> ImageSet:
        """Return the decoded ``images`` with what is known about them; ``positions`` says which they are."""
        return ImageSet(
            images,
            [self.names[i] for i in positions],
            None if self.labels is None else self.labels[positions],
            self.label_names,
            None if self.attributes is None else self.attributes[positions],
            self.attribute_names,
        )


def some_of(images: ImageSet, num: int, seed: int) -> ImageSet:
    """Return `num` images (all, if there are not more), drawn by the seed, in the order they had."""
    if len(images) <= num:
        return images
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:num])
    return replace(
        images,
        images=images.images[chosen],
        names=[images.names[i] for i in chosen],
        labels=None if images.labels is None else images.labels[chosen],
        attributes=None if images.attributes is None else images.attributes[chosen],
    )
