"""Small grey images in one array: scikit-learn's digits, MNIST and Fashion-MNIST.

Digits: Alpaydin and Kaynak, UCI (1998), 1,797 handwritten digits, 8 x 8. MNIST: LeCun, Cortes and Burges (1998), 60,000
+ 10,000 handwritten digits, 28 x 28; the checksums are those of the compressed files as first published, which the
mirrors still serve. Fashion-MNIST: Xiao, Rasul and Vollgraf, arXiv:1708.07747, as many images of clothes; the checksums
are those of its README.

MNIST and Fashion-MNIST are four IDX files, split as published. An IDX file is two zero bytes, a type, the number of
axes, each axis as big-endian int32, then the values. Source: LeCun, Cortes and Burges, "The MNIST database of
handwritten digits", section "File formats".
"""

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import MAX_FILE, read_bytes
from ...pixels import WHITE
from ...settings import DataSettings
from ..arrays import collect_array
from ..dataset import Collection, Split, hashed_split
from ..downloads import find_or_download, root_of, stamp

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_UINT8 = 0x08  # type of the values in an IDX file
_HELD_OUT = 0.15  # share of the digits


@dataclass(frozen=True)
class IdxSet:
    """A published data set of four IDX files."""

    name: str  # of the source
    folder: str  # what torchvision calls its folder
    urls: tuple[str, ...]  # of the folders with the compressed files; tried in turn
    checksums: tuple[str, str, str, str]  # of the compressed files, in the order of `_FILES`
    label_names: tuple[str, ...]  # name of each class

    def open(self, settings: DataSettings) -> Collection:
        """Find or download the files, and read them."""
        paths = self._find(settings)
        train, train_labels, test, test_labels = map(read_idx, paths, (3, 1, 3, 1))
        for images, labels, path in ((train, train_labels, paths[1]), (test, test_labels, paths[3])):
            if len(images) != len(labels) or labels.max(initial=0) >= len(self.label_names):
                raise UserError(f"{path}: does not fit the images beside it; download both again")
        if train.shape[1:] != test.shape[1:] or not (train.size and test.size):
            raise UserError(f"{paths[2]}: does not fit {paths[0].name}; download both again")
        return collect_array(
            self.name,
            np.concatenate((train, test))[..., None],
            stamp(paths),
            split=Split(np.arange(len(train)), np.arange(len(train), len(train) + len(test))),
            labels=np.concatenate((train_labels, test_labels)).astype(np.int64),
            label_names=self.label_names,
        )

    def _find(self, settings: DataSettings) -> list[Path]:
        """Return the four files, those missing downloaded."""
        below = ("", self.name, "raw", f"{self.folder}/raw")
        both = [(file, file.replace("-idx", ".idx")) for file in _FILES]
        spellings = [(file, f"{file}.gz", dotted, f"{dotted}.gz") for file, dotted in both]
        checksums = {f"{file}.gz": checksum for file, checksum in zip(_FILES, self.checksums, strict=True)}
        root = root_of(self.name, settings)
        return find_or_download(self.name, checksums, spellings, root, below, urls=self.urls)


MNIST = IdxSet(
    name="mnist",
    folder="MNIST",
    urls=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    checksums=(
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    label_names=tuple("0123456789"),
)

FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    folder="FashionMNIST",
    urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
    checksums=(
        "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "md5:25c81989df183df01b3e8a0aad5dffbe",
        "md5:bef4ecab320f06d8554ea6380940ec79",
        "md5:bb300cfdad3c16e7a12a480ee83cd310",
    ),
    label_names=(
        "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
)  # fmt: skip


def list_demo(settings: DataSettings) -> Collection:
    """Return the digits of MNIST that the package carries beside its model `demo`."""
    return MNIST.open(settings.model_copy(update={"root": Path(__file__).parents[2] / "demo"}))


def list_digits(settings: DataSettings) -> Collection:
    """Return the digits; about 270 are held out, always the same, independent of ``held_out``."""
    from sklearn.datasets import load_digits  # takes a second to import

    values, labels = load_digits(return_X_y=True)
    images = np.round(values.reshape(-1, 8, 8, 1) * (WHITE / 16)).astype(np.uint8)  # values are 0 to 16
    split = hashed_split([str(i) for i in range(len(images))], _HELD_OUT)
    fingerprint = hashlib.sha256(images.tobytes()).hexdigest()
    labels = labels.astype(np.int64)
    return collect_array("digits", images, fingerprint, split=split, labels=labels, label_names=MNIST.label_names)


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, compressed (.gz) or not: 3 axes for images ``(N, H, W)``, 1 for labels ``(N,)``."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = read_bytes(file, MAX_FILE)  # type: ignore[arg-type]  # a GzipFile is one
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); copy or download it again") from error
    magic = bytes((0, 0, _UINT8, num_axes))
    header = 4 + 4 * num_axes
    if content[:4] != magic or len(content) < header:
        raise UserError(
            f"{path}: begins with 0x{content[:4].hex()}, not 0x{magic.hex()} as an IDX file of "
            f"{'images' if num_axes == 3 else 'labels'} does; download it again"
        )
    shape = struct.unpack(f">{num_axes}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise UserError(
            f"{path}: has {len(content) - header} values where its header says {'x'.join(map(str, shape))}; "
            "download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
