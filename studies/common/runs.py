"""Training runs shared between studies: each is trained once.

A run's folder is named by a hash of all settings that decide its steps, without its length, so a study that needs a
longer run continues an existing one. At each mark (images seen) the model is saved beside the run with the metrics
measured on it, so a study that was stopped resumes where it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaegan.config import Config
from vaegan.errors import UserError
from vaegan.files import write_json
from vaegan.models import Model, load
from vaegan.settings_io import with_settings
from vaegan.training.loop import NotFiniteError
from vaegan.training.resuming import MAY_CHANGE
from vaegan.training.session import train

Metrics = dict[str, Any]


class Diverged(ArithmeticError):  # noqa: N818, it is a result
    """A run's losses or weights are no longer finite."""


@dataclass(frozen=True)
class Checkpoint:
    """The model of a run at a mark.

    Attributes:
        folder: of the model and its metrics.
        images: images seen, rounded up to whole batches by the training.
    """

    folder: Path
    images: int

    def model(self) -> Model:
        """Load the model."""
        return load(self.folder)

    @property
    def seconds(self) -> float:
        """Training time up to here in seconds; the time of an interrupted call is not counted."""
        marks = (path for path in self.folder.parent.glob("[0-9]*") if path.name <= self.folder.name)
        return sum(float(json.loads((path / "seconds.json").read_text())) for path in marks)

    def metrics(self, name: str, measure: Callable[[Model], Metrics]) -> Metrics:
        """Return what ``measure`` gives for the model, from its file if it was measured before.

        Args:
            name: of the measure with all that it depends on; also its file's name.
            measure: returns plain numbers, lists of them or texts by name.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            write_json(path, measure(self.model()))
        metrics: Metrics = json.loads(path.read_text(encoding="utf-8"))
        return metrics


class Runs:
    """All runs of all studies.

    Args:
        work: their folder.
    """

    def __init__(self, work: Path) -> None:
        self.work = work

    def at(self, config: Config, images: int, earlier: Sequence[int] = ()) -> Checkpoint:
        """Return a run's model after so many images; train the run as far as that if needed.

        Args:
            config: settings; their length of training is ignored.
            images: the mark; the whole length of a run whose rate depends on it.
            earlier: marks at which the model is saved on the way, for later studies. A mark that was passed without
                saving costs a new training from the start.

        Raises:
            Diverged: if the run diverged.
            UserError: if it cannot be trained.
        """
        folder = self.work / run_name(config, images)
        checkpoint = Checkpoint(folder / f"{images:09d}", images)
        if (folder / "diverged.json").is_file():
            raise Diverged(json.loads((folder / "diverged.json").read_text())["what"])
        if not (checkpoint.folder / "config.json").is_file():
            for mark in earlier:
                if _images_trained(folder) < mark < images:
                    self.at(config, mark)
            begin = time.perf_counter()
            model = self._train(config, folder, images)
            write_json(checkpoint.folder / "seconds.json", time.perf_counter() - begin)
            model.save(checkpoint.folder)
        return checkpoint

    def _train(self, config: Config, folder: Path, images: int) -> Model:
        """Train to the mark, from the run's newest checkpoint or, if that is past the mark, from the start."""
        run, size = folder / "run", config.train.batch_size
        if _images_trained(folder) > -(-images // size) * size:
            run = folder / f"run-{images:09d}"
        logger = logging.getLogger("vaegan")
        level = logger.level
        logger.setLevel(logging.WARNING)
        try:
            train(with_settings(config, {"train.images": images}), run)
            return load(run)
        except UserError as error:
            if not isinstance(error.__context__, NotFiniteError):
                raise
            write_json(folder / "diverged.json", {"what": str(error.__context__)})
            raise Diverged(str(error.__context__)) from error
        finally:
            logger.setLevel(level)
            if run.name != "run":
                shutil.rmtree(run, ignore_errors=True)


def run_name(config: Config, images: int) -> str:
    """Return a name that is the same for settings with the same steps; of the length too if the rate depends on it."""
    values = config.model_dump(mode="json")
    length = None if config.optim.schedule in ("constant", "plateau") else images
    for name in MAY_CHANGE:
        place = values
        *groups, last = name.split(".")
        for group in groups:
            place = place[group]
        del place[last]
    digest = hashlib.sha256(json.dumps([values, length] if length else values, sort_keys=True).encode()).hexdigest()[
        :12
    ]
    return f"{config.model.kind}-{config.model.network}-{digest}"


def _images_trained(folder: Path) -> int:
    """Return the images seen at the run's newest checkpoint; 0 without one."""
    return max((int(path.stem) for path in (folder / "run" / "checkpoints").glob("[0-9]*.pt")), default=0)
