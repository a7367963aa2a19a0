"""``.tar`` shards in the layout of webdataset: files of one sample share their name up to the first dot.

``0001.jpg`` is the image, ``0001.cls`` its class (a whole number) and ``0001.json`` an object whose numbers become
attributes. Several shards are given as a pattern, ``train-{0000..0099}.tar`` or ``train-*.tar``. Nothing is unpacked:
an image is read from its place in the .tar. A plain .tar of a folder of images works too.
It is our own because webdataset streams shards in order, while training reads any image by its index.
Source: github.com/webdataset/webdataset, "The WebDataset Format".
"""

import errno
import glob
import io
import json
import math
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..files import MAX_FILE, MAX_TEXT
from .dataset import Collection, FileItems, index_labels
from .folder import File, collect_files, plain_name
from .image_types import Opened, open_image
from .tables import read_rows

_CLASS, _JSON = "cls", "json"
BESIDE = (_CLASS, _JSON)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")

Place = tuple[int, int, int]
"""Which shard, first byte, number of bytes."""
_Beside = dict[str, Place]  # places of the texts beside an image, by suffix
_Read = Callable[[Place], bytes]


def open_member(paths: Sequence[Path], place: Place) -> Opened:
    """Open the image at a place."""
    return open_image(io.BytesIO(content(paths, place, MAX_FILE)))


def content(paths: Sequence[Path], place: Place, limit: int = MAX_TEXT) -> bytes:
    """Return the content of the file at a place; OSError if it is longer than ``limit`` bytes."""
    with paths[place[0]].open("rb") as file:
        return read_at(file, place, limit)


def read_at(file: IO[bytes], place: Place, limit: int = MAX_TEXT) -> bytes:
    """Return the content at a place of an open shard; OSError if it is longer than ``limit`` bytes."""
    _, start, length = place
    if length > limit:
        raise OSError(errno.EFBIG, f"longer than {limit / 1e6:.3g} MB", file.name)
    file.seek(start)
    return file.read(length)


class _Headers(io.FileIO):
    """A .tar whose members are not read, and whose long names are bounded too."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; ReadError if these are more than a name has."""
        if size is None or not 0 <= size <= MAX_TEXT:
            raise tarfile.ReadError(f"a name of {size} bytes")
        return super().read(size)


def list_shards(pattern: Path, named: Callable[[str], str] = str) -> Collection:
    """List the images in all shards of a pattern; UserError if one is missing or malformed, or none has images.

    ``named`` returns what an image is called, by its name.
    """
    paths = expand(str(pattern))
    files = [file for shard, path in enumerate(paths) for file in members(shard, path)]
    samples = {file.place: sample_of(file) for file in files}
    texts = {sample: place for place, sample in samples.items() if sample[2] in BESIDE}
    files = [file for file in files if samples[file.place] not in texts]
    read = partial(content, paths)
    collection = collect_files(pattern, files, partial(open_member, paths), read, named)
    assert isinstance(collection.items, FileItems)
    places = collection.items.places
    beside = [
        {suffix: texts[shard, name, suffix] for suffix in BESIDE if (shard, name, suffix) in texts}
        for shard, name, _ in (samples[place] for place in places)
    ]
    wheres = [f"{paths[place[0]]}/{name}" for place, name in zip(places, collection.names, strict=True)]
    if len(paths) > 1 and len(set(collection.names)) < len(collection.names):
        names = [f"{paths[place[0]].name}/{name}" for place, name in zip(places, collection.names, strict=True)]
        collection = replace(collection, names=names)
    if any(_CLASS in files for files in beside):
        labels, label_names = _labels(beside, read, wheres)
        collection = replace(collection, labels=labels, label_names=label_names)
    if any(_JSON in files for files in beside):
        rows = ((wheres[i], i, _values(read, of[_JSON], wheres[i])) for i, of in enumerate(beside) if _JSON in of)
        notes = list(collection.notes)
        attributes, columns = read_rows(rows, len(beside), str(pattern), notes)
        collection = replace(collection, attributes=attributes, attribute_names=columns, notes=tuple(notes))
    return collection


def is_pattern(source: str) -> bool:
    """Return whether a path that does not exist may mean several shards."""
    return source.lower().endswith(".tar") and any(sign in source for sign in "{*?[")


def expand(pattern: str) -> list[Path]:
    """Return the shards that a pattern means: braces first, then wildcards; sorted, all of them existing files."""
    paths: list[Path] = []
    for name in unbraced(pattern):
        matches = [name] if os.path.isfile(name) else sorted(glob.glob(name, recursive=True))  # noqa: PTH113, PTH207, pathlib refuses
        if not matches or not all(map(os.path.isfile, matches)):
            raise UserError(f"{name}: no such file; give a .tar, or a pattern such as 'train-{{0000..0099}}.tar'")
        paths += [Path(path) for path in matches]
    if not paths:
        raise UserError(f"{pattern}: the range in braces is empty; write the smaller number first")
    return paths


def num_unbraced(pattern: str) -> int:
    """Return how many names `unbraced` yields."""
    return math.prod(num for num, _ in map(_words, _BRACES.findall(pattern)))


def unbraced(pattern: str) -> Iterator[str]:
    """Yield what the shell would make of ``a{1,2}b`` and ``a{08..11}b``; lazily, as it may be billions of names."""
    parts = _BRACES.split(pattern)  # every second one was in braces
    words = [_words(part) for part in parts[1::2]]
    for number in range(num_unbraced(pattern)):
        rest = number
        for i, (num, word) in reversed([*enumerate(words)]):
            rest, at = divmod(rest, num)
            parts[2 * i + 1] = word(at)
        yield "".join(parts)


def _words(inside: str) -> tuple[int, Callable[[int], str]]:
    """Return how many words a pair of braces means, and what gives each by its number."""
    if (between := _RANGE.fullmatch(inside)) is None:
        words = inside.split(",")
        return len(words), words.__getitem__
    first, last, width = int(between[1]), int(between[2]), len(between[1])
    return max(0, last - first + 1), lambda i: f"{first + i:0{width}}"


def members(shard: int, path: Path) -> list[File]:
    """List the files of a shard."""
    try:
        stat, files = path.stat(), []
        with _Headers(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if not 0 <= member.size <= stat.st_size:
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                if member.isreg():
                    place = (shard, member.offset_data, member.size)
                    files.append(File(plain_name(member.name), place, f"{place} {stat.st_mtime_ns}"))
            if stat.st_size < archive.offset + tarfile.BLOCKSIZE:  # no block marks the end
                raise tarfile.ReadError("cut short")
    except (OSError, ValueError, OverflowError, tarfile.TarError) as error:
        raise UserError(f"{path}: not a readable .tar ({error}); unpack it if compressed, or copy it again") from error
    return files


def sample_of(file: File) -> tuple[int, str, str]:
    """Return shard, name up to the first dot, and the rest of the name."""
    folder, slash, name = file.name.rpartition("/")
    stem, _, suffix = name.partition(".")
    return file.place[0], folder + slash + stem, suffix


def _labels(beside: Sequence[_Beside], read: _Read, wheres: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels ``(N,)`` and the names of the classes, which are the numbers in the files."""
    if without := [at for files, at in zip(beside, wheres, strict=True) if _CLASS not in files]:
        raise UserError(
            f"{without[0]}: has no .{_CLASS} beside it, but other images do; add the missing .{_CLASS} files"
        )
    return index_labels([_number(read, files[_CLASS], at) for files, at in zip(beside, wheres, strict=True)])


def check_beside(suffix: str, read: _Read, place: Place, where: str) -> None:
    """Raise UserError if the .cls or .json at a place cannot be used."""
    (_number if suffix == _CLASS else _values)(read, place, where)


def _number(read: _Read, place: Place, where: str) -> int:
    try:
        number = int(read(place))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{where}: its .{_CLASS} is not a whole number ({why}); correct it") from error
    if not -(2**63) <= number < 2**63:
        raise UserError(f"{where}: its .{_CLASS} is a number of more than 64 bits; correct it")
    return number


def _values(read: _Read, place: Place, where: str) -> dict[str, Any]:
    try:
        values = json.loads(read(place))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{where}: its .{_JSON} cannot be read ({why}); correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"{where}: its .{_JSON} does not contain a JSON object; correct it")
    return values
