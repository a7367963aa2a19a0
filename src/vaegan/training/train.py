"""``vaegan train``: from settings to a run folder, and on from where it stopped."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..config import Config
from ..data import ImageData, open_data
from ..distributed import World, joined, read_everywhere
from ..errors import UserError
from ..models import Model
from ..networks.sync_norm import synchronise_batch_norms
from ..objectives import Objective
from ..settings_io import dump_yaml
from .averages import Averages
from .build import (
    build_batches,
    build_gate,
    build_model,
    build_objective,
    build_optimisers,
    build_plateau,
    build_pretraining,
    check_batch_norm,
    loop_settings,
)
from .checkpoint import list_checkpoints, newest_checkpoint, read_checkpoint, remove_checkpoint, save_checkpoint
from .device import autocast_for, choose_form, copies, layout_of, pick_device, tune_allocator
from .loop import NotFiniteError, Trainer
from .progress import Progress, show_progress
from .run_folder import RunFolder, clear_run, open_run, remove_leftovers, start_run
from .signals import Stopped, StopRequest, stop_on_signals
from .snapshots import Pictures, RunningMeans, held_out_losses, open_tensorboard, write_scalars

log = logging.getLogger("vaegan")

RECORDS_PER_SNAPSHOT = 50
MOST_ROLLBACKS = 8
SIGNALS_EVERY = 10  # steps between asking the other processes whether they were told to stop


def train(config: Config, out: Path, *, overwrite: bool = False) -> RunFolder:
    """Train, or go on where an earlier call stopped.

    Args:
        config: settings.
        out: run folder.
        overwrite: start anew where a run is there.

    Returns:
        The run folder.

    Raises:
        UserError: if settings, data or folder do not do, or the run diverged; one line with the remedy.
        Stopped: if Ctrl-C or SIGTERM asked for it; everything is saved, and the same call goes on.
    """
    device = pick_device(config.device)
    tune_allocator()
    try:
        with joined(device.type) as world:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            stopped_by = _Run(config, out, device, world, overwrite=overwrite).go()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"cannot write to {out}: {error.strerror}; free some space, the same command goes on"
        ) from error
    if stopped_by is not None:
        raise Stopped(stopped_by)
    return RunFolder(out)


class _Run:
    """One call of `train` in one process."""

    def __init__(self, config: Config, out: Path, device: torch.device, world: World, *, overwrite: bool) -> None:
        self.device, self.world = device, world
        if config.train.batch_size % world.size:
            raise UserError(
                f"--train.batch-size {config.train.batch_size} cannot be shared out evenly over {world.size} processes"
            )
        self.folder, before = world.together(
            lambda: open_run(out, config, overwrite=overwrite) if world.is_first else (RunFolder(out), None), device
        )
        self.data = self._open_data(config)
        self.config = self._resolved(config, before)
        self.goes_on = before is not None
        info = {
            "recipe": config.recipe,
            "data": self.data.name,
            "label_names": list(self.data.train.label_names),
            "attribute_names": list(self.data.train.attribute_names),
            "seed": config.seed,
        }
        self.model = world.together(lambda: build_model(self.config, self.data.image_shape, info), device)
        check_batch_norm(config, self.model, config.train.batch_size if config.train.sync_batchnorm else self._share())
        self.config = self._with_form(self.config)
        self.trainer, self.shown = self._assemble()
        self.means = RunningMeans()
        self.rollbacks = 0
        self.gone_back_to: Path | None = None

    def _open_data(self, config: Config) -> ImageData:
        """Open the data; the first process of each machine decodes it, the others then find it decoded."""
        arguments = config.data.opening()
        decodes = self.world.local_rank == 0
        data = self.world.together(lambda: open_data(**arguments) if decodes else None, self.device)
        return self.world.together(lambda: data or open_data(**arguments), self.device)

    def _resolved(self, config: Config, before: Config | None) -> Config:
        """Settings with what this data and, if the run goes on, the run's first process made of 'auto'."""
        channels, height, width = self.data.image_shape
        data = config.data.model_copy(update={"size": height if height == width else None, "channels": channels})
        per_snapshot = config.train.snapshot_epochs * len(self.data.train)
        train_ = config.train.model_copy(
            update={"log_images": config.train.log_images or max(1, round(per_snapshot / RECORDS_PER_SNAPSHOT))}
        )
        if before is not None:
            form = {"precision": before.train.precision, "memory_format": before.train.memory_format}
            train_ = train_.model_copy(update=form)
        return config.model_copy(update={"data": data, "train": train_})

    def _with_form(self, config: Config) -> Config:
        """Settings with precision and memory format chosen; by the first process, for all."""
        chosen = None
        if self.world.is_first:
            form = choose_form(
                config.train.precision,
                config.train.memory_format,
                self._step_to_measure,
                has_maps=config.model.network != "mlp",
            )
            chosen = " ".join(form).encode()
        told = self.world.share_bytes(chosen, self.device)
        assert told is not None
        precision, memory_format = told.decode().split()
        update = {"precision": precision, "memory_format": memory_format}
        return config.model_copy(update={"train": config.train.model_copy(update=update)})

    def _step_to_measure(self, precision: str, memory_format: str) -> Callable[[], object]:
        """A training step on copies of the networks, on few images if many would take long."""
        model = self.model.with_parts(copies(self.model.parts))
        model.to(device=self.device, memory_format=layout_of(memory_format))  # type: ignore[call-overload]
        objective = build_objective(self.config, model, autocast_for(precision, self.device))
        trainer = self._trainer(self.config, model, objective, World(), batch_size=min(self._share(), 32))
        return lambda: trainer.step()

    def _share(self) -> int:
        return self.config.train.batch_size // self.world.size

    def _assemble(self) -> tuple[Trainer, Model]:
        """The trainer on the model's parts, and the model that is shown and saved (with averaged weights, if any)."""
        t = self.config.train
        self.model.to(device=self.device, memory_format=layout_of(t.memory_format))  # type: ignore[call-overload]
        self.model.train()
        if t.sync_batchnorm and self.world.size > 1:
            for part in self.model.parts.values():
                synchronise_batch_norms(part)
        self.world.share_first([p.detach() for p in self.model.parameters()])
        objective = build_objective(self.config, self.model, autocast_for(t.precision, self.device))
        averages = None
        averaged = {name: part for name, part in objective.parts.items() if name in ("encoder", "decoder")}
        shown = self.model
        if self.config.optim.ema:
            averages = Averages(averaged, self.config.optim.ema)
            shown = self.model.with_parts(averages.parts)
        if t.compile:
            for part in objective.parts.values():
                part.compile()
        trainer = self._trainer(self.config, self.model, objective, self.world, averages=averages)
        return trainer, shown

    def _trainer(
        self,
        config: Config,
        model: Model,
        objective: Objective,
        world: World,
        *,
        averages: Averages | None = None,
        batch_size: int | None = None,
    ) -> Trainer:
        autocast = autocast_for(config.train.precision, self.device)
        pretraining = build_pretraining(config, model, autocast)
        if batch_size is not None:  # to be measured: a step of the model's own objective
            pretraining = None
            config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": batch_size})})
        return Trainer(
            objective,
            build_optimisers(config, objective),
            build_batches(config, self.data.train, world, self.device),
            loop_settings(config, model, len(self.data.train)),
            device=self.device,
            world=world,
            averages=averages,
            gate=build_gate(config),
            plateau=build_plateau(config),
            pretraining=pretraining,
            autocast=autocast,
        )

    def go(self) -> int | None:
        """Start or go on, train, finish; return the number of the signal that stopped the run, if one did."""
        self._enter()
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
            self.folder.keep_records(self.trainer.images)
            if self.folder.config != self.config:  # settings that a run may change as it goes on
                dump_yaml(self.config, self.folder.config_path)
        self._open_pictures()
        with stop_on_signals() as stop, show_progress(self.trainer.images, total, speaks=self.world.is_first) as bar:
            stopped = self._train(bar, stop)
        if self.world.is_first:
            self.pictures.finish()
            if self.tensorboard is not None:
                self.tensorboard.close()
            self._say_goodbye(stopped)
        return (stop.number or signal.SIGTERM) if stopped else None

    def _enter(self) -> None:
        """Make the folder with a first checkpoint, unless it is there; put the trainer where the newest one is."""
        self.world.together(self._prepare_folder, self.device)
        path = self._newest_checkpoint()
        if path is None:
            self._save()
        else:
            self._restore(path)

    def _prepare_folder(self) -> None:
        if not self.world.is_first:
            return
        if self.goes_on:
            remove_leftovers(self.folder)
            return
        was_there = self.folder.path.exists()
        try:
            start_run(self.folder, self.config)
            save_checkpoint(self.folder.checkpoints, self.trainer.state(), self.config.train.keep)
        except UserError:
            clear_run(self.folder)
            if not was_there and self.folder.path.is_dir():
                self.folder.path.rmdir()
            raise

    def _is_finished(self) -> bool:
        """Whether all is trained and drawn: the loss curves are the last thing that is made."""
        if self.trainer.images < self.trainer.settings.total_images or not self.folder.curves_path.is_file():
            return False
        newest = list_checkpoints(self.folder.checkpoints)[-1]
        return self.folder.curves_path.stat().st_mtime >= newest.stat().st_mtime

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

    def _open_pictures(self) -> None:
        test = torch.from_numpy(np.array(self.data.test.images[: self.config.train.held_out_images]))
        self.held_out = test
        self.tensorboard = None
        if self.world.is_first and self.config.train.tensorboard:
            self.tensorboard = open_tensorboard(self.folder.path / "tensorboard", self.trainer.images)
        self.pictures = Pictures(self.folder, test, self.config.seed, self.tensorboard)

    def _newest_checkpoint(self) -> Path | None:
        """The first process's newest checkpoint, for all to know."""
        first, folder = self.world.is_first, self.folder.checkpoints
        path = self.world.together(lambda: newest_checkpoint(folder) if first else None, self.device)
        told = self.world.share_bytes(None if path is None else os.fsencode(path), self.device)
        return None if told is None else Path(os.fsdecode(told))

    def _restore(self, path: Path) -> None:
        data = read_everywhere(path, self.world, self.device)
        assert data is not None
        self.trainer.restore(read_checkpoint(data, str(path)))

    def _check(self) -> None:
        """See that all numbers are finite, and make running statistics those of all processes."""
        self.trainer.check_finite()
        self.trainer.check_weights()
        self.trainer.average_buffers()

    def _save(self) -> None:
        if self.world.is_first:
            save_checkpoint(self.folder.checkpoints, self.trainer.state(), self.config.train.keep)

    def _train(self, bar: Progress, stop: StopRequest) -> bool:
        """Train to the end or until asked to stop; whether it was asked."""
        while True:
            try:
                return self._steps(bar, stop)
            except NotFiniteError as error:
                self._roll_back(error)

    def _steps(self, bar: Progress, stop: StopRequest) -> bool:
        trainer, log_images = self.trainer, self.config.train.log_images
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

        clock, seen = time.perf_counter(), 0
        for record in trainer.run(record_when=lambda images: is_logged(images + size)):
            self.means.add(record)
            seen += size
            bar.step(record.images)
            stops = record.images < total and self._asked_to_stop(stop, record.steps)
            if (stops or is_logged(record.images)) and self.world.is_first:
                seconds = time.perf_counter() - clock
                clock, images_per_second, seen = time.perf_counter(), seen / seconds, 0
                self._log(record.images, record.epoch, images_per_second, bar)
            if passes(every, record.images):
                before = time.perf_counter()
                # An end that is no mark slows nothing down: a longer run would take no snapshot there.
                self._snapshot(record.images, record.epoch, bar, is_mark=is_mark(every, record.images))
                clock += time.perf_counter() - before
            elif stops:
                self._check()
                self._save()
            if stops:
                return True
        return False

    def _asked_to_stop(self, stop: StopRequest, steps: int) -> bool:
        if self.world.size == 1:
            return bool(stop)
        return steps % SIGNALS_EVERY == 0 and self.world.any(bool(stop), self.device)

    def _log(self, images: int, epoch: float, images_per_second: float, bar: Progress) -> None:
        trainer = self.trainer
        record = {
            "images": images,
            "epoch": round(epoch, 6),
            "split": "train",
            **self.means.take(),
            "kl_factor": trainer.kl_factor(),
            "images_per_second": round(images_per_second, 2),
        }
        self.last_record = record
        self.folder.add_record(record)
        bar.losses(record)
        if self.tensorboard is not None:
            write_scalars(self.tensorboard, record)

    def _snapshot(self, images: int, epoch: float, bar: Progress, *, is_mark: bool) -> None:
        """Held-out losses, grids, model, checkpoint; the checkpoint last, so that a resume finds the rest."""
        self._check()
        losses = held_out_losses(self.trainer, self.held_out, self.config.train.batch_size)
        factors = self._rate_factors(losses, look=is_mark)
        if self.world.is_first:
            record = {"images": images, "epoch": round(epoch, 6), "split": "test", "losses": losses, **factors}
            self.folder.add_record(record)
            if self.tensorboard is not None:
                write_scalars(self.tensorboard, record)
            self.pictures.take(self.shown, images)
            self.shown.info["images"] = images
            self.shown.save(self.folder.path / "model")
            bar.line(self.last_record, self.trainer.settings.total_images)
        self._save()

    def _rate_factors(self, losses: dict[str, dict[str, float]], *, look: bool) -> dict[str, dict[str, float]]:
        """Show held-out losses to the schedule of plateaus, if that is wanted; its factors, for the record."""
        plateau = self.trainer.plateau
        if plateau is None:
            return {}
        if look and self.trainer.current is self.trainer.objective:
            totals = {part: terms["total"] for part, terms in losses.items()}
            # The first process's, for all: processes that disagree in the last digit must not part ways.
            told = self.world.share_bytes(json.dumps(totals).encode(), self.device)
            assert told is not None
            plateau.look(json.loads(told))
        return {"rate_factors": {part: plateau.of(part) for part in losses}}

    def _roll_back(self, error: NotFiniteError) -> None:
        """Go back to the last good checkpoint with half the step, or stop.

        Raises:
            UserError: if the run is to stop, or has gone back often enough.
        """
        path = self._newest_checkpoint()
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
        self.means = RunningMeans()
        if self.world.is_first:
            self.folder.keep_records(self.trainer.images)
        log.warning(
            "%s; going on after %s images with learning rates times %g", error, f"{self.trainer.images:,}", scale
        )

    def _still_good(self, newest: Path) -> Path:
        """The newest checkpoint, or the one before if the newest has led to the same end already."""
        if newest == self.gone_back_to and self.world.is_first and len(list_checkpoints(newest.parent)) > 1:
            remove_checkpoint(newest)
        path = self._newest_checkpoint()
        assert path is not None, "the oldest checkpoint stays"
        self.gone_back_to = path
        return path

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
            ("reconstructions", "held-out originals above their reconstructions"),
            ("losses.png", "losses of each part"),
            ("model", "the model: vaegan.load reads it"),
        ):
            if (path / name).exists():
                log.info("  %s  %s", path / name, what)
