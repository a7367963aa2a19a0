"""The states of a run: entering its folder, saving, and going back when numbers are no longer finite."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

from ..config import Config
from ..data import ImageData
from ..distributed import World, read_everywhere
from ..errors import UserError
from .checkpoint import list_checkpoints, newest_checkpoint, read_checkpoint, remove_checkpoint, save_checkpoint
from .loop import NotFiniteError, Trainer
from .run_folder import RunFolder, check_same_data, clear_run, remove_leftovers, start_run

log = logging.getLogger("vaegan")

MOST_ROLLBACKS = 8


class States:
    """The checkpoints of a run and the trainer that they are of; all processes call each method together.

    Args:
        folder: the run's.
        config: its settings, resolved.
        trainer: whose states these are.
        world: the processes that train together.
        device: of this process.
    """

    def __init__(self, folder: RunFolder, config: Config, trainer: Trainer, world: World, device: torch.device) -> None:
        self.folder, self.config, self.trainer, self.world, self.device = folder, config, trainer, world, device
        self.rollbacks = 0
        self._gone_back_to: Path | None = None

    def enter(self, data: ImageData, *, goes_on: bool) -> None:
        """Make the folder with a first checkpoint, unless it is there; put the trainer where the newest one is.

        Raises:
            UserError: if the folder cannot be written, no checkpoint can be read, or the run had other images.
        """
        self.world.together(lambda: self._prepare_folder(data, goes_on=goes_on), self.device)
        path = self._newest()
        if path is None:
            self.save()
        else:
            self._restore(path)

    def _prepare_folder(self, data: ImageData, *, goes_on: bool) -> None:
        if not self.world.is_first:
            return
        if goes_on:
            check_same_data(self.folder, data)
            remove_leftovers(self.folder)
            return
        was_there = self.folder.path.exists()
        try:
            start_run(self.folder, self.config, data)
            self.save()
        except UserError:
            clear_run(self.folder)
            if not was_there and self.folder.path.is_dir():
                self.folder.path.rmdir()
            raise

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        if self.world.is_first:
            save_checkpoint(self.folder.checkpoints, self.trainer.state(), self.config.train.keep)

    def roll_back(self, error: NotFiniteError) -> None:
        """Go back to the last good checkpoint with half the step, or stop.

        Raises:
            UserError: if the run is to stop, or has gone back often enough.
        """
        path = self._newest()
        assert path is not None, "a run has a checkpoint from its start on"
        where = f"{error}; the last good checkpoint is {path}"
        if self.config.on_nan == "stop":
            raise UserError(f"{where}; lower --optim.lr, or go back by itself with --on-nan rollback")
        self.rollbacks += 1
        if self.rollbacks > MOST_ROLLBACKS:
            raise UserError(f"{where}; going back {MOST_ROLLBACKS} times did not help: lower --optim.lr")
        scale = self.trainer.lr_scale / 2
        self._restore(self._still_good(path))
        self.trainer.lr_scale = scale
        if self.world.is_first:
            self.folder.keep_records(self.trainer.images)
        log.warning(
            "%s; going on after %s images with learning rates times %g", error, f"{self.trainer.images:,}", scale
        )

    def _newest(self) -> Path | None:
        """The first process's newest checkpoint, for all to know."""
        first, folder = self.world.is_first, self.folder.checkpoints
        path = self.world.together(lambda: newest_checkpoint(folder) if first else None, self.device)
        told = self.world.share_bytes(None if path is None else os.fsencode(path), self.device)
        return None if told is None else Path(os.fsdecode(told))

    def _restore(self, path: Path) -> None:
        data = read_everywhere(path, self.world, self.device)
        assert data is not None
        self.trainer.restore(read_checkpoint(data, str(path)))

    def _still_good(self, newest: Path) -> Path:
        """The newest checkpoint, or the one before if the newest has led to the same end already."""
        if newest == self._gone_back_to and self.world.is_first and len(list_checkpoints(newest.parent)) > 1:
            remove_checkpoint(newest)
        path = self._newest()
        assert path is not None, "the oldest checkpoint stays"
        self._gone_back_to = path
        return path
