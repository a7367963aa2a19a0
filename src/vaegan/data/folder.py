"""The images of a folder or a .zip: names, classes, split, attributes; nothing is decoded or unpacked.

Names are relative to the innermost folder that contains all files, so a wrapper folder in a .zip changes none, and a
.zip and its unpacked folder have the same names, order and split. If every image is in some subfolder, the first part
of its name is its class. Folders ``train`` and ``test`` (or val, valid, validation) are a split, with classes beneath.
What is recorded about images is in `tables` beside them.
"""

import contextlib
import hashlib
import io
import itertools
import os
import posixpath
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, printable
from ..files import MAX_FILE, MAX_TEXT, read_bytes
from .dataset import Collection, FileItems, fixed_split, index_labels, some_of
from .image_types import SUFFIXES, TYPES, Opened, open_image
from .tables import TABLES, read_rows, table_rows

_TRAIN, _HELD_OUT = ("train", "training"), ("test", "testing", "val", "valid", "validation")


@dataclass(frozen=True)
class File:
    """A file of a folder or archive."""

    name: str  # with '/'
    place: Any  # what it is opened by
    stamp: str  # changes with the file; empty if it cannot be opened, such as a pipe or a broken link


class ZipMember:
    """Opens image files of a .zip by their position in its directory; they are read into memory, not unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None

    def __call__(self, position: int) -> Opened:
        """Open one image."""
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        return open_image(io.BytesIO(_unpacked(self._zip, position, MAX_FILE)))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None}


def _unpacked(archive: zipfile.ZipFile, position: int, limit: int = MAX_TEXT) -> bytes:
    with archive.open(archive.infolist()[position]) as file:
        return read_bytes(file, limit)


def list_folder(path: Path) -> Collection:
    """List the images in a folder and its subfolders; UserError if there are none."""
    try:
        return collect_files(path, list(_walk(path)), open_image, lambda at: read_bytes(Path(at)))
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
            return collect_files(path, files, ZipMember(path), partial(_unpacked, archive))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a .zip you can read") from error
    except Exception as error:  # damaged archives make zipfile and its decompressors raise nearly anything
        raise UserError(f"{path}: not a readable .zip ({error}); copy or download it again") from error


def _walk(top: Path) -> Iterator[File]:
    """Yield all files below a folder; links are followed, but no folder is entered twice."""
    waiting, seen = [(top, "")], set()
    while waiting:
        folder, prefix = waiting.pop()
        at = folder.stat()
        if (at.st_dev, at.st_ino) in seen:
            continue
        seen.add((at.st_dev, at.st_ino))
        with os.scandir(folder) as entries:
            in_order = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
        folders = []
        for entry in in_order:
            name, stamp = prefix + entry.name, ""
            with contextlib.suppress(OSError):  # a link to nowhere, or to itself
                at = entry.stat()
                if stat.S_ISDIR(at.st_mode):
                    folders.append((Path(entry.path), name + "/"))
                    continue
                stamp = f"{at.st_size} {at.st_mtime_ns}" if stat.S_ISREG(at.st_mode) else ""
            yield File(name, entry.path, stamp)
        waiting += reversed(folders)


def plain_name(name: str) -> str:
    """Return a name in an archive without parts that lead elsewhere."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def collect_files(
    path: Path,
    files: list[File],
    open_: Callable[[Any], Opened],
    read: Callable[[Any], bytes],
    named: Callable[[str], str] = str,
) -> Collection:
    """Make a collection of the images among the files of a folder or archive; ``open_`` can be pickled.

    ``named`` returns what an image is called, by its name.
    """
    files = sorted((file for file in files if not _is_hidden(file.name)), key=lambda file: file.name)
    whole = [file for file in files if file.stamp]
    images = [file for file in whole if is_image(file.name)]
    if not images:
        among = f" among {some_of((file.name for file in files), 'files')}" if files else ""
        fix = f"it needs {TYPES} files, or a subfolder per class"
        if any(file.name.lower().endswith((".npy", ".npz", ".zip", ".tar")) for file in whole):
            fix = (
                "give one of the .npy, .npz, .zip or .tar files as --data, or all .tar files by a pattern such as *.tar"
            )
        raise UserError(f"{path}: no images found{among}; {fix}")
    wrapper = common_folder([file.name for file in images])
    sides = split_folders([file.name.removeprefix(wrapper) for file in images])
    inside = [file for file in images if not sides or file.name.removeprefix(wrapper).split("/")[0] in sides]
    paths = [file.name for file in inside]
    names = [name.removeprefix(wrapper) for name in paths]
    tables = [file for file in whole if _is_table(file.name, paths)]
    left_out = {
        f"outside {', '.join(sides)}": set(images) - set(inside),
        "not read": set(whole) - set(images) - set(tables),
        "that cannot be opened": set(files) - set(whole),
    }
    notes: list[str] = []
    rows = itertools.chain.from_iterable(
        table_rows(table.name, _content(table, read, path), paths, str(path), notes) for table in tables
    )
    attributes, attribute_names = read_rows(rows, len(names), str(path), notes)
    split = fixed_split(names, [sides[name.split("/")[0]] for name in names]) if sides else None
    inner, names = [name.partition("/")[2] for name in names] if sides else names, [*map(named, names)]
    labels, label_names = _classes(inner, names, path, notes)
    return Collection(
        name=printable(path.resolve().name if path.is_dir() else path.stem),
        where=str(path),
        items=FileItems(open_, [file.place for file in inside], _fingerprint(path, inside)),
        names=names,
        split=split,
        labels=labels,
        label_names=label_names,
        attributes=attributes,
        attribute_names=attribute_names,
        left_out=tuple(some_of([file.name for file in some], what) for what, some in left_out.items() if some),
        notes=tuple(notes),
    )


def _content(file: File, read: Callable[[Any], bytes], path: Path) -> bytes:
    try:
        return read(file.place)
    except OSError as error:
        raise UserError(f"{path}/{file.name}: {error.strerror or error}; correct or remove it") from error


def is_image(name: str) -> bool:
    """Return whether a file is an image to read, by its name."""
    return name.lower().endswith(SUFFIXES) and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def common_folder(names: Sequence[str]) -> str:
    """Return the folders, if any, that all files are in: ``"a/b/"``; names are as `plain_name` returns them."""
    common = posixpath.commonpath([posixpath.dirname(name) for name in names])
    return f"{common}/" if common else ""


def split_folders(names: Sequence[str]) -> dict[str, bool]:
    """Return the folders of a split, and whether each is held out; none if there are not both kinds."""
    folders = sorted({name.split("/")[0] for name in names if "/" in name})
    sides = {folder: folder.lower() in _HELD_OUT for folder in folders if folder.lower() in (*_TRAIN, *_HELD_OUT)}
    return sides if len(set(sides.values())) == 2 else {}


def _is_table(name: str, images: Sequence[str]) -> bool:
    """Whether a file is a table with images beside or below it."""
    folder, _, last = name.rpartition("/")
    return last in TABLES and any(not folder or image.startswith(f"{folder}/") for image in images)


def _classes(
    inner: Sequence[str], names: Sequence[str], path: Path, notes: list[str]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return labels by first subfolder, and the subfolders; none if an image is in no subfolder.

    ``inner`` are paths inside the folders of a split, ``names`` what the images are called.
    """
    wrapper = common_folder(inner)
    folders = [name.removeprefix(wrapper).rpartition("/")[0].split("/")[0] for name in inner]
    loose = [name for name, folder in zip(names, folders, strict=True) if not folder]
    if not loose:
        return index_labels(folders)
    if 2 * len(loose) < len(names):
        notes.append(f"{path}: no labels, as images lie beside the class folders: {some_of(loose, 'in none')}")
    return None, ()


def _fingerprint(path: Path, images: Sequence[File]) -> str:
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    for file in images:
        digest.update(f"\0{file.name}\0{file.stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
