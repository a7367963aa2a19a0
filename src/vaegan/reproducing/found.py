"""What was found: the figures of all runs so far, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..data import ImageData
from ..data.dataset import ImageSet, some_of
from ..evaluation.comparison import Row
from ..evaluation.figures import Figures
from ..loading import load
from ..models import Model
from ..version import __version__
from . import similarity
from .plan import TITLES, Training

FORMAT = 1


@dataclass(frozen=True)
class Measuring:
    """How it is measured.

    Attributes:
        num: attribute vectors asked for, and held-out images, at most.
        num_samples: images made for each vector.
        regressor_images: images that the regressor sees in training; None for as many as suit the data.
        batch_size: images computed at a time.
    """

    num: int = 1_000
    num_samples: int = 10
    regressor_images: int | None = None
    batch_size: int = 256


@dataclass
class Found:
    """What is known so far.

    Attributes:
        data: the images.
        base: settings that all trainings started from.
        measuring: how it was measured.
        explained: R^2 of the regressor for each attribute, None where it is constant.
        num: attribute vectors that were asked for.
        real: figures of real images with their own attributes.
        others: of real images with others'.
        told: of each kind that is told attributes, one for each seed.
        real_pixels: sharpness of real images.
        pixels: of each plain kind.
        runs: folders of all models so far, by kind, plain and told.
    """

    data: ImageData
    base: Config
    measuring: Measuring
    explained: dict[str, float | None]
    num: int
    real: Figures
    others: Figures
    real_pixels: Figures
    told: dict[str, list[Figures]] = field(default_factory=dict)
    pixels: dict[str, Figures] = field(default_factory=dict)
    runs: dict[str, dict[str, list[Path]]] = field(default_factory=lambda: {"plain": {}, "told": {}})

    @property
    def images(self) -> ImageSet:
        """The held-out images whose attributes are asked for."""
        return some_of(self.data.test, self.measuring.num, self.base.seed)

    @property
    def rows(self) -> list[Row]:
        """Table 2."""
        return similarity.table(self.real, {TITLES[kind]: runs for kind, runs in self.told.items()})

    def models(self, which: str) -> dict[str, Model]:
        """Return the first model of each kind, 'plain' or 'told', by its title."""
        return {TITLES[kind]: load(runs[0]) for kind, runs in self.runs[which].items()}


def as_json(found: Found, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return everything that was found as plain data."""
    data, names = found.data, [TITLES[kind] for kind in found.told]
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
        "asked": {"vectors": found.num, "samples": found.measuring.num_samples, "seed": found.base.seed},
        "regressor": {"explained": found.explained},
        "table2": similarity.as_json(found.rows, found.real, found.others, names),
        "pixels": {"real": found.real_pixels, **{TITLES[kind]: one for kind, one in found.pixels.items()}},
        "runs": [
            {
                "name": one.name,
                "model": TITLES[one.kind],
                "told": one.is_told,
                "seed": one.config.seed,
                "settings": _settings(one),
            }
            for one in trainings
        ],
    }


def _settings(training: Training) -> dict[str, Any]:
    """Return what decides the training, whatever machine and folder it is in."""
    config = training.config.model_dump(mode="json", include={"recipe", "model", "loss", "optim", "train"})
    metric = training.config.loss.metric
    config["loss"]["metric"] = None if metric is None else metric.name
    return config
