"""CelebA: 202,599 aligned faces of 178 x 218 pixels with 40 attributes (Liu, Luo, Wang and Tang, ICCV 2015).

Training and validation images are trained on, test images held out, as in Larsen et al., arXiv:1512.09300, whose code
cuts rows 40 to 188 and columns 15 to 163 and resizes these 148 x 148 pixels (dataset/celeba.py). With
``data.crop_size`` the centred square of the whole picture is cut instead. The checksums are those in torchvision's
source.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import UserError
from ..dataset import ImageData, Look, Options
from ..decoded import prepare_data
from ..downloads import download, find, root_of
from ..folder import list_folder, list_zip
from ..image_file import Reader

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


class CropReader:
    """Opens the aligned pictures of another reader, cut as in the paper."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def open(self, key: object) -> Image.Image:
        """Open the picture ``key``."""
        with self.reader.open(key) as image:
            if image.size != _ALIGNED:
                raise ValueError(f"{image.width}x{image.height} pixels, not {_ALIGNED[0]}x{_ALIGNED[1]}")
            return image.crop(_BOX)


def open_celeba(options: Options) -> ImageData:
    """Open the aligned images, from their folder or .zip, with both tables.

    Raises:
        UserError: if files are missing or not as published.
    """
    images, attributes_file, partition_file = _find(root_of("celeba", options))
    collection = list_folder(images) if images.is_dir() else list_zip(images)
    rows = {Path(name).name: i for i, name in enumerate(collection.names)}
    attributes, attribute_names = _attributes(attributes_file, rows)
    collection = replace(
        collection, labels=None, label_names=(), attributes=attributes, attribute_names=attribute_names
    )
    parts = _parts(partition_file, rows)
    if options.crop == "center" and options.crop_size is None:
        collection = replace(collection, reader=CropReader(collection.reader), look=Look(148, 148, True))
        collection = replace(collection, digest=f"cut {collection.digest}")
    return prepare_data("celeba", collection, parts, replace(options, size=options.size or SIZE))


def _find(root: Path) -> list[Path]:
    """Return images, attributes and partition, those missing downloaded."""
    names = [(_IMAGES, f"{_IMAGES}.zip"), (_ATTRIBUTES,), (_PARTITION,)]
    found = [find(root, _BELOW, spellings) for spellings in names]
    missing = [file for file, path in zip(_CHECKSUMS, found, strict=True) if path is None]
    return [
        path or download("celeba", file, checksum, root, urls=(), page=_PAGE, missing=missing)
        for (file, checksum), path in zip(_CHECKSUMS.items(), found, strict=True)
    ]


def _parts(path: Path, rows: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions to train on and held out, in the order of the partition file."""
    parts: tuple[list[int], list[int]] = ([], [])
    lines = _lines(path)
    for name, (part,) in _rows(lines, 1, path):
        if name in rows:
            parts[part == _HELD_OUT].append(rows[name])
    if not (parts[0] and parts[1]):
        raise UserError(f"{path}: names no image to train on, or none to hold out; is it the file for these images?")
    if len(lines) > len(rows):
        log.warning("celeba: %d of %d images are missing", len(lines) - len(rows), len(lines))
    return np.array(parts[0], np.int64), np.array(parts[1], np.int64)


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
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); download it again") from error


def _rows(lines: list[str], num_values: int, path: Path) -> list[tuple[str, list[int]]]:
    """Return name and numbers of each line."""
    try:
        rows = [(words[0], [int(word) for word in words[1:]]) for words in map(str.split, lines) if words]
    except ValueError as error:
        raise UserError(f"{path}: {error}; download it again") from error
    if any(len(values) != num_values for _, values in rows):
        raise UserError(f"{path}: not {num_values} numbers behind every name; download it again")
    return rows
