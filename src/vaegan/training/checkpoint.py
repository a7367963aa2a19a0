"""Checkpoints: all that a training needs to go on, in one file per moment, whole or not there at all.

A checkpoint is `torch.save` of plain data and tensors, written beside, flushed and renamed, with its SHA-256 in a file
next to it that is written first. Reading tries the newest and, where it is damaged, the one before, and says so.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from ..distributed import load_bytes
from ..errors import UserError
from ..files import write_text, written_beside

log = logging.getLogger("vaegan")

FORMAT = 1
State = dict[str, Any]


def checkpoint_path(folder: Path, images: int) -> Path:
    """Path of the checkpoint after ``images`` images; names sort by images."""
    return folder / f"{images:012d}.pt"


def save_checkpoint(folder: Path, state: State, keep: int) -> Path:
    """Write ``state`` (which has ``images``) and remove all but the newest ``keep`` checkpoints.

    Checkpoints of more images are removed too: a run that has gone back and comes here does not lead to them.

    Raises:
        UserError: if it cannot be written; earlier checkpoints are then as they were.
    """
    path = checkpoint_path(folder, state["images"])
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    data = buffer.getvalue()
    write_text(_digest_path(path), hashlib.sha256(data).hexdigest() + "\n")
    with written_beside(path) as beside:
        beside.write_bytes(data)
    paths = list_checkpoints(folder)
    here = paths.index(path)
    for other in paths[: max(0, here + 1 - keep)] + paths[here + 1 :]:
        remove_checkpoint(other)
    return path


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint."""
    path.unlink(missing_ok=True)
    _digest_path(path).unlink(missing_ok=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(folder.glob("[0-9]*.pt"))


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are named in the log and passed over.

    Raises:
        UserError: if there are checkpoints and all are damaged.
    """
    paths = list_checkpoints(folder)
    for path in reversed(paths):
        if _is_whole(path):
            return path
        log.warning("checkpoint %s is damaged; going back to the one before", path)
    if paths:
        raise UserError(f"all checkpoints in {folder} are damaged; start anew with --overwrite or another --out")
    return None


def read_checkpoint(data: bytes, where: str) -> State:
    """Read the bytes of a checkpoint.

    Raises:
        UserError: if a newer version wrote it, or something else did.
    """
    try:
        state: State = load_bytes(data)
        newer = state["format"] > FORMAT
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise UserError(f"{where} is no checkpoint of vaegan; remove it, or start anew with --overwrite") from error
    if newer:
        raise UserError(
            f"{where} was written by a newer vaegan (format {state['format']}, this one reads up to {FORMAT}): upgrade"
        )
    return state


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    try:
        return _digest_path(path).read_text().strip() == hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False
