"""``.tar`` shards in the layout of webdataset: files of one sample share their name up to the first dot.

``0001.jpg`` is the picture, ``0001.cls`` its class (a whole number) and ``0001.json`` an object whose numbers become
attributes. Several shards are given as a pattern, ``train-{0000..0099}.tar`` or ``train-*.tar``. Nothing is unpacked:
a picture is read from its place in the .tar. A plain .tar of a folder of images does as well.
Source: github.com/webdataset/webdataset, "The WebDataset Format".
"""

from __future__ import annotations

import glob
import io
import itertools
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from .dataset import Collection
from .folder import File, collect_files, plain_name
from .image_file import FORMATS

_CLASS, _JSON = "cls", "json"
_KNOWN = (_CLASS, _JSON)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class ShardReader:
    """Opens pictures by shard, place and length."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def open(self, key: tuple[int, int, int]) -> Image.Image:
        """Open the picture of ``key[2]`` bytes at byte ``key[1]`` of shard ``key[0]``."""
        return Image.open(io.BytesIO(self.content(key)), formats=FORMATS)

    def content(self, key: tuple[int, int, int]) -> bytes:
        """Return the content of the file there."""
        with self.paths[key[0]].open("rb") as shard:
            shard.seek(key[1])
            return shard.read(key[2])


def list_shards(pattern: Path) -> Collection:
    """List the pictures in all shards of a pattern.

    Raises:
        UserError: if there is no such shard, one is no .tar, none holds pictures, or a class or JSON object is none.
    """
    paths = expand(str(pattern))
    reader = ShardReader(paths)
    files = [file for which, path in enumerate(paths) for file in _members(which, path)]
    known = {_sample(file): file for file in files if _sample(file)[2] in _KNOWN}
    files = [file for file in files if _sample(file) not in known]
    samples = {file.key: _sample(file)[:2] for file in files}
    collection = collect_files(pattern, files, reader, lambda file: reader.content(file.key))
    beside = [
        {kind: known[*samples[key], kind] for kind in _KNOWN if (*samples[key], kind) in known}
        for key in collection.keys
    ]
    if len(set(collection.names)) < len(collection.names):
        names = [f"{paths[key[0]].name}/{name}" for key, name in zip(collection.keys, collection.names, strict=True)]
        collection = replace(collection, names=names)
    if any(_CLASS in files for files in beside):
        labels, label_names = _labels(beside, reader, str(pattern))
        collection = replace(collection, labels=labels, label_names=label_names)
    if any(_JSON in files for files in beside):
        attributes, attribute_names = _attributes(beside, reader, str(pattern))
        collection = replace(collection, attributes=attributes, attribute_names=attribute_names)
    return collection


def is_pattern(source: str) -> bool:
    """Tell whether a path that does not exist may mean several shards."""
    return source.lower().endswith(".tar") and any(sign in source for sign in "{*?[")


def expand(pattern: str) -> list[Path]:
    """Return the shards that a pattern means: braces first, then wildcards; sorted, all of them existing.

    Raises:
        UserError: if one does not exist.
    """
    paths = []
    for name in _unbraced(pattern):
        found = [name] if Path(name).is_file() else sorted(glob.glob(name))  # noqa: PTH207, as pathlib refuses "/..."
        if not found:
            raise UserError(f"{name}: no such file; give a .tar, or a pattern such as 'train-{{0000..0099}}.tar'")
        paths += [Path(path) for path in found]
    return paths


def _unbraced(pattern: str) -> list[str]:
    """Return what the shell would make of ``a{1,2}b`` and ``a{08..11}b``."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    between = _RANGE.fullmatch(match[1])
    if between is None:
        words = match[1].split(",")
    else:
        width = len(between[1])
        words = [f"{i:0{width}}" for i in range(int(between[1]), int(between[2]) + 1)]
    rests = _unbraced(pattern[match.end() :])
    return [pattern[: match.start()] + word + rest for word, rest in itertools.product(words, rests)]


def _members(which: int, path: Path) -> list[File]:
    """List the files of a shard."""
    try:
        stat = path.stat()
        with tarfile.open(path, "r:") as shard:
            members = shard.getmembers()
            if stat.st_size < shard.offset + tarfile.BLOCKSIZE:  # no block behind the last file, which marks the end
                raise tarfile.ReadError("cut short")
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path}: not a readable .tar ({error}); copy or download it again") from error
    files = []
    for member in members:
        if member.isreg():
            place = (which, member.offset_data, member.size)
            files.append(File(plain_name(member.name), place, f"{place} {stat.st_mtime_ns}"))
    return files


def _sample(file: File) -> tuple[int, str, str]:
    """Return shard, name up to the first dot, and the rest of the name."""
    folder, slash, name = file.name.rpartition("/")
    key, _, kind = name.partition(".")
    return file.key[0], folder + slash + key, kind


def _labels(
    beside: Sequence[dict[str, File]], reader: ShardReader, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels ``(N,)`` and the names of the classes, which are the numbers in the files."""
    try:
        numbers = [int(reader.content(files[_CLASS].key)) for files in beside]
    except KeyError as error:
        raise UserError(f"{where}: some pictures have a .{_CLASS} beside them and some have none") from error
    except ValueError as error:
        raise UserError(f"{where}: a .{_CLASS} holds no whole number ({error})") from error
    values, labels = np.unique(numbers, return_inverse=True)
    return labels.astype(np.int64), tuple(map(str, values))


def _attributes(
    beside: Sequence[dict[str, File]], reader: ShardReader, where: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return numbers and truths of the JSON objects as attributes ``(N, A)``, NaN where unknown, and their names."""
    rows = [_numbers(reader.content(files[_JSON].key), where) if _JSON in files else {} for files in beside]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return np.array([[row.get(name, np.nan) for name in columns] for row in rows], np.float32), columns


def _numbers(content: bytes, where: str) -> dict[str, float]:
    try:
        known = json.loads(content)
    except ValueError as error:
        raise UserError(f"{where}: a .{_JSON} cannot be read ({error})") from error
    if not isinstance(known, dict):
        raise UserError(f"{where}: a .{_JSON} holds no object")
    return {name: float(value) for name, value in known.items() if isinstance(value, int | float)}
