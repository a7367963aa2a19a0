"""CelebA: 202,599 aligned faces of 178 x 218 pixels with 40 attributes (Liu, Luo, Wang and Tang, ICCV 2015).

Training and validation images are trained on, test images held out, as in Larsen et al., arXiv:1512.09300, whose code
crops rows 40 to 188 and columns 15 to 163 and resizes these 148 x 148 pixels (dataset/celeba.py). With
``data.crop_size``, or a size that is not square, the whole image is centre-cropped instead. The checksums are those in
torchvision's source.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import UserError
from ...files import read_bytes
from ...settings import DataSettings
from ..dataset import Collection, FileItems, Split
from ..downloads import find_or_download, root_of
from ..folder import list_folder, list_zip
from ..image_file import ImageHeader
from ..image_types import Opened

log = logging.getLogger("vaegan")
SIZE = 64
_ALIGNED = (178, 218)
_BOX = (15, 40, 163, 188)  # left, top, right, bottom
_HELD_OUT = 2  # in the partition file: 0 training, 1 validation, 2 test
_BELOW = ("", "celeba", "CelebA", "Img", "Anno", "Eval")
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_IMAGES = "img_align_celeba"
_ATTRIBUTES = "list_attr_celeba.txt"
_PARTITION = "list_eval_partition.txt"
_CHECKSUMS = {
    f"{_IMAGES}.zip": "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
    _ATTRIBUTES: "md5:75e246fa4810816ffd6ee81facbd244c",
    _PARTITION: "md5:d32c9cbf5e040fd4025c592c306e6668",
}


def list_celeba(settings: DataSettings) -> Collection:
    """List the aligned images, from their folder or .zip, with both tables."""
    root, spellings = root_of("celeba", settings), [(_IMAGES, f"{_IMAGES}.zip"), (_ATTRIBUTES,), (_PARTITION,)]
    images, attributes_file, partition_file = find_or_download(
        "celeba", _CHECKSUMS, spellings, root, _BELOW, urls=(), page=_PAGE
    )
    collection = list_folder(images) if images.is_dir() else list_zip(images)
    rows = {Path(name).name: i for i, name in enumerate(collection.names)}
    attributes, attribute_names = _attributes(attributes_file, rows)
    collection = replace(
        collection,
        name="celeba",
        split=_read_split(partition_file, rows),
        labels=None,
        label_names=(),
        attributes=attributes,
        attribute_names=attribute_names,
        defaults={"size": SIZE},
    )
    if settings.crop == "center" and settings.crop_size is None and settings.is_square:
        assert isinstance(collection.items, FileItems)
        cropped = partial(_open_cropped, collection.items.open)
        items = replace(collection.items, open=cropped, fingerprint=f"cut {collection.items.fingerprint}")
        return replace(collection, items=items, header=ImageHeader(148, 148, True))
    return collection


def _open_cropped(open_image: Callable[[Any], Opened], place: Any) -> Image.Image:
    """Open an aligned image, cropped as in the paper."""
    with open_image(place) as image:
        if not isinstance(image, Image.Image) or (image.width, image.height) != _ALIGNED:
            raise ValueError(f"{image.width}x{image.height} pixels, not {_ALIGNED[0]}x{_ALIGNED[1]}")
        return image.crop(_BOX)


def _read_split(path: Path, rows: dict[str, int]) -> Split:
    """Return the split of the partition file, in its order."""
    train: list[int] = []
    test: list[int] = []
    lines = _lines(path)
    for name, (partition,) in _rows(lines, 1, path):
        if name in rows:
            (test if partition == _HELD_OUT else train).append(rows[name])
    if not (train and test):
        raise UserError(f"{path}: lists no training images, or no test images; check that it belongs to these images")
    if len(lines) > len(rows):
        log.warning("celeba: %d of %d images are missing", len(lines) - len(rows), len(lines))
    return Split(np.array(train, np.int64), np.array(test, np.int64))


def _attributes(path: Path, rows: dict[str, int]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return attributes as 0 or 1, NaN where unknown, float32 ``(N, 40)``, and their names."""
    lines = _lines(path)
    columns = tuple(lines[1].split()) if len(lines) > 1 else ()
    attributes = np.full((len(rows), len(columns)), np.nan, np.float32)
    for name, values in _rows(lines[2:], len(columns), path):
        if name in rows:
            attributes[rows[name]] = np.array(values) > 0  # -1 or 1 in the file
    return attributes, columns


def _lines(path: Path) -> list[str]:
    try:
        return read_bytes(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); download it again") from error


def _rows(lines: list[str], num_values: int, path: Path) -> list[tuple[str, list[int]]]:
    """Return name and numbers of each line."""
    try:
        rows = [(words[0], [int(word) for word in words[1:]]) for words in map(str.split, lines) if words]
    except ValueError as error:
        raise UserError(f"{path}: {error}; download it again") from error
    if any(len(values) != num_values for _, values in rows):
        raise UserError(f"{path}: not {num_values} numbers after every name; download it again")
    return rows
