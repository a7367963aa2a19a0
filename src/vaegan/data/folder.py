"""The images of a folder or a .zip: names, classes, attributes; nothing is decoded or unpacked.

Names are relative to the innermost folder that contains all files, so a wrapper folder in a .zip changes none, and a
.zip and its unpacked folder have the same names, order and split. If every image is in some subfolder, the first part
of its name is its class.

``attributes.csv`` has one row for each image: its file name (relative to the folder, or the bare name), then numbers,
an empty cell where one is unknown. The first line names the columns.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from .dataset import Collection, FileItems, index_labels
from .image_file import FORMATS, SUFFIXES

log = logging.getLogger("vaegan")
ATTRIBUTES = "attributes.csv"
_MAX_FILE = 2**29  # bytes one file of a .zip may unpack to


@dataclass(frozen=True)
class File:
    """A file of a folder or archive: name (with '/'), what it is opened by, a stamp that changes with it."""

    name: str
    place: Any
    stamp: str


class ZipMember:
    """Opens image files of a .zip by their position in its directory; they are read into memory, not unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None

    def __call__(self, position: int) -> Image.Image:
        """Open one image."""
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        info = self._zip.infolist()[position]
        if info.file_size > _MAX_FILE:
            raise ValueError(f"unpacks to {info.file_size} bytes")
        return Image.open(io.BytesIO(self._zip.read(info)), formats=FORMATS)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None}


def list_folder(path: Path) -> Collection:
    """List the images in a folder and its subfolders; UserError if there are none."""
    try:
        files = list(_walk(path, "", set()))
        return collect_files(path, files, partial(Image.open, formats=FORMATS), lambda place: Path(place).read_bytes())
    except OSError as error:
        raise UserError(f"{error.filename or path}: {error.strerror or error}; give a folder you can read") from error


def list_zip(path: Path) -> Collection:
    """List the images in a .zip; UserError if it is not one, is encrypted, or has none."""
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
            return collect_files(path, files, ZipMember(path), lambda place: archive.read(infos[place]))
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


def collect_files(
    path: Path, files: list[File], open_image: Callable[[Any], Image.Image], read: Callable[[Any], bytes]
) -> Collection:
    """Make a collection of the images among the files of a folder or archive; ``open_image`` can be pickled."""
    files = sorted((file for file in files if not _is_hidden(file.name)), key=lambda file: file.name)
    images = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    if not images:
        raise UserError(
            f"{path}: no images found; it needs PNG, JPEG, WebP or BMP files, optionally in one subfolder per class"
        )
    wrapper = _wrapper([file.name for file in images])
    names = tuple(file.name[len(wrapper) :] for file in images)
    tables = [file for file in files if file.name in (ATTRIBUTES, wrapper + ATTRIBUTES)][-1:]
    if num_others := len(files) - len(images) - len(tables):
        log.info("%s: left out %d files that are not PNG, JPEG, WebP or BMP by their names", path, num_others)
    labels, label_names = _classes(names)
    attributes: tuple[NDArray[np.float32] | None, tuple[str, ...]] = (None, ())
    for table in tables:
        attributes = read_attributes(read(table.place), names, f"{path}/{table.name}")
    return Collection(
        name=path.resolve().name if path.is_dir() else path.stem,
        where=str(path),
        items=FileItems(open_image, [file.place for file in images], _fingerprint(path, images)),
        names=names,
        labels=labels,
        label_names=label_names,
        attributes=attributes[0],
        attribute_names=attributes[1],
    )


def read_attributes(content: bytes, names: Sequence[str], where: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the (N, A) float32 values and A column names of an attributes.csv, NaN where unknown.

    Raises UserError if the file is no such table, or names none of the images ``names``.
    """
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = tuple(next(lines, [])[1:])
        rows = {line[0]: _numbers(line, len(columns), f"{where}, line {lines.line_num}") for line in lines if line}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: not a table of comma-separated UTF-8 text ({error})") from error
    if not columns:
        raise UserError(f"{where}: needs a first line 'file,NAME,...' and at least one attribute")
    values = [rows.get(name) or rows.get(PurePosixPath(name).name) for name in names]
    if not any(values):
        raise UserError(f"{where}: its first column names none of the images, such as {names[0]!r}")
    return np.array([row or [np.nan] * len(columns) for row in values], np.float32), columns


def _numbers(line: list[str], num_columns: int, where: str) -> list[float]:
    try:
        values = [float(cell) if cell.strip() else float("nan") for cell in line[1:]]
    except ValueError as error:
        raise UserError(f"{where}: {error}; attributes are numbers") from error
    if len(values) != num_columns:
        raise UserError(f"{where}: {len(values)} values for {num_columns} attributes")
    return values


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _wrapper(names: Sequence[str]) -> str:
    """Return the folders, if any, that all files are in: ``"a/b/"``."""
    folders = [name.split("/")[:-1] for name in names]
    both = zip(min(folders), max(folders), strict=False)  # what the extremes share, all share
    return "".join(f"{a}/" for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))


def _classes(names: Sequence[str]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return labels by first subfolder, and the subfolders; none if an image is in no subfolder."""
    if not all("/" in name for name in names):
        return None, ()
    return index_labels([name.split("/")[0] for name in names])


def _fingerprint(path: Path, images: Sequence[File]) -> str:
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    for file in images:
        digest.update(f"\0{file.name}\0{file.stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
