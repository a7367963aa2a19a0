"""Read files up to a bound; write files and folders atomically: under a temporary name beside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import UserError

MAX_TEXT = 2**26  # bytes of a description in JSON, or a table of a data set
MAX_FILE = 2**29  # bytes of an image file, also unpacked from an archive
MAX_PIXELS = 50_000_000  # of an image that is decoded


def read_bytes(source: Path | IO[bytes], limit: int = MAX_TEXT) -> bytes:
    """Return the content of a file, or what an open (unpacking) one still holds, without reading past ``limit`` bytes.

    Raises OSError, whose strerror says so, if it is longer, or a device or pipe, which may have no end.
    """
    if isinstance(source, Path):
        if source.exists() and not source.is_file() and not source.is_dir():
            raise OSError(errno.EINVAL, "not a regular file", str(source))
        with source.open("rb") as file:
            return read_bytes(file, limit)
    content = source.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit / 1e6:.3g} MB", str(getattr(source, "name", "")))
    return content


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; OSError as `read_bytes`, ValueError if it is not JSON."""
    try:
        return json.loads(read_bytes(path).decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, made if missing; on success flush it and rename it to ``path``.

    If the block fails, the temporary file is removed and ``path`` is unchanged. Raises UserError if the disk is full
    or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create folder {path.parent}: {error.strerror}; choose another place") from error
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another place"
        ) from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces ``folder`` on success; UserError if it cannot be written."""
    folder = folder.expanduser().resolve()
    beside, before = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("part", "before"))
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.is_dir():
            folder.rename(before)
        beside.rename(folder)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another place"
        ) from error
    finally:
        if before.is_dir() and not folder.exists():
            before.rename(folder)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def check_free(path: Path, overwrite: bool) -> None:
    """Raise UserError if ``path`` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; choose another name or allow it to be replaced (--overwrite)")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one piece (see `written_beside`)."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON in one piece (see `written_beside`)."""
    write_text(path, json.dumps(value, indent=2) + "\n")
