"""One call of `train` in one process: enter the run's folder, step, log, take snapshots, stop in order."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path

import numpy as np
import torch

from ..config import Config
from ..distributed import World
from ..errors import UserError
from ..runs.files import BEST, RunFolder
from ..settings_io import dump_yaml
from .best_model import Selection, open_selection
from .checkpoints import States, list_checkpoints
from .finish import find_run_scale, fit_run_priors
from .loop import NotFiniteError, Record
from .progress import show_progress
from .recorder import Journal, Terms
from .run_folder import open_run
from .setup import assemble
from .signals import StopRequest, stop_on_signals
from .snapshots import held_out_losses

log = logging.getLogger("vaegan")

SIGNALS_EVERY = 10  # steps between asking the other processes whether they were told to stop


class Session:
    """One call of `train` in one process.

    Args:
        config: settings.
        out: run folder.
        device: of this process.
        world: the processes that train together.
        overwrite: start anew where a run is there.

    Raises:
        UserError: if settings, data or folder do not do.
    """

    def __init__(self, config: Config, out: Path, device: torch.device, world: World, *, overwrite: bool) -> None:
        self.device, self.world = device, world
        if config.train.batch_size % world.size:
            raise UserError(
                f"--train.batch-size {config.train.batch_size} cannot be shared out evenly over {world.size} processes"
            )
        self.folder, before = world.together(
            lambda: open_run(out, config, overwrite=overwrite) if world.is_first else (RunFolder(out), None), device
        )
        built = assemble(config, before, world, device)
        self.goes_on = before is not None
        self.config, self.data, self.model = built.config, built.data, built.model
        self.trainer, self.shown = built.trainer, built.shown
        self.states = States(self.folder, self.config, self.trainer, world, device)

    def go(self) -> int | None:
        """Start or go on, train, finish; return the number of the signal that stopped the run, if one did."""
        self.states.enter(self.data, goes_on=self.goes_on)
        total = self.trainer.settings.total_images
        if self.world.any(self.world.is_first and self._is_finished(), self.device):
            unit = "epochs" if self.config.train.images is None else "images"
            log.info(
                "%s is finished, %s images seen; for more, raise --train.%s",
                self.folder.path, f"{self.trainer.images:,}", unit,
            )  # fmt: skip
            self._list_what_is_there()
            return None
        self._announce(total)
        if self.world.is_first:
            self.folder.truncate_records(self.trainer.images)
            if self.folder.config != self.config:  # settings that a run may change as it goes on
                dump_yaml(self.config, self.folder.config_path)
        first = self.world.is_first
        shown = slice(self.config.train.held_out_images)
        self.held_out = torch.from_numpy(np.array(self.data.test.images[shown]))
        conditioning = self.model.conditioning
        self.held_out_c = None if conditioning is None else conditioning.of_images(self.data.test, shown)
        selection = self.world.together(self._open_selection, self.device)
        with stop_on_signals() as stop, show_progress(self.trainer.images, total, speaks=first) as bar:
            self.journal = Journal(
                self.folder, self.config, self.trainer, self.shown, self.held_out, bar,
                writes=first, held_out_c=self.held_out_c, selection=selection,
            )  # fmt: skip
            stopped = self._train(stop)
        if first and not stopped:
            pictures, images = self.journal.pictures, self.trainer.images
            find_run_scale(self.folder, self.config, self.shown, self.data, images)
            fit_run_priors(self.folder, self.config, self.shown, self.data, pictures, images)
        self.journal.finish()
        if first:
            self._say_goodbye(stopped)
        return (stop.number or signal.SIGTERM) if stopped else None

    def _open_selection(self) -> Selection | None:
        """What scores snapshots; in the first process alone, while the others wait."""
        if not self.world.is_first:
            return None
        total = self.trainer.settings.total_images
        best, conditioning = self.folder.path / BEST, self.model.conditioning
        return open_selection(self.config, best, self.data, self.device, total, conditioning)

    def _is_finished(self) -> bool:
        """Whether all is trained and drawn: the loss curves are the last thing that is made."""
        if self.trainer.images < self.trainer.settings.total_images or not self.folder.curves_path.is_file():
            return False
        newest = list_checkpoints(self.folder.checkpoints)[-1]
        return self.folder.curves_path.stat().st_mtime >= newest.stat().st_mtime

    def _train(self, stop: StopRequest) -> bool:
        """Train to the end or until asked to stop; whether it was asked."""
        while True:
            try:
                return self._steps(stop)
            except NotFiniteError as error:
                self.states.roll_back(error)
                self.journal.forget()

    def _steps(self, stop: StopRequest) -> bool:
        trainer, journal, log_images = self.trainer, self.journal, self.config.train.log_images
        assert log_images is not None
        every = max(1, round(self.config.train.snapshot_epochs * len(self.data.train)))
        size, total = self.config.train.batch_size, trainer.settings.total_images

        def is_mark(mark: int, images: int) -> bool:
            return images // mark != (images - size) // mark

        def passes(mark: int, images: int) -> bool:
            return is_mark(mark, images) or images >= total

        def is_logged(images: int) -> bool:
            # Each snapshot closes a window of means, so that a resumed run's windows are those of any other.
            return passes(log_images, images) or passes(every, images)

        def keeps(images: int) -> bool:
            return journal.wants_gradients and passes(every, images)

        for record in trainer.run(lambda images: is_logged(images + size), lambda images: keeps(images + size)):
            journal.add(record)
            stops = record.images < total and self._asked_to_stop(stop, record.steps)
            if stops or is_logged(record.images):
                journal.log(record)
            if passes(every, record.images):
                before = time.perf_counter()
                # An end that is no mark slows nothing down: a longer run would take no snapshot there.
                self._snapshot(record, is_mark=is_mark(every, record.images))
                journal.pause(time.perf_counter() - before)
            elif stops:
                self._check()
                self.states.save()
            if stops:
                return True
        return False

    def _asked_to_stop(self, stop: StopRequest, steps: int) -> bool:
        if self.world.size == 1:
            return bool(stop)
        return steps % SIGNALS_EVERY == 0 and self.world.any(bool(stop), self.device)

    def _check(self) -> None:
        """See that all numbers are finite, and make running statistics those of all processes."""
        self.trainer.check_finite()
        self.trainer.check_weights()
        self.trainer.average_buffers()

    def _snapshot(self, record: Record, *, is_mark: bool) -> None:
        """Held-out losses, grids, model, checkpoint; the checkpoint last, so that a resume finds the rest."""
        self._check()
        losses = held_out_losses(self.trainer, self.held_out, self.config.train.batch_size, self.held_out_c)
        self.journal.snapshot(record, losses, self._rate_factors(losses, look=is_mark))
        self.states.save()

    def _rate_factors(self, losses: Terms, *, look: bool) -> dict[str, float] | None:
        """Show held-out losses to the schedule of plateaus, if that is wanted; its factors, for the record."""
        plateau = self.trainer.plateau
        if plateau is None:
            return None
        if look and self.trainer.current is self.trainer.objective:
            totals = {part: terms["total"] for part, terms in losses.items()}
            # The first process's, for all: processes that disagree in the last digit must not part ways.
            told = self.world.share_bytes(json.dumps(totals).encode(), self.device)
            assert told is not None
            plateau.look(json.loads(told))
        return {part: plateau.of(part) for part in losses}

    def _announce(self, total: int) -> None:
        t = self.config.train
        counts = ", ".join(
            f"{name} {sum(p.numel() for p in part.parameters()):,}" for name, part in self.model.parts.items()
        )
        shape = "x".join(map(str, self.data.image_shape))
        log.info(
            "%s: %s images of %s to train on, %s held out", self.data.name, f"{len(self.data.train):,}", shape,
            f"{len(self.data.test):,}",
        )  # fmt: skip
        log.info("%s with parameters: %s", self.config.model.kind, counts)
        log.info(
            "%s %s images to %s, on %s in %s %s, batches of %d",
            "going on after" if self.trainer.images else "training from",
            f"{self.trainer.images:,}", f"{total:,}", self.device, t.precision, t.memory_format, t.batch_size,
        )  # fmt: skip

    def _say_goodbye(self, stopped: bool) -> None:
        path = self.folder.path
        if stopped:
            log.info(
                "stopped after %s images, all saved; the same command goes on: %s", f"{self.trainer.images:,}", path
            )
            return
        log.info("done: %s", path)
        self._list_what_is_there()

    def _list_what_is_there(self) -> None:
        """Say where the pictures and the model are."""
        path = self.folder.path
        for name, what in (
            ("samples", "new images, snapshot by snapshot"),
            ("samples.gif", "the same as a film"),
            ("samples-prior.png", "new images from the prior that fits the codes best"),
            ("reconstructions", "held-out originals above their reconstructions"),
            ("triptychs", "originals, reconstructions and new images"),
            ("losses.png", "losses of each part"),
            ("model", "the model: vaegan.load reads it"),
            (BEST, "the model of the snapshot with the best score"),
        ):
            if (path / name).exists():
                log.info("  %s  %s", path / name, what)
