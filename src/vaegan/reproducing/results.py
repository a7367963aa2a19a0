"""The results of all runs so far, Table 2, and all of it as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..data import ImageData
from ..data.dataset import ImageSet
from ..evaluation.comparison import FigureRow, row_of
from ..metrics import figures
from ..metrics.figures import Figures
from ..pixels import Shown
from ..runs.opened import OpenedRun
from ..version import __version__
from .measurements import SIMILARITIES
from .plan import TITLES, Training

FORMAT = 1


@dataclass(frozen=True)
class MeasureOptions:
    """How models are measured.

    ``num`` is of held-out images and attribute vectors, at most; ``num_samples`` of images drawn for each vector;
    ``regressor_images`` are seen by the regressor in training, as many as suit the data if None.
    """

    num: int = 1_000
    num_samples: int = 10
    regressor_images: int | None = None
    batch_size: int = 256


@dataclass
class Results:
    """The results so far.

    ``images`` are held out, and models are conditioned on their attributes; ``r_squared`` is the regressor's for each
    attribute, None where it is constant; ``real`` are figures of real images with their own attributes, ``others`` of
    other real images, ``real_pixels`` their sharpness. Of the trainings finished, ``conditional`` has figures of each
    attribute-conditional kind, one for each seed, ``pixels`` of each unconditional kind, and ``runs`` the folders.
    """

    data: ImageData
    base: Config
    options: MeasureOptions
    images: ImageSet
    r_squared: Mapping[str, float | None]
    real: Figures
    others: Figures
    real_pixels: Figures
    trainings: list[Training] = field(default_factory=list)
    conditional: dict[str, list[Figures]] = field(default_factory=dict)
    pixels: dict[str, Figures] = field(default_factory=dict)
    runs: dict[bool, dict[str, list[Path]]] = field(default_factory=lambda: {False: {}, True: {}})

    def add(self, training: Training, folder: Path, measured: Figures) -> None:
        """Take in a finished training and the figures of its model."""
        self.trainings.append(training)
        self.runs[training.is_conditional].setdefault(training.kind, []).append(folder)
        if training.is_conditional:
            self.conditional.setdefault(training.kind, []).append(measured)
        else:
            self.pixels[training.kind] = measured

    def opened(self, *, conditional: bool) -> dict[str, OpenedRun]:
        """Return the first run of each kind by its title."""
        size = self.options.batch_size
        return {TITLES[kind]: OpenedRun(runs[0], batch_size=size) for kind, runs in self.runs[conditional].items()}

    @property
    def shown(self) -> Shown:
        """How originals and results are shown."""
        return Shown(self.data.pixels, self.base.bands)

    @property
    def table2(self) -> list[FigureRow]:
        """Table 2: means over seeds with intervals, and which model is nearest to real images."""
        return table2(self.real, list(self.conditional.values()))

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        data, names = self.data, [TITLES[kind] for kind in self.conditional]
        pixels = {"real": self.real_pixels} | {TITLES[kind]: values for kind, values in self.pixels.items()}
        return {
            "format": FORMAT,
            "version": __version__,
            "data": {
                "name": data.name,
                "fingerprint": data.fingerprint,
                "image_shape": data.image_shape,
                "train": len(data.train),
                "test": len(data.test),
                "attributes": data.train.attribute_names,
            },
            "asked": {"vectors": len(self.images), "samples": self.options.num_samples, "seed": self.base.seed},
            "regressor": {"explained": self.r_squared},
            "table2": {row.name: table2_row_json(row, names, self.real, self.others) for row in self.table2},
            "pixels": {name: figures.as_json(values) for name, values in pixels.items()},
            "runs": [_run_json(training) for training in self.trainings],
        }


def table2(real: Figures, models: Sequence[Sequence[Figures]]) -> list[FigureRow]:
    """Put models side by side: the figures of real images, and of each model one for each seed."""
    return [row_of(name, [[run[name] for run in runs] for runs in models], real, "attributes") for name in SIMILARITIES]


def table2_row_json(row: FigureRow, names: Sequence[str], real: Figures, others: Figures) -> dict[str, Any]:
    """Return a row of Table 2 as JSON; models by name."""
    return {
        "real": real[row.name].as_json(),
        "other real images": others[row.name].as_json(),
        "models": {name: figure.as_json() for name, figure in zip(names, row.models, strict=True)},
        "nearest": None if row.verdict.best is None else names[row.verdict.best],
        "open_between": [names[i] for i in row.verdict.overlapping],
    }


def _run_json(training: Training) -> dict[str, Any]:
    """Return a run with the settings that decide its training, regardless of machine and folder."""
    settings = training.config.model_dump(mode="json", include={"recipe", "model", "loss", "optim", "train"})
    metric = training.config.loss.metric
    settings["loss"]["metric"] = None if metric is None else metric.name
    return {
        "name": training.name,
        "model": TITLES[training.kind],
        "conditional": training.is_conditional,
        "seed": training.config.seed,
        "settings": settings,
    }
