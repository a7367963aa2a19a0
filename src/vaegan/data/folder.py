"""What pictures a folder or a .zip holds: names, classes, attributes; nothing is decoded or unpacked.

Names are relative to the innermost folder that holds everything, so ``smiles/`` wrapped in ``smiles.zip``
changes none, and a .zip and its unpacked folder name, order and split their images alike. Where every image
lies in some subfolder, the first part of its name is its class.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from .attribute_table import read_attributes
from .dataset import Collection
from .image_file import FORMATS, SUFFIXES, Reader

log = logging.getLogger("vaegan")
ATTRIBUTES = "attributes.csv"
_MAX_FILE = 2**29  # bytes one file of a .zip may unpack to


@dataclass(frozen=True)
class File:
    """A file of a folder or archive.

    Attributes:
        name: relative, with '/' between its parts.
        key: what the reader opens it by.
        stamp: changes when the file does.
    """

    name: str
    key: Any
    stamp: str


class FolderReader:
    """Opens pictures by their path."""

    def open(self, key: str) -> Image.Image:
        """Open the picture at the path ``key``."""
        return Image.open(key, formats=FORMATS)


class ZipReader:
    """Opens pictures of a .zip by their position in its directory; they are read into memory, not unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None

    def open(self, key: int) -> Image.Image:
        """Open the picture at position ``key``."""
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        info = self._zip.infolist()[key]
        if info.file_size > _MAX_FILE:
            raise ValueError(f"unpacks to {info.file_size} bytes")
        return Image.open(io.BytesIO(self._zip.read(info)), formats=FORMATS)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None}


def list_folder(path: Path) -> Collection:
    """List the pictures in a folder and its subfolders.

    Raises:
        UserError: if the folder cannot be read, holds no pictures, or its attributes are no table of numbers.
    """
    try:
        files = list(_walk(path, "", set()))
        return collect_files(path, files, FolderReader(), lambda file: Path(file.key).read_bytes())
    except OSError as error:
        raise UserError(f"{error.filename or path}: {error.strerror or error}; give a folder you can read") from error


def list_zip(path: Path) -> Collection:
    """List the pictures in a .zip.

    Raises:
        UserError: if the file is no .zip, is encrypted, holds no pictures, or its attributes are no table of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if any(info.flag_bits & 1 for info in infos):
                raise UserError(f"{path}: is encrypted; unpack it with its password and give the folder")
            files = [
                File(plain_name(info.filename), i, f"{info.file_size} {info.CRC}")
                for i, info in enumerate(infos)
                if not info.is_dir()
            ]
            return collect_files(path, files, ZipReader(path), lambda file: archive.read(infos[file.key]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable .zip ({error}); copy or download it again") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a .zip you can read") from error


def _walk(folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[File]:
    """Yield all files below ``folder``; links are followed, but no folder is entered twice."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:
        return
    seen.add((stat.st_dev, stat.st_ino))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
            name = prefix + entry.name
            if entry.is_dir():
                yield from _walk(Path(entry.path), name + "/", seen)
            elif entry.is_file():
                stat = entry.stat()
                yield File(name, entry.path, f"{stat.st_size} {stat.st_mtime_ns}")


def plain_name(name: str) -> str:
    """Return a name in an archive without parts that lead elsewhere."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def collect_files(path: Path, files: list[File], reader: Reader, read: Callable[[File], bytes]) -> Collection:
    """Make a collection of the pictures among files.

    Args:
        path: of the folder or archive.
        files: all that it holds.
        reader: opens pictures by their keys.
        read: returns the content of a file.

    Raises:
        UserError: if none is a picture, or the attributes are no table of numbers.
    """
    files = sorted((file for file in files if not _is_hidden(file.name)), key=lambda file: file.name)
    pictures = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    if not pictures:
        raise UserError(
            f"{path}: no images found; it needs PNG, JPEG, WebP or BMP files, at will in one subfolder per class"
        )
    wrapper = _wrapper([file.name for file in pictures])
    names = tuple(file.name[len(wrapper) :] for file in pictures)
    tables = [file for file in files if file.name in (ATTRIBUTES, wrapper + ATTRIBUTES)][-1:]
    _tell_others(path, len(files) - len(pictures) - len(tables))
    labels, label_names = _classes(names)
    attributes: tuple[NDArray[np.float32] | None, tuple[str, ...]] = (None, ())
    for table in tables:
        attributes = read_attributes(read(table), names, f"{path}/{table.name}")
    return Collection(
        where=str(path),
        names=names,
        keys=[file.key for file in pictures],
        reader=reader,
        digest=_digest(path, pictures),
        labels=labels,
        label_names=label_names,
        attributes=attributes[0],
        attribute_names=attributes[1],
    )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _wrapper(names: Sequence[str]) -> str:
    """Return the folders, if any, that all files lie in: ``"a/b/"``."""
    folders = [name.split("/")[:-1] for name in names]
    both = zip(min(folders), max(folders), strict=False)  # what the extremes share, all share
    return "".join(f"{a}/" for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))


def _classes(names: Sequence[str]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return labels by first subfolder, and the subfolders; none if an image lies in no subfolder."""
    if not all("/" in name for name in names):
        return None, ()
    folders = [name.split("/")[0] for name in names]
    label_names, labels = np.unique(folders, return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, label_names))


def _digest(path: Path, pictures: Sequence[File]) -> str:
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    for file in pictures:
        digest.update(f"\0{file.name}\0{file.stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _tell_others(path: Path, count: int) -> None:
    if count:
        log.info("%s: left out %d files that are not PNG, JPEG, WebP or BMP by their names", path, count)
