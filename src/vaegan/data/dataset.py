"""Data sets before and after they are decoded.

A source gives a `Collection`: `Items`, which are images by index, and what is recorded about each of them.
`vaegan.data.decoded` turns it into `ImageData`: two sets of images ``(N, H, W, C)``, which stay bytes, or numbers of
another type, until a batch reaches the device. Large arrays are read-only maps of files, so a set may be larger than
memory.

A source without a split of its own holds out an image if the hash of its name falls below a share: ``u(name) =
sha256(name) / 2^256`` is uniform in [0, 1) and depends on nothing else. So adding or removing files moves no other file
across, as long as the folder that all images share stays the same: names are relative to it (`vaegan.data.folder`). A
.zip splits like its unpacked folder. Both sides are ordered by u, a fixed shuffle: the first few images of either are a
fair sample, not those of the first class.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, one_of, printable
from ..pixels import BYTES, Numbers, PixelFormat
from .image_file import ImageHeader
from .image_types import Opened

if TYPE_CHECKING:
    from torch import Tensor

Positions = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with the number of images done and the number in all."""
_LARGE = 2**28  # bytes


@dataclass(frozen=True)
class Split:
    """Positions in a collection: of images to train on, int64 ``(N,)``, and of held-out images, int64 ``(M,)``."""

    train: Positions
    test: Positions

    def __len__(self) -> int:
        return len(self.train) + len(self.test) * (not self.is_single)

    @property
    def is_single(self) -> bool:
        """Whether one image is on both sides."""
        return len(self.train) == len(self.test) == 1 and bool(self.train[0] == self.test[0])

    def limited(self, num: int | None) -> "Split":
        """Return the split with the first ``num`` images to train on, all if None."""
        return replace(self, train=self.train[:num])


def hashed_split(names: Sequence[str], held_out: float) -> Split:
    """Split images by a hash of their names, in whose order they are; neither side is empty, one image is on both."""
    u = np.array([uniform(name) for name in names])
    order = np.argsort(u, kind="stable")
    if len(u) == 1:
        return Split(order, order)
    num_test = int(np.clip((u < held_out).sum(), 1, len(u) - 1))
    return Split(order[num_test:], order[:num_test])


def fixed_split(names: Sequence[str], held_out: Sequence[bool]) -> Split:
    """Split images by whether each is held out; both sides are ordered by a hash of the names."""
    order = np.argsort([uniform(name) for name in names], kind="stable")
    is_test = np.array(held_out)[order]
    return Split(order[~is_test], order[is_test])


def uniform(name: str) -> float:
    """Return the hash of a name, uniform in [0, 1)."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


class _Rows:
    """Rows of an array, read when they are indexed, or all by ``np.asarray``."""

    def __init__(self, array: Numbers, rows: Positions) -> None:
        self._array, self._rows = array, rows
        self.shape, self.dtype = (len(rows), *array.shape[1:]), array.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> Numbers:
        rows, *others = key if isinstance(key, tuple) else (key,)
        part: Numbers = self._array[(self._rows[rows], *others)]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class ImageSet:
    """Images, and what is recorded about each of them.

    Attributes:
        images: numbers ``(N, H, W, C)`` of the format ``pixels``; often a read-only memory map.
        names: N file names relative to the folder, or indices as text.
        labels: int64 ``(N,)`` indices into ``label_names``, or None.
        label_names: name of each class.
        attributes: float32 ``(N, A)``, NaN where unknown, or None.
        attribute_names: name of each attribute.
        pixels: type and range of the images' numbers.
    """

    images: Numbers
    names: Sequence[str]
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    attributes: NDArray[np.float32] | None = None
    attribute_names: tuple[str, ...] = ()
    pixels: PixelFormat = BYTES

    def __len__(self) -> int:
        return len(self.images)

    def unit(self, rows: Positions | slice | list[int] = slice(None)) -> "Tensor":
        """Return the images at these rows, or all, as float ``(n, C, H, W)`` in [0, 1]."""
        from torch import from_numpy

        return self.pixels.to_unit(from_numpy(np.array(self.images[rows])))

    def take(self, rows: Positions | slice) -> "ImageSet":
        """Return the images at these rows, with all that is recorded about them; copied unless they are a slice."""
        return self._taken(rows, self.images[rows])

    def _taken(self, rows: Positions | slice, images: Numbers) -> "ImageSet":
        return replace(
            self,
            images=images,
            names=self.names[rows] if isinstance(rows, slice) else [self.names[i] for i in rows],
            labels=None if self.labels is None else self.labels[rows],
            attributes=None if self.attributes is None else self.attributes[rows],
        )

    def some(self, num: int, seed: int) -> "ImageSet":
        """Return ``num`` images drawn by the seed, in their order; the set itself if it has no more.

        Many are not copied: their numbers are read when ``images`` is indexed, by rows first, as a map of a file is.
        """
        if len(self) <= num:
            return self
        rows = some_rows(len(self), num, seed)
        if num * self.images[0].nbytes <= _LARGE:
            return self.take(rows)
        return self._taken(rows, cast("Numbers", _Rows(self.images, rows)))

    def joined(self, other: "ImageSet") -> "ImageSet":
        """Return these images and then those of another set with the same labels and attributes; all are copied."""

        def both(one: Any, more: Any) -> Any:
            return None if one is None else np.concatenate([one, more])

        return replace(
            self,
            images=both(self.images, other.images),
            names=[*self.names, *other.names],
            labels=both(self.labels, other.labels),
            attributes=both(self.attributes, other.attributes),
        )

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


def some_of(names: Iterable[str], what: str = "") -> str:
    """Return how many names there are and the first few: ``4 not read (a, b, c, ...)``."""
    names = sorted(map(printable, names))
    return f"{len(names):,}{what and ' '}{what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _listed(names: Sequence[str]) -> str:
    """Return a few names, or how many there are and the first."""
    return ", ".join(names) or "none" if len(names) <= 6 else f"{len(names)} ({', '.join(names[:3])}, ...)"


@dataclass(frozen=True)
class ImageData:
    """A data set: images to train on, and held-out images.

    Attributes:
        name: of the source.
        train: images to train on.
        test: held-out images.
        fingerprint: hash of all images as prepared; the same on every machine.
        num_unreadable: files that could not be read and were left out.
        left_out: what else was left out, a phrase for each kind.
        notes: what else may surprise, a line each: tables that do not fit the images, classes that are none.
        details: what their line adds about the images' shape and values, a phrase for each.
        original_size: height and width of the first image in its file, if that can be read.
        is_single: whether there is one image, which is on both sides.
        grey: images that ``train``, which is black and white, was drawn from; None if it was not drawn.
    """

    name: str
    train: ImageSet
    test: ImageSet
    fingerprint: str
    num_unreadable: int = 0
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    original_size: tuple[int, int] | None = None
    is_single: bool = False
    grey: ImageSet | None = None

    def check_held_out(self, where: str) -> None:
        """Raise UserError if no image is held out; ``where`` they are."""
        if self.is_single:
            others = "".join(f"; left out: {what}" for what in self.left_out)
            raise UserError(f"{where}: only one image{others}; training and evaluation need at least two")

    @property
    def num_train(self) -> int:
        """Number of images to train on."""
        return len(self.train)

    def summary(self) -> tuple[str, str]:
        """Return two lines on what the data are: images, held out, left out; labels and attributes."""
        left_out = (*([f"{self.num_unreadable} unreadable"] if self.num_unreadable else []), *self.left_out)
        words = (self.pixels.words,) if self.pixels != BYTES else ()
        shape = ", ".join(("x".join(map(str, self.image_shape)), *words, *self.details))
        images = f"{self.num_train:,} training images of {shape}, {len(self.test):,} held out"
        attributes = [part.attributes for part in (self.train, self.test) if part.attributes is not None]
        of = ""
        if attributes:
            num_known = int((~np.isnan(np.concatenate(attributes))).any(1).sum())
            of = f" of {num_known:,} of {len(self.train) + len(self.test):,} images"
        return (
            f"{self.name}: {images}; left out: {'; '.join(left_out) or 'nothing'}",
            f"labels: {_listed(self.train.label_names)}; attributes{of}: {_listed(self.train.attribute_names)}",
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of each image."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

    @property
    def pixels(self) -> PixelFormat:
        """Type and range of the images' numbers."""
        return self.train.pixels

    def split(self, name: str) -> ImageSet:
        """Return the images of the split 'train' or 'test'."""
        return {"train": self.train, "test": self.test}[name]

    def some(self, split: str, num: int | None, seed: int) -> ImageSet:
        """Return ``num`` images of the split 'train', 'test' or 'all', chosen by the seed, or all of them.

        UserError for another split.
        """
        one_of("split", split, ("train", "test", "all"))
        if split != "all" or self.is_single:
            split = "test" if split == "all" else split
            return self.split(split) if num is None else self.split(split).some(num, seed)
        num_train, total = len(self.train), len(self.train) + len(self.test)
        rows = some_rows(total, total if num is None else num, seed)
        return self.train.take(rows[rows < num_train]).joined(self.test.take(rows[rows >= num_train] - num_train))


class Items(Protocol):
    """Undecoded images by index: the interface of every source.

    Items are pickled for the processes that decode. Those that are cheaper to make in bulk also have
    ``read_chunk(indices, target)``, which returns prepared images, uint8 ``(n, H, W, 1 or 3)``.
    """

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the images do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Opened:
        """Open one image; it need not be decoded yet."""


@dataclass(frozen=True)
class FileItems:
    """Images opened one by one from a place: a path or a position in an archive."""

    open: Callable[[Any], Opened]  # opens the image at a place; can be pickled
    places: Sequence[Any]  # of N images
    fingerprint: str  # changes whenever the images do

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Opened:
        """Open one image."""
        return self.open(self.places[index])


def index_labels(values: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels ``(N,)`` and the names of the classes of N class numbers or names."""
    names, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, names))


@dataclass(frozen=True)
class Collection:
    """The undecoded images of a source, and what is recorded about each of them."""

    name: str  # of the source
    where: str  # path or source, for messages
    items: Items  # N images
    names: Sequence[str]  # N names
    split: Split | None = None  # training and held-out images; by a hash of the names if None
    header: ImageHeader | None = None  # of every image, where all are alike; else None
    labels: NDArray[np.int64] | None = None  # int64 ``(N,)`` or None
    label_names: tuple[str, ...] = ()  # name of each class
    attributes: NDArray[np.float32] | None = None  # float32 ``(N, A)`` or None
    attribute_names: tuple[str, ...] = ()  # name of each attribute
    # values of `vaegan.settings.DataSettings` where the user sets none
    defaults: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # what was left out, a phrase for each kind
    notes: tuple[str, ...] = ()  # what else may surprise, a line each

    def decoded(self, images: Numbers, positions: Positions, pixels: PixelFormat = BYTES) -> ImageSet:
        """Return the decoded ``images`` of these positions with what is recorded about them; names as can be listed."""
        return ImageSet(
            images,
            [printable(self.names[i]) for i in positions],
            None if self.labels is None else self.labels[positions],
            tuple(map(printable, self.label_names)),
            None if self.attributes is None else self.attributes[positions],
            tuple(map(printable, self.attribute_names)),
            pixels,
        )
