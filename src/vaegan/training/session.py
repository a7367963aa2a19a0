"""The life of a run: open the folder, set up, resume or start, train, finish, report the outputs."""

import contextlib
import logging
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from ..config import Config
from ..data.batches import share_of
from ..data.stream import StreamedData
from ..distributed import World, joined
from ..errors import Stopped, UserError
from ..files import OF_A_DISK, expanded, read_mapping, remedy_of
from ..models import load
from ..progress import duration
from ..runs.run_folder import BEST, MADE_OF_A_MODEL, MODEL, PRIORS, RunFolder, list_checkpoints
from ..schedules import Cadence, lr_factor
from ..settings import KINDS, PHASES
from ..settings_io import dump_yaml
from .best_model import open_best_model
from .checkpoints import Checkpoints
from .device import pick_device, tune_allocator
from .factories import loop_settings
from .finish import fit_run_priors, keep_priors, store_scale_factor
from .loop import NotFiniteError, Record
from .recorder import Recorder
from .resuming import open_run
from .setup import set_up
from .snapshots import Terms, first_held_out, held_out_losses
from .terminal import StopRequest, show_progress, stop_on_signals

log = logging.getLogger("vaegan")

SIGNALS_EVERY = 10
"""Steps after which several processes ask each other whether one got a signal to stop."""

OUTPUTS = (
    ("samples", "samples at each snapshot"),
    ("samples.gif", "the same as an animation"),
    ("samples-prior.png", "samples from the best-fitting prior"),
    ("reconstructions", "held-out originals above their reconstructions"),
    ("triptychs", "originals, reconstructions and samples"),
    ("losses.png", "losses of each network"),
    ("model", "the model: vaegan.load reads it"),
    (BEST, "the model of the snapshot with the best score"),
)


def train(config: Config, out: Path, *, overwrite: bool = False) -> RunFolder:
    """Train, or resume where an earlier call stopped.

    Args:
        config: settings.
        out: run folder.
        overwrite: start over if ``out`` already holds a run.

    Returns:
        The run folder.

    Raises:
        UserError: if settings, data or folder are unusable, or the run diverged; one line with the remedy.
        Stopped: after Ctrl-C or SIGTERM; everything is saved, and the same call resumes.
    """
    out, device = expanded(out), pick_device(config.device)
    tune_allocator()
    session: Session | None = None

    def is_begun() -> bool:
        return not overwrite or (session is not None and session.is_begun)  # until then the earlier run is there

    try:
        with joined(device) as world, ExitStack() as held:
            session = Session(config, out, device, world, held, overwrite=overwrite)
            stopped_by = session.run()
    except KeyboardInterrupt:
        if is_begun() and list_checkpoints(RunFolder(out).checkpoints):
            log.info("%s has checkpoints; %s", out, _again(overwrite))
        raise
    except OSError as error:
        if error.errno not in OF_A_DISK:
            raise
        again = _again(overwrite) if is_begun() else "run the same command again"
        what = f"cannot access {error.filename}" if error.filename else f"cannot write to {out}"
        raise UserError(f"{what}: {error.strerror}; {remedy_of(error)}, then {again}") from error
    if stopped_by is not None:
        raise Stopped(stopped_by)
    return RunFolder(out)


def _again(overwrite: bool) -> str:
    """Return what resumes a run: with --overwrite the same command would start over."""
    return f"run the same command{' without --overwrite' if overwrite else ''} to resume"


class Session:
    """One call of `train` in one process; UserError if settings, data or folder are unusable."""

    def __init__(
        self, config: Config, out: Path, device: torch.device, world: World, held: ExitStack, *, overwrite: bool
    ) -> None:
        self._begin = time.monotonic()
        own = share_of(config.train.batch_size, world.rank, world.size)
        num, share = config.train.accumulate, own.stop - own.start
        if num > share:
            raise UserError(f"--train.accumulate {num} is more than the {share} images of a process; lower it")
        self.device, self.world, self._overwrites = device, world, overwrite
        self.is_begun = False
        """Whether the checkpoints in the folder are its own."""

        self.folder = RunFolder(out)

        def open_folder() -> Config | None:
            open_run(out, config, overwrite=overwrite)  # nothing is written into a folder that is refused
            held.enter_context(self.folder.locked())
            return open_run(out, config, overwrite=overwrite)[1]  # as another training may just have left it

        self.before = world.first(open_folder)
        self.resumes: bool = world.from_first(lambda: self.before is not None)
        self.setup = set_up(config, self.before, world, device, self.folder if self.resumes else None)
        self.config, self.data, self.model = self.setup.config, self.setup.data, self.setup.model
        self.trainer = self.setup.trainer
        if isinstance(self.data, StreamedData):
            held.callback(self.data.stream.close)
        self.checkpoints = Checkpoints(self.folder, self.setup, world)
        self.held_out = first_held_out(self.setup)

        size, self.total = self.config.train.batch_size, self.trainer.settings.total_images
        assert self.config.train.log_images is not None, "set_up resolves it"
        between_snapshots = max(1, round(self.config.train.snapshot_epochs * self.data.num_train))
        self.snapshots = Cadence(between_snapshots, size, self.total)
        self.logs = Cadence(self.config.train.log_images, size, self.total)
        self.signals = Cadence(SIGNALS_EVERY if world.size > 1 else 1)

    def run(self) -> int | None:
        """Resume or start, train, finish; return the number of the signal that stopped the run, if one did."""
        self.checkpoints.enter(resumes=self.resumes)
        self.is_begun = True
        if self._is_finished():
            self.world.first(self._save_place)
            self._say_finished()
            return None
        self._announce()
        self._say_changed_rate()
        self._say_outdated()
        self.world.first(self._prepare_folder)
        first = self.world.is_first  # which alone scores snapshots
        best = self.world.first(lambda: open_best_model(self.folder, self.setup, self.device))
        with stop_on_signals() as stop, show_progress(self.trainer.images, self.total, speaks=first) as bar:
            recorder = Recorder(self.folder, self.setup, self.held_out, bar, best, writes=first)
            stopped = self._train(recorder, stop)
        self.world.first(lambda: self._finish(recorder, stopped=stopped))
        return (stop.number or signal.SIGTERM) if stopped else None

    def _is_finished(self) -> bool:
        ended = self.world.from_first(lambda: self.trainer.images >= self.total and self.folder.is_finished)
        return bool(ended) and not self._lacks_model()

    def _save_place(self) -> None:
        """Save where the images of a finished run are named now: `check_same_data` has noted what that stands for."""
        if (before := self.folder.config).data.opening() != self.config.data.opening():
            dump_yaml(before.model_copy(update={"data": self.config.data}), self.folder.config_path)

    def _prepare_folder(self) -> None:
        """Save the settings of this call; drop records of steps that will be repeated."""
        self.folder.write_status(finished=False)
        self.folder.truncate_records(self.trainer.images)
        if self.resumes and self.folder.config != self.config:  # settings that a run may change when it resumes
            dump_yaml(self.config, self.folder.config_path)

    def _finish(self, recorder: Recorder, *, stopped: bool) -> None:
        """Write what is made of a trained model, the animation and the curves, and that the run is finished."""
        if not stopped:
            keep_priors(self.folder, self.setup)
            store_scale_factor(self.folder, self.setup)
            fit_run_priors(self.folder, self.setup, recorder.pictures)
        recorder.close()
        self.folder.write_status(finished=not stopped)
        self._say_where_things_are(stopped=stopped)

    def _train(self, recorder: Recorder, stop: StopRequest) -> bool:
        """Train to the end or until a signal; return whether a signal stopped it."""
        while True:
            try:
                return self._run_steps(recorder, stop)
            except NotFiniteError as error:
                self.checkpoints.roll_back(error)
                recorder.restart()

    def _run_steps(self, recorder: Recorder, stop: StopRequest) -> bool:
        shows_gradients = recorder.tensorboard is not None
        for step in self.trainer.run(self._is_logged, lambda images: shows_gradients and self.snapshots.due(images)):
            recorder.add(step)
            asks = step.images < self.total and self.signals.due(step.steps)
            stops = asks and self.world.any(bool(stop))
            if stops or self._is_logged(step.images):
                recorder.log(step)
            if self._ends_phase(step.images):
                phase = self.trainer.phase(step.images)
                now = PHASES[phase.name if phase else self.model.kind].phrase
                log.info("%s images: now training %s", f"{step.images:,}", now)
            if self.snapshots.due(step.images):
                with recorder.paused():
                    self._take_snapshot(recorder, step)
            elif stops:
                self._check()
                self.checkpoints.save()
            if stops:
                return True
        if self._lacks_model():
            images, seen = self.trainer.images, self.trainer.settings.epoch_images
            last = Record(images, self.trainer.steps, images / seen, {}, {}, {}, frozenset())
            self._take_snapshot(recorder, last)
        return False

    def _lacks_model(self) -> bool:
        """Whether no model of the last step is saved: an earlier call stopped there, or its files are lost."""

        def saved() -> int | None:
            with contextlib.suppress(UserError):
                return load(self.folder.path / MODEL).info.get("images")
            return None

        return bool(self.world.from_first(saved) != self.trainer.images)

    def _is_logged(self, images: int) -> bool:
        # Each snapshot closes a window of means, so that a resumed run has the same windows; so does each phase.
        return self.logs.due(images) or self.snapshots.due(images) or self._ends_phase(images)

    def _ends_phase(self, images: int) -> bool:
        """Whether the step that reached this many images is the last of its phase."""
        return self.trainer.phase(images - self.config.train.batch_size) is not self.trainer.phase(images)

    def _check(self) -> None:
        """Check that all numbers are finite; average running statistics over all processes."""
        self.trainer.check_finite()
        self.trainer.check_weights()
        self.trainer.average_buffers()

    def _take_snapshot(self, recorder: Recorder, step: Record) -> None:
        """Held-out losses, learning rates, pictures, model; the checkpoint last, so that a resume has the rest."""
        self._check()
        c = self.model.condition_of(self.held_out)
        losses = held_out_losses(self.trainer, self.held_out, self.config.train.batch_size, c)
        # The end of a run, if between two snapshots, lowers no rate: a longer run has no snapshot there.
        if self.snapshots.passes_multiple(step.images):
            self._lower_rates(losses)
        self.world.first(lambda: recorder.snapshot(step, losses))  # as a disk may be full
        self.checkpoints.save()

    def _lower_rates(self, losses: Terms) -> None:
        """Lower the learning rates of parts whose held-out loss no longer falls, with the schedule 'plateau'."""
        plateau = self.trainer.plateau
        if plateau is None or self.trainer.current is not self.trainer.objective:
            return
        totals = {part: terms["total"] for part, terms in losses.items()}
        # The first process decides: losses that differ in the last digit must not give different rates.
        plateau.update(self.world.from_first(lambda: totals))

    def _announce(self) -> None:
        t = self.config.train
        counts = ", ".join(f"{name} {num:,}" for name, num in self.model.num_parameters.items())
        for line in self.data.summary() if self.resumes else ():
            log.info("%s", line)
        log.info("%s, parameters: %s", self.config.model.kind, counts)
        if frozen := [name for name in self.model.parts if self.config.is_frozen(name)]:
            unused = "encoder" in frozen and self.model.kind != "ae"
            log.info("frozen: %s%s", ", ".join(frozen), "; no KL is recorded: nothing minimises it" if unused else "")
        log.info(
            "%s at %s of %s images, on %s in %s %s, batches of %d",
            "resuming" if self.trainer.images else "starting", f"{self.trainer.images:,}", f"{self.total:,}",
            self.device, t.precision, t.memory_format, t.batch_size,
        )  # fmt: skip
        if t.accumulate > 1:
            log.info("batches are split into %d micro-batches; batch norm normalises each separately", t.accumulate)
        phases = [phase for phase in self.trainer.phases if self.trainer.images < phase.end]
        if phases:
            each = ", ".join(f"{PHASES[phase.name].phrase} up to {phase.end:,} images" for phase in phases)
            log.info("training %s, then %s", each, KINDS[self.model.kind].phrase)
        if self.trainer.pretrains(self.trainer.images) and (num := phases[0].end) > 0.5 * self.total:
            share = f"--train.pretrain-epochs {t.pretrain_epochs:g} is {min(num / self.total, 1):.0%} of this run"
            left, kind = "little" if num < self.total else "nothing", KINDS[self.model.kind].phrase
            log.warning("%s, so %s is left to train %s; lower it, or train longer", share, left, kind)

    def _say_changed_rate(self) -> None:
        """Say so if the run is resumed with another length, and so with another learning rate or other phases."""
        s, o = self.trainer.settings, self.config.optim
        if self.before is None or not self.trainer.images:
            return
        ends = loop_settings(self.before, self.model, s.epoch_images).total_images, s.total_images
        last, bounds = self.trainer.images - s.batch_size, {"final": o.final_lr_factor, "warmup": o.warmup_images}
        was, now = (lr_factor(o.schedule, last, end, **bounds) for end in ends)  # type: ignore[arg-type]
        if was != now:
            log.warning(
                "the run length changed from %s to %s images, so schedule %s moves the learning rate from %.3g to %.3g "
                "times its initial value here; the result will differ from an uninterrupted run of that length",
                *map("{:,}".format, ends), o.schedule, was, now,
            )  # fmt: skip
        share = self.config.loss.adversarial_start + self.config.loss.discriminator_warmup
        if ends[0] != ends[1] and self.trainer.images < share * max(ends):
            log.warning(
                "the run length changed from %s to %s images, so phases set as a fraction of the run end at different "
                "points",
                *map("{:,}".format, ends),
            )

    def _say_outdated(self) -> None:
        """Say what was made of the weights that are trained further, and which commands make it again."""
        if not self.resumes or self.trainer.images >= self.total:
            return
        path = self.folder.path
        outdated = [f"{file} ({command})" for file, command in MADE_OF_A_MODEL.items() if (path / file).is_file()]
        priors = read_mapping(path / MODEL / PRIORS).get("priors")
        if isinstance(priors, dict) and any("of_labels" in prior for prior in priors.values()):
            outdated.append("priors by label (vaegan priors --by-label)")
        elif isinstance(priors, dict) and (others := priors.keys() - {*self.config.train.priors}):
            outdated.append(f"other priors (vaegan priors --priors {','.join(sorted(others))})")
        if outdated:
            log.warning("%s: further training makes %s outdated; run these commands again", path, ", ".join(outdated))

    def _say_finished(self) -> None:
        unit = "epochs" if self.config.train.images is None else "images"
        log.info(
            "%s is finished at %s images; to train longer, raise --train.%s",
            self.folder.path, f"{self.trainer.images:,}", unit,
        )  # fmt: skip
        now = self.config.train
        for name in ("priors", "best_metric", "best_images", "tensorboard"):
            if self.before is None or getattr(now, name) == getattr(self.before.train, name):
                continue
            line = f"--train.{name.replace('_', '-')} has no effect on a finished run; train longer"
            if name == "priors" and now.priors:
                command = f"vaegan priors {self.folder.path} --priors {','.join(now.priors)}"
                line = f"--train.priors is not applied to a finished run; fit them with {command}"
            log.warning("%s", line)
        self._list_outputs()

    def _say_where_things_are(self, *, stopped: bool) -> None:
        path = self.folder.path
        if stopped:
            seen = f"{self.trainer.images:,}"
            log.info("stopped at %s images, everything saved; %s: %s", seen, _again(self._overwrites), path)
            return
        log.info("done in %s: %s", duration(time.monotonic() - self._begin), path)
        if self.trainer.pretrains(self.trainer.images - self.config.train.batch_size):
            log.warning(
                "training ended in pre-training, as an autoencoder; to continue as %s, raise --train.%s",
                KINDS[self.model.kind].phrase, "epochs" if self.config.train.images is None else "images",
            )  # fmt: skip
        self._list_outputs()

    def _list_outputs(self) -> None:
        for name, what in OUTPUTS:
            if (self.folder.path / name).exists():
                log.info("  %s  %s", self.folder.path / name, what)
