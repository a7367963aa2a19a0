"""Checkpoints: everything needed to resume training, one file each, complete or absent.

A checkpoint is `torch.save` of plain data and tensors, written to a temporary file, flushed and renamed; its SHA-256 is
in a file beside it that is written first. A damaged checkpoint is reported, and the previous one is read instead.
`Checkpoints` starts a run with one, resumes from the newest, and rolls back to the last good one where numbers are no
longer finite.
"""

import contextlib
import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from ..distributed import World, load_bytes
from ..errors import UserError
from ..files import remove, write_bytes, write_json, write_text
from ..runs.initial import facts_of_start
from ..runs.run_folder import INITIAL, RunFolder, clear_run, list_checkpoints, remove_leftovers
from .loop import NotFiniteError
from .resuming import start_run
from .setup import Setup

log = logging.getLogger("vaegan")

MOST_ROLLBACKS = 8
FORMAT = 1
State = dict[str, Any]


class Checkpoints:
    """The checkpoints of a run and its trainer; all processes call each method together."""

    def __init__(self, folder: RunFolder, setup: Setup, world: World) -> None:
        self.folder, self.world = folder, world
        self.config, self.data, self.model, self.trainer = setup.config, setup.data, setup.model, setup.trainer
        self.rollbacks = 0
        self._gone_back_to: Path | None = None

    def enter(self, *, resumes: bool) -> None:
        """Make the folder with a first checkpoint, or restore the newest one of the run that is resumed.

        Raises UserError if the folder cannot be written, or no checkpoint can be read.
        """
        self.world.first(lambda: self._prepare_folder(resumes=resumes))
        if not resumes:  # `set_up` has given all processes the same weights
            return
        if self._restore(self._newest()) is None:  # it was killed before its first one
            self.world.first(self._write_first)

    def _prepare_folder(self, *, resumes: bool) -> None:
        if resumes:
            remove_leftovers(self.folder)
            return
        try:
            start_run(self.folder, self.config, self.data)
            self._write_first()
        except UserError:
            with contextlib.suppress(OSError):
                clear_run(self.folder)
            raise

    def _write_first(self) -> None:
        """Write the first checkpoint, and before it what else came from the model that the run starts from."""
        if self.config.init_from is not None:
            write_json(self.folder.path / INITIAL, facts_of_start(self.model))
        self._write()

    def _write(self) -> None:
        save_checkpoint(self.folder.checkpoints, self.trainer.state(), self.config.train.keep_checkpoints)

    def save(self) -> None:
        """Write a checkpoint; UserError if that fails."""
        self.world.first(self._write)

    def roll_back(self, error: NotFiniteError) -> None:
        """Go back to the last good checkpoint and halve the learning rates, or stop with a UserError.

        It stops if ``on_nan`` is 'stop', or the run has gone back `MOST_ROLLBACKS` times.
        """
        path = self._newest()
        assert path is not None, "a run has a checkpoint from its start on"
        where = f"{error}; the last good checkpoint is {path}"
        if self.config.on_nan == "stop":
            raise UserError(f"{where}; lower --optim.lr, or use --on-nan rollback to roll back automatically")
        self.rollbacks += 1
        if self.rollbacks > MOST_ROLLBACKS:
            raise UserError(f"{where}; {MOST_ROLLBACKS} rollbacks did not help; lower --optim.lr")
        scale = self.trainer.lr_scale / 2
        self._gone_back_to = self._restore(self._still_good(path))
        self.trainer.lr_scale = scale
        self.world.first(lambda: self.folder.truncate_records(self.trainer.images))
        log.warning("%s; resuming at %s images with learning rates times %g", error, f"{self.trainer.images:,}", scale)

    def _newest(self, before: Path | None = None) -> Path | None:
        """The first process's newest checkpoint, or the newest before another one, in all processes."""
        folder = self.folder.checkpoints
        name = self.world.from_first(lambda: (path := newest_checkpoint(folder, before)) and path.name)
        return None if name is None else folder / name

    def _restore(self, path: Path | None) -> Path | None:
        """Restore a checkpoint, or the first before it whose content fits; return which one."""
        while path is not None:
            data = self.world.share_bytes(self.world.first(path.read_bytes))  # others may not see that disk
            try:
                state = read_checkpoint(data, str(path))
                self.trainer.restore(state)
                self.trainer.check_weights()
                if self.trainer.images != int(path.stem):
                    raise ValueError(f"it is of {self.trainer.images} images")
                break
            except UserError:
                raise
            except Exception as error:  # its hash fits, its content may be anything
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                log.warning("checkpoint %s is not one of this run (%s); using the previous one", path, reason)
                path = self._newest(before=path)
        return path

    def _still_good(self, newest: Path) -> Path | None:
        """The newest checkpoint, or the one before if the newest has already led to numbers that are not finite."""

        def remove_bad() -> None:
            if newest == self._gone_back_to and len(list_checkpoints(newest.parent)) > 1:
                remove_checkpoint(newest)

        self.world.first(remove_bad)
        return self._newest()


def checkpoint_path(folder: Path, images: int) -> Path:
    """Path of the checkpoint after ``images`` images; names sort by images."""
    return folder / f"{images:012d}.pt"


def save_checkpoint(folder: Path, state: State, keep: int) -> Path:
    """Write ``state`` (with its ``images``); remove all but the newest ``keep`` checkpoints, and those of more images.

    The latter belong to steps that a run which went back makes again. Raises UserError if it cannot be written.
    """
    path = checkpoint_path(folder, state["images"])
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    data = buffer.getvalue()
    write_text(_digest_path(path), hashlib.sha256(data).hexdigest() + "\n")
    write_bytes(path, data)
    paths = list_checkpoints(folder)
    here = paths.index(path)
    for other in paths[: max(0, here + 1 - keep)] + paths[here + 1 :]:
        remove_checkpoint(other)
    return path


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint."""
    remove(path)
    remove(_digest_path(path))


def newest_checkpoint(folder: Path, before: Path | None = None) -> Path | None:
    """Return the newest intact checkpoint, before another one if named; UserError if there are only damaged ones."""
    paths = list_checkpoints(folder)
    for path in reversed(paths if before is None else paths[: paths.index(before)]):
        if _is_whole(path):
            return path
        why = "is damaged" if _digest_path(path).is_file() else f"has no {_digest_path(path).name} beside it"
        log.warning("checkpoint %s %s; using the previous one", path, why)
    if paths:
        raise UserError(
            f"all checkpoints in {folder} are damaged, or their .sha256 is missing; restore them from a copy, or start "
            "over with --overwrite or another --out"
        )
    return None


def read_checkpoint(data: bytes, where: str) -> State:
    """Read the bytes of a checkpoint; UserError if a newer version wrote it, other errors if it is something else."""
    state: State = load_bytes(data)
    if state["format"] > FORMAT:
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
