"""Runs that are trained once, whichever study asks first.

A run's folder is named by a hash of all settings that decide its steps, without its length: a study that wants it
longer trains it on from where it is. At each mark (images seen) the model is kept beside the run, and beside it the
figures that were measured on it, so a study that was stopped goes on where it was.
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
from vaegan.loading import load
from vaegan.models import Model
from vaegan.settings_io import with_settings
from vaegan.training.loop import NotFiniteError
from vaegan.training.run_folder import FREE
from vaegan.training.train import train

Figures = dict[str, Any]


class Diverged(ArithmeticError):  # noqa: N818, it is a result
    """A run's losses or weights left the finite numbers."""


@dataclass(frozen=True)
class Moment:
    """A run at a mark.

    Attributes:
        folder: what is kept of it.
        images: images seen, rounded up to whole batches by the training.
    """

    folder: Path
    images: int

    def model(self) -> Model:
        """The model as it was."""
        return load(self.folder)

    @property
    def seconds(self) -> float:
        """How long the run trained to get here, by all calls together; what a stopped call did is not counted."""
        marks = (path for path in self.folder.parent.glob("[0-9]*") if path.name <= self.folder.name)
        return sum(float(json.loads((path / "seconds.json").read_text())) for path in marks)

    def figures(self, name: str, measure: Callable[[Model], Figures]) -> Figures:
        """Return what ``measure`` finds on the model, from an earlier time if there was one.

        Args:
            name: of the measure with all that it depends on; also its file's name.
            measure: plain numbers, lists of them or texts by name.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            write_json(path, measure(self.model()))
        found: Figures = json.loads(path.read_text(encoding="utf-8"))
        return found


class Runs:
    """The folder of all studies' runs.

    Args:
        work: where it is.
    """

    def __init__(self, work: Path) -> None:
        self.work = work

    def at(self, config: Config, images: int, via: Sequence[int] = ()) -> Moment:
        """Return a run after so many images, trained as far as that if it was not before.

        Args:
            config: settings; how long they train is of no account.
            images: the mark.
            via: earlier marks to keep the model at on the way, for studies to come. A mark that was passed over costs a
                training of its own, from the start.

        Raises:
            Diverged: if it came to nothing.
            UserError: if it cannot be trained.
        """
        folder = self.work / run_name(config)
        moment = Moment(folder / f"{images:09d}", images)
        if (folder / "diverged.json").is_file():
            raise Diverged(json.loads((folder / "diverged.json").read_text())["what"])
        if not (moment.folder / "config.json").is_file():
            for mark in via:
                if _farthest(folder) < mark < images:
                    self.at(config, mark)
            begin = time.perf_counter()
            model = self._train(config, folder, images)
            write_json(moment.folder / "seconds.json", time.perf_counter() - begin)
            model.save(moment.folder)
        return moment

    def _train(self, config: Config, folder: Path, images: int) -> Model:
        """Train to the mark: on from an earlier one, or from the start where the run is farther than that."""
        run, size = folder / "run", config.train.batch_size
        if _farthest(folder) > -(-images // size) * size:
            run = folder / f"run-{images:09d}"
        quiet = logging.getLogger("vaegan")
        level = quiet.level
        quiet.setLevel(logging.WARNING)
        try:
            return train(with_settings(config, {"train.images": images}), run).model()
        except UserError as error:
            if not isinstance(error.__context__, NotFiniteError):
                raise
            write_json(folder / "diverged.json", {"what": str(error.__context__)})
            raise Diverged(str(error.__context__)) from error
        finally:
            quiet.setLevel(level)
            if run.name != "run":
                shutil.rmtree(run, ignore_errors=True)


def run_name(config: Config) -> str:
    """Return a name that is the same for settings that make the same steps, whatever the run's length."""
    values = config.model_dump(mode="json")
    for name in FREE:
        place = values
        *groups, last = name.split(".")
        for group in groups:
            place = place[group]
        del place[last]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    return f"{config.model.kind}-{config.model.network}-{digest}"


def _farthest(folder: Path) -> int:
    """Return at how many images the run's newest checkpoint is; 0 without one."""
    return max((int(path.stem) for path in (folder / "run" / "checkpoints").glob("[0-9]*.pt")), default=0)
