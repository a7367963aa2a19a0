"""Decoded images on disk: a folder with two .npy files and an index, complete or absent.

An entry is written to a temporary folder and renamed, so an unfinished one is never used, and of two processes that
decode the same images the slower discards its copy. The index, written last, has size and time of both arrays; if they
do not match, the entry is damaged and is written again. It is our own because rows are read from a memory map that all
processes share; general caches store whole objects.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..files import clear_leftovers, expanded, read_json, remedy_of, short_hash, to_json, unfinished_folder
from ..pixels import BYTES, Numbers, PixelFormat
from .dataset import Positions
from .image_file import Target

log = logging.getLogger("vaegan")


class CachedImages(NamedTuple):
    """Decoded images of one side: ``(N, H, W, C)``, a read-only map, and positions int64 ``(N,)``."""

    images: Numbers
    positions: Positions


@dataclass(frozen=True)
class CacheEntry:
    """A finished entry: images of both sides, names of unreadable files with the reason, hash of both, their format."""

    train: CachedImages
    test: CachedImages
    unreadable: list[tuple[str, str]]
    fingerprint: str
    pixels: PixelFormat = BYTES
    values: tuple[float, float] | None = None  # lowest and highest number in the files; None of bytes and old entries


def cache_folder(cache: Path | None) -> Path:
    """Return the folder for what is computed once: ``cache``, or ``vaegan`` in $XDG_CACHE_HOME or ~/.cache if None."""
    return expanded(cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "vaegan")


def pixel_hash(target: Target, content: bytes = b"") -> "hashlib._Hash":
    """Return the hash of images of this shape and type, which more bytes may follow."""
    kind = () if target.pixels.dtype == BYTES.dtype else (target.pixels.dtype,)
    return hashlib.sha256(repr((*target.shape, *kind)).encode() + content)


def fingerprint(train: "hashlib._Hash", test: "hashlib._Hash") -> str:
    """Return one name for the content of both sides of the split."""
    return short_hash(train.digest() + test.digest())


class ArrayFile:
    """A .npy file that grows image by image and is complete when closed without an error."""

    def __init__(self, path: Path, target: Target) -> None:
        self.target = target
        self.positions: list[int] = []
        self.hash = pixel_hash(target)
        self._file = path.open("wb")
        self._write_header()

    def append(self, images: Numbers, positions: Sequence[int]) -> None:
        """Add images ``(n, H, W, C)`` of these positions."""
        content = images.tobytes()
        self._file.write(content)
        self.hash.update(content)
        self.positions.extend(positions)

    def _write_header(self) -> None:
        # NumPy pads the header so that a growing first axis does not lengthen it.
        write_npy_header(self._file, (len(self.positions), *self.target.shape), self.target.dtype)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                self._file.flush()
                os.fsync(self._file.fileno())


def write_npy_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write what stands in a .npy file before the values."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def load(folder: Path) -> CacheEntry | None:
    """Return the entry in ``folder``; None if there is none, or a damaged one."""
    if not folder.is_dir():
        return None
    try:
        index = read_json(folder / "index.json")
        if changed := [name for name, stamp in index["files"].items() if _stamp(folder / name) != stamp]:
            raise ValueError(f"{changed[0]} has changed")
        arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in index["files"]]
        positions = [np.array(index[name], np.int64) for name in ("train", "test")]
        unreadable = [(str(name), str(reason)) for name, reason in index["bad"]]
        train, test = map(CachedImages, arrays, positions)
        pixels = PixelFormat(**index.get("pixels", {}))
        low, high = map(float, index.get("values", (np.nan, np.nan)))
        values = None if np.isnan(low) else (low, high)
        return CacheEntry(train, test, unreadable, index["fingerprint"], pixels, values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("decoded images in %s are damaged (%s); decoding again", folder, error)
        return None


def make(folder: Path, write: Callable[[Path], dict[str, Any]]) -> CacheEntry:
    """Make the entry ``folder`` and return it; UserError if the place cannot be written or the disk is full.

    ``write`` writes ``train.npy`` and ``test.npy`` into an empty folder and returns the rest of the index.
    """
    try:
        clear_leftovers(folder.parent, "*")
        with unfinished_folder(folder) as unfinished:
            index = write(unfinished)
            index["files"] = {name: _stamp(unfinished / name) for name in ("train.npy", "test.npy")}
            (unfinished / "index.json").write_text(to_json(index))
            if folder.exists() and load(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            publish(unfinished, folder)
    except OSError as error:
        raise UserError(
            f"cannot write decoded images to {folder.parent}: {error.strerror or error}; "
            f"{remedy_of(error)}, or choose another path with --data.cache"
        ) from error
    entry = load(folder)
    if entry is None:
        raise UserError(f"decoded images in {folder} were changed by another process; run the same command again")
    return entry


def publish(unfinished: Path, folder: Path) -> None:
    """Rename a folder, unless another process was faster."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
