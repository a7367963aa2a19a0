"""A folder that appears whole or not at all: written beside, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError


def check_folder(folder: Path, mark: str, overwrite: bool) -> None:
    """Refuse a place that is taken.

    Args:
        folder: where something is to be written.
        mark: name of a file that every such folder holds; only what has it is ever replaced.
        overwrite: whether it may be.

    Raises:
        UserError: if there is a file, a folder that may not be replaced, or one of something else.
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / mark).is_file():
            raise UserError(f"{folder} holds something else (no {mark} in it); choose another name")
        if not overwrite:
            raise UserError(f"{folder} exists; choose another name or allow it to be replaced (--overwrite)")
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")


@contextlib.contextmanager
def folder_beside(folder: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    """Yield a fresh folder beside ``folder``, which takes its place on success and is removed otherwise.

    Arguments and what is raised as `check_folder`; besides:

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    folder = folder.expanduser().resolve()
    check_folder(folder, mark, overwrite)
    beside, before = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("part", "before"))
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.is_dir():
            folder.replace(before)
        beside.replace(folder)
    except OSError as error:
        if before.is_dir() and not folder.exists():
            before.replace(folder)
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another place"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
