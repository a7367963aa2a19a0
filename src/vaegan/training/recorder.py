"""What a run writes of itself as it goes: metrics.jsonl, TensorBoard, pictures, the saved model, lines and bar.

The first process alone writes; in the others a journal takes in steps and stays silent.
"""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor

from ..config import Config
from ..models import Model
from ..runs.files import RunFolder
from .best_model import Selection
from .health import Watch, unit_figures, weight_lengths
from .loop import Record, Trainer
from .progress import Progress
from .snapshots import Pictures, RunningMeans
from .tensorboard import open_tensorboard, write_histograms, write_scalars

Terms = dict[str, dict[str, float]]


class Journal:
    """Opens behind the records that a run has.

    Args:
        folder: the run's.
        config: its settings.
        trainer: whose steps are noted; it stands where the run goes on.
        shown: the model that is shown and saved.
        held_out: images to reconstruct, uint8 (N, H, W, C).
        bar: to show losses in.
        writes: whether this process writes.
        held_out_c: conditions (N, A) of these images, for a conditional model.
        selection: scores snapshots and keeps the best model, if it is wanted.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: Config,
        trainer: Trainer,
        shown: Model,
        held_out: Tensor,
        bar: Progress,
        *,
        writes: bool,
        held_out_c: Tensor | None = None,
        selection: Selection | None = None,
    ) -> None:
        self.folder, self.trainer, self.shown, self.bar, self.writes = folder, trainer, shown, bar, writes
        self.held_out, self.held_out_c, self.selection = held_out, held_out_c, selection
        self.tensorboard: Any = None
        if writes and config.train.tensorboard:
            self.tensorboard = open_tensorboard(folder.path / "tensorboard", trainer.images)
        self.pictures = Pictures(folder, held_out, config.seed, self.tensorboard, held_out_c)
        self._means = RunningMeans()
        self._clock, self._seen = time.perf_counter(), 0
        self._last: dict[str, Any] = {}
        self._watch = Watch(folder.records() if writes else ())
        if writes and not self._watch.has_begun:
            start = {"images": 0, "epoch": 0.0, "split": "start", "weights": weight_lengths(trainer)}
            self.folder.add_record(start)
            self._watch.add(start)
        bar.worries(self._watch.worries)

    def add(self, record: Record) -> None:
        """Take in one step."""
        self._means.add(record)
        self._seen += self.trainer.settings.batch_size
        self.bar.step(record.images)

    def forget(self) -> None:
        """Start means and clock anew: the trainer has gone back."""
        self._means = RunningMeans()
        self._clock, self._seen = time.perf_counter(), 0
        self._watch = Watch(self.folder.records() if self.writes else ())

    def pause(self, seconds: float) -> None:
        """So much time went to something else than steps."""
        self._clock += seconds

    @property
    def wants_gradients(self) -> bool:
        """Whether the gradients of a snapshot's step are of use."""
        return self.tensorboard is not None

    def log(self, step: Record) -> None:
        """Write the means since the last record.

        Args:
            step: the last one taken in.
        """
        if not self.writes:
            return
        seconds = time.perf_counter() - self._clock
        images_per_second = self._seen / seconds
        self._clock, self._seen = time.perf_counter(), 0
        record = {
            "images": step.images,
            "epoch": round(step.epoch, 6),
            "split": "train",
            **self._means.take(),
            "kl_factor": self.trainer.kl_factor(),
            "images_per_second": round(images_per_second, 2),
        }
        self._last = record
        self._write(record)
        self.bar.losses(record)

    def snapshot(self, step: Record, losses: Terms, rate_factors: dict[str, float] | None) -> None:
        """Write held-out losses, figures and what the checks say of them, grids and the model.

        Args:
            step: the last one taken in.
            losses: part -> name -> held-out loss.
            rate_factors: part -> factor of the schedule of plateaus, where it is in use.
        """
        if not self.writes:
            return
        images, epoch = step.images, round(step.epoch, 6)
        record: dict[str, Any] = {"images": images, "epoch": epoch, "split": "test", "losses": losses}
        if rate_factors is not None:
            record["rate_factors"] = rate_factors
        record["weights"] = weight_lengths(self.trainer)
        record |= {"units": units} if (units := unit_figures(self.shown, self.held_out, self.held_out_c)) else {}
        self.shown.info["images"] = images
        record |= self.selection.look(self.shown) if self.selection else {}
        record["health"] = self._watch.look(record)
        self._write(record)
        self.bar.worries(self._watch.worries)
        if self.tensorboard is not None:
            write_histograms(self.tensorboard, self.trainer.objective.parts, step.kept, images)
        self.pictures.take(self.shown, images)
        self.shown.save(self.folder.path / "model")
        self.bar.line(self._last, self.trainer.settings.total_images, record.get("scores"))

    def finish(self) -> None:
        """Draw what the whole run goes into, and close."""
        if not self.writes:
            return
        self.pictures.finish()
        if self.tensorboard is not None:
            self.tensorboard.close()

    def _write(self, record: dict[str, Any]) -> None:
        self.folder.add_record(record)
        self._watch.add(record)
        if self.tensorboard is not None:
            write_scalars(self.tensorboard, record)
