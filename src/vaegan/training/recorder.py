"""The output of a run: metrics.jsonl, TensorBoard, pictures, the saved model, log lines and progress bar.

Only the first process writes; in the others a recorder accepts steps and stays silent.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..data import ImageSet
from ..runs.run_folder import RunFolder
from .best_model import BestModel, why_no_modes
from .health import HealthMonitor, code_usage, weight_norms
from .loop import Record
from .setup import Setup
from .snapshots import Pictures, Terms
from .terminal import Progress

MOST_VALUES = 2**14
"""Numbers of a tensor in a histogram of TensorBoard, at most."""


class Recorder:
    """Appends to the records that a run has; only the process that ``writes`` does."""

    def __init__(
        self,
        folder: RunFolder,
        setup: Setup,
        held_out: ImageSet,
        bar: Progress,
        best: BestModel | None,
        *,
        writes: bool,
    ) -> None:
        self.folder, self.trainer, self.model, self.bar = folder, setup.trainer, setup.output_model, bar
        self.setup = setup
        self.held_out, self.best, self.writes = held_out, best, writes
        self.tensorboard: Any = None
        if writes and setup.config.train.tensorboard:
            self.tensorboard = open_tensorboard(folder.path / "tensorboard", self.trainer.images)
        self.pictures = Pictures(folder, setup, self.tensorboard)
        self._last: dict[str, Any] = {}
        self.restart()
        if writes and not self._health.has_begun:
            start = {"images": 0, "epoch": 0.0, "split": "start", "weights": weight_norms(self.trainer)}
            self.folder.add_record(start)
            self._health.add(start)
        bar.warnings(self._health.warnings)

    def add(self, step: Record) -> None:
        """Record one step."""
        self._means.add(step)
        self._seen += self.trainer.settings.batch_size
        self.bar.step(step.images)

    def restart(self) -> None:
        """Restart means and clock, and judge the records that there are: at first, and when the trainer went back."""
        self._means = RunningMeans()
        self._clock, self._seen = time.perf_counter(), 0
        self._health = HealthMonitor(self.folder.records() if self.writes else ())

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock of images/s."""
        start = time.perf_counter()
        yield
        self._clock += time.perf_counter() - start

    def log(self, step: Record) -> None:
        """Write the means since the last record; ``step`` is the last one taken in."""
        if not self.writes:
            return
        now = time.perf_counter()
        record = {
            "images": step.images,
            "epoch": round(step.epoch, 6),
            "split": "train",
            **self._phase(step.images - self.trainer.settings.batch_size),
            **self._means.means(),
            "kl_factor": self.trainer.kl_factor(),
            "lr": {part: self.trainer.optimisers[part].param_groups[0]["lr"] for part in step.gradients},
            "images_per_second": round(self._seen / (now - self._clock), 2),
        }
        self._means, self._clock, self._seen = RunningMeans(), now, 0
        self._last = record
        self._write(record)
        self.bar.losses(record)

    def snapshot(self, step: Record, losses: Terms) -> None:
        """Write held-out losses, scores, health checks, pictures and the model; ``step`` is the last one taken in."""
        images, plateau = step.images, self.trainer.plateau
        record: dict[str, Any] = {
            "images": images,
            "epoch": round(step.epoch, 6),
            "split": "test",
            **self._phase(images),
            "losses": losses,
            **({"rate_factors": {part: plateau.factor_of(part) for part in losses}} if plateau else {}),
            "weights": weight_norms(self.trainer),
        }
        if units := code_usage(self.model, self.held_out):
            record["units"] = units
        self.model.info["images"] = images
        if self.best is not None:
            record |= self.best.score(self.model)
        record["health"] = self._health.check(record)
        if record["health"] and (why := why_no_modes(self.setup, self.best, record)):
            record["not_checked"] = {"modes": why}
        self._write(record)
        self.bar.warnings(self._health.warnings)
        if self.tensorboard is not None:
            write_histograms(self.tensorboard, self.trainer.objective.parts, step.applied, images)
        self.pictures.take(self.model, images)
        self.model.save(self.folder.path / "model")
        if self._last:  # a step of this call
            self.bar.line(self._last, self.trainer.settings.total_images, record.get("scores"))

    def _phase(self, images: int) -> dict[str, str]:
        """What the step after this many images trains, in a run of several phases."""
        if not self.trainer.phases:
            return {}
        return {"phase": phase.name if (phase := self.trainer.phase(images)) else self.model.kind}

    def close(self) -> None:
        """Draw the animation and the curves of the whole run."""
        self.pictures.finish()
        if self.tensorboard is not None:
            self.tensorboard.close()

    def _write(self, record: dict[str, Any]) -> None:
        self.folder.add_record(record)
        self._health.add(record)
        if self.tensorboard is not None:
            write_scalars(self.tensorboard, record)


class RunningMeans:
    """Means over steps; the numbers are read only when the means are taken, so a GPU need not wait."""

    def __init__(self) -> None:
        self.steps = 0
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts, self._skipped = Counter[tuple[str, ...]](), Counter[str]()

    def add(self, record: Record) -> None:
        """Take in one step."""
        self.steps += 1
        self._skipped.update(record.skipped)
        values: dict[tuple[str, ...], Tensor] = {
            ("losses", part, name): value for part, terms in record.losses.items() for name, value in terms.items()
        }
        values |= {("gradients", part): norm for part, norm in record.gradients.items()}
        values |= {("routes", name): value for name, value in record.routes.items()}
        for key, value in values.items():
            self._counts[key] += 1
            self._sums[key] = self._sums[key] + value.detach() if key in self._sums else value.detach()

    def means(self) -> dict[str, Any]:
        """Return the means as nested plain numbers."""
        out: dict[str, Any] = {"losses": {}, "gradients": {}, "routes": {}}
        for key, total in self._sums.items():
            *path, last = key
            place = out
            for name in path:
                place = place.setdefault(name, {})
            place[last] = float(total) / self._counts[key]
        if self._skipped:
            out["skipped"] = {part: count / self.steps for part, count in self._skipped.items()}
        return out


def open_tensorboard(folder: Path, images: int) -> Any:
    """Return a TensorBoard writer that resumes at ``images`` and hides later entries; None without the extra.

    Nor does it write to a folder whose name is not UTF-8.
    """
    with contextlib.suppress(ImportError, UnicodeError):
        from torch.utils.tensorboard import SummaryWriter

        before = threading.excepthook

        def report(error: threading.ExceptHookArgs) -> None:
            """Pass over errors of the disk in TensorBoard's thread: the next call raises them here too."""
            if not (isinstance(error.exc_value, OSError) and "tensorboard" in type(error.thread).__module__):
                before(error)

        threading.excepthook = report
        return SummaryWriter(str(folder), purge_step=images + 1)
    return None


def write_scalars(tensorboard: Any, record: dict[str, Any]) -> None:
    """Write a record's losses, gradients, routes and scores as scalars."""
    for part, terms in record["losses"].items():
        for name, value in terms.items():
            tensorboard.add_scalar(f"{part}/{name}/{record['split']}", value, record["images"])
    for group in ("gradients", "routes", "scores", "lr"):
        for name, value in record.get(group, {}).items():
            tensorboard.add_scalar(f"{group}/{name}", value, record["images"])


def write_histograms(
    tensorboard: Any, parts: Mapping[str, nn.Module], gradients: Mapping[str, Sequence[Tensor]], images: int
) -> None:
    """Write a histogram of each weight, and of the last gradient applied to it, to TensorBoard.

    Of large tensors every k-th number is counted, so that a snapshot stays quick. Gradients are in the order of
    ``parameters()``; a part may be missing.
    """
    for part, network in parts.items():
        weights = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        for name, weight in weights:
            tensorboard.add_histogram(f"{part}/{name}/weight", some_values(weight), images)
        for (name, _), gradient in zip(weights, gradients.get(part, ()), strict=False):
            tensorboard.add_histogram(f"{part}/{name}/gradient", some_values(gradient), images)


def some_values(tensor: Tensor) -> Tensor:
    """Return evenly spread numbers of a tensor, at most `MOST_VALUES`, as float32 `(N,)` on the CPU."""
    flat = tensor.detach().flatten()
    return flat[:: -(-len(flat) // MOST_VALUES)].float().cpu()
