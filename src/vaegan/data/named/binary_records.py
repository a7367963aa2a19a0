"""CIFAR-10 and STL-10: binary files of records of one length, each an image and perhaps its label.

An image is three planes of bytes, red, green, blue. CIFAR-10 (Krizhevsky, 2009, cs.toronto.edu/~kriz/cifar.html):
32 x 32, row by row, one byte with the label before each image. Its Python version is a pickle, which could run
anything, so the binary version is read. STL-10 (Coates, Lee and Ng, 2011, cs.stanford.edu/~acoates/stl10): 96 x 96,
column by column, labels from 1 on in a file of their own; 100,000 images without labels are trained on too, after
the labelled ones. CIFAR-10's page publishes its checksum, torchvision's source that of STL-10.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import UserError
from ...settings import DataSettings
from ..dataset import Collection, FileItems, Split
from ..downloads import download, find, root_of, stamp, unpacked
from ..image_file import ImageHeader


@dataclass(frozen=True)
class RecordSet:
    """A published data set of such files."""

    name: str  # of the source
    archive: str  # the official file
    checksum: str  # of the archive
    folder: str  # in the archive
    urls: tuple[str, ...]  # of the folders with the archive; tried in turn
    train: tuple[str, ...]  # names of files to train on
    test: tuple[str, ...]  # names of held-out files
    side: int  # height and width of an image
    label_bytes: int  # before each image
    by_column: bool  # whether planes are stored column by column
    label_names: tuple[str, ...]  # name of each class, the last one for images without a label if there are any

    @property
    def record_bytes(self) -> int:
        """Length of label and image."""
        return self.label_bytes + 3 * self.side**2

    def open(self, settings: DataSettings) -> Collection:
        """Find or download the files, and list their images; the split is as published."""
        folder = self._find(root_of(self.name, settings))
        paths = [folder / name for name in self.train + self.test]
        counts = [self._count(path) for path in paths]
        labels = np.concatenate([self._labels(path, count) for path, count in zip(paths, counts, strict=True)])
        if labels.min() < 0 or labels.max() >= len(self.label_names):
            raise UserError(f"{folder}: labels are not those of {len(self.label_names)} classes; download it again")
        places = [(path, i) for path, count in zip(paths, counts, strict=True) for i in range(count)]
        num_train = sum(counts[: len(self.train)])
        return Collection(
            name=self.name,
            where=self.name,
            items=FileItems(self.open_record, places, stamp(paths)),
            names=[f"{path.stem}-{i:06}" for path, i in places],
            split=Split(np.arange(num_train), np.arange(num_train, len(labels))),
            header=ImageHeader(self.side, self.side, True),
            labels=labels,
            label_names=self.label_names,
        )

    def open_record(self, place: tuple[Path, int]) -> Image.Image:
        """Read the image of a record: which file, and its position there."""
        path, position = place
        with path.open("rb") as file:
            file.seek(position * self.record_bytes + self.label_bytes)
            content = file.read(self.record_bytes - self.label_bytes)
        planes = np.frombuffer(content, np.uint8).reshape(3, self.side, self.side)
        return Image.fromarray(np.ascontiguousarray(planes.transpose((2, 1, 0) if self.by_column else (1, 2, 0))))

    def _find(self, root: Path) -> Path:
        below = ("", self.name)
        folder = find(root, below, [f"{self.folder}/{self.train[0]}", self.train[0]])
        if folder is not None:
            return folder.parent
        archive = find(root, below, [self.archive])
        return unpacked(archive or download(self.name, self.archive, self.checksum, root, urls=self.urls), self.folder)

    def _count(self, path: Path) -> int:
        """Return the number of records in a file; UserError if it is missing, empty, or not a multiple of a record."""
        size = path.stat().st_size if path.is_file() else 0
        if size == 0 or size % self.record_bytes:
            raise UserError(f"{path}: {size} bytes, not a multiple of {self.record_bytes}; download it again")
        return size // self.record_bytes

    def _labels(self, path: Path, count: int) -> NDArray[np.int64]:
        """Return the labels of a file's images, int64 ``(count,)``."""
        if self.label_bytes:
            return np.fromfile(path, np.uint8).reshape(count, -1)[:, 0].astype(np.int64)
        beside = path.with_name(path.name.replace("_X", "_y"))
        if not beside.is_file():
            return np.full(count, len(self.label_names) - 1, np.int64)
        content = np.fromfile(beside, np.uint8)
        if len(content) != count:
            raise UserError(f"{beside}: {len(content)} labels for {count} images; download it again")
        return content.astype(np.int64) - 1


CIFAR10 = RecordSet(
    name="cifar10",
    archive="cifar-10-binary.tar.gz",
    checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    urls=("https://www.cs.toronto.edu/~kriz",),
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test=("test_batch.bin",),
    side=32,
    label_bytes=1,
    by_column=False,
    label_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)

STL10 = RecordSet(
    name="stl10",
    archive="stl10_binary.tar.gz",
    checksum="md5:91f7769df0f17e558f3565bffb0c7dfb",
    folder="stl10_binary",
    urls=("http://ai.stanford.edu/~acoates/stl10",),
    train=("train_X.bin", "unlabeled_X.bin"),
    test=("test_X.bin",),
    side=96,
    label_bytes=0,
    by_column=True,
    label_names=(
        "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck", "unlabeled",
    ),
)  # fmt: skip
