"""Data sets before and after they are decoded.

A source gives a `Collection`: `Items`, which are images by index, and what is recorded about each of them.
`vaegan.data.decoded` turns it into `ImageData`: two sets of uint8 images ``(N, H, W, C)``, which stay bytes until a
batch reaches the device. Large arrays are read-only maps of files, so a set may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .image_file import ImageHeader
from .split import Positions, Split

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number in all."""


@dataclass(frozen=True)
class ImageSet:
    """Images, and what is recorded about each of them.

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

    def take(self, rows: Positions) -> ImageSet:
        """Return the images at these rows, copied, with all that is recorded about them."""
        return replace(
            self,
            images=self.images[rows],
            names=[self.names[i] for i in rows],
            labels=None if self.labels is None else self.labels[rows],
            attributes=None if self.attributes is None else self.attributes[rows],
        )

    def some(self, num: int, seed: int) -> ImageSet:
        """Return ``num`` images drawn by the seed, in their order; the set itself if it has no more."""
        return self if len(self) <= num else self.take(some_rows(len(self), num, seed))

    def labels_as_attributes(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return all attributes, then one column of 0 and 1 for each label.

        Returns:
            float32 ``(N, A)``, NaN where unknown, and A names; a label that shares its name with an attribute is
            written ``label NAME``. A is 0 if there are neither attributes nor labels.
        """
        columns, names = [np.empty((len(self), 0), np.float32)], list(self.attribute_names)
        if self.attributes is not None:
            columns.append(self.attributes)
        if self.labels is not None:
            columns.append(np.equal.outer(self.labels, np.arange(len(self.label_names))).astype(np.float32))
            names += [f"label {name}" if name in self.attribute_names else name for name in self.label_names]
        return np.concatenate(columns, axis=1), tuple(names)


def some_rows(num_images: int, num: int, seed: int) -> NDArray[np.int64]:
    """Return ``num`` of ``num_images`` indices (all, if there are no more), drawn by the seed, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(num_images)[:num])


@dataclass(frozen=True)
class ImageData:
    """A data set: images to train on, and held-out images.

    Attributes:
        name: of the source.
        train: images to train on.
        test: held-out images.
        fingerprint: hash of all images as prepared; the same on every machine.
        num_unreadable: files that could not be read and were left out.
    """

    name: str
    train: ImageSet
    test: ImageSet
    fingerprint: str
    num_unreadable: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of each image."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

    def split(self, name: str) -> ImageSet:
        """Return the images of the split 'train' or 'test'."""
        return {"train": self.train, "test": self.test}[name]


class Items(Protocol):
    """Undecoded images by index: the interface of every source.

    Items are pickled for the processes that decode. Those that are cheaper to make in bulk also have
    ``read_chunk(indices, target)``, which returns prepared images, uint8 ``(n, H, W, C)``.
    """

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the images do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image:
        """Open one image; it need not be decoded yet."""


@dataclass(frozen=True)
class FileItems:
    """Images opened one by one from a place: a path or a position in an archive.

    Attributes:
        open: opens the image at a place; can be pickled.
        places: of N images.
        fingerprint: changes whenever the images do.
    """

    open: Callable[[Any], Image.Image]
    places: Sequence[Any]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Image.Image:
        """Open one image."""
        return self.open(self.places[index])


def index_labels(values: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels ``(N,)`` and the names of the classes of N class numbers or names."""
    names, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, names))


@dataclass(frozen=True)
class Collection:
    """The undecoded images of a source, and what is recorded about each of them.

    Attributes:
        name: of the source.
        where: path or source, for messages.
        items: N images.
        names: N names.
        split: training and held-out images; by a hash of the names if None.
        header: of every image, where all are alike; else None.
        labels: int64 ``(N,)`` or None.
        label_names: name of each class.
        attributes: float32 ``(N, A)`` or None.
        attribute_names: name of each attribute.
        defaults: values of `vaegan.config.DataSettings` where the user sets none.
    """

    name: str
    where: str
    items: Items
    names: Sequence[str]
    split: Split | None = None
    header: ImageHeader | None = None
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    attributes: NDArray[np.float32] | None = None
    attribute_names: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def decoded(self, images: NDArray[np.uint8], positions: Positions) -> ImageSet:
        """Return the decoded ``images`` of these positions with what is recorded about them."""
        return ImageSet(
            images,
            [self.names[i] for i in positions],
            None if self.labels is None else self.labels[positions],
            self.label_names,
            None if self.attributes is None else self.attributes[positions],
            self.attribute_names,
        )
