"""What a study does while it collects results: trains every variant with every seed, measures it, saves examples."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from vaegan.config import Config
from vaegan.models import Model
from vaegan.settings_io import with_settings

from .bases import SHARED_MARKS
from .charts import strip
from .measures import ReferenceData
from .results import Results
from .runs import Checkpoint, Diverged, Metrics, Runs


class Measure(Protocol):
    """Measures a model against reference data."""

    def __call__(self, model: Model, reference: ReferenceData) -> Metrics:
        """Return metrics by name."""


@dataclass
class Lab:
    """Where a study works.

    Attributes:
        options: of the command line.
        runs: of all studies.
        results: being filled.
        started: when, by `time.perf_counter`.
        trained: seconds that the runs took, whenever they were trained.
    """

    options: argparse.Namespace
    runs: Runs
    results: Results = field(default_factory=Results)
    started: float = field(default_factory=time.perf_counter)
    trained: float = 0.0
    references: dict[str, ReferenceData] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Seeds of the runs."""
        return range(self.options.seeds)

    @property
    def images(self) -> int:
        """Training images of each run."""
        return int(self.options.images)

    def marks(self, *shares: float) -> list[int]:
        """Return shares of the run's length as images seen."""
        return [round(share * self.images) for share in shares]

    def reference(self, config: Config) -> ReferenceData:
        """Return the reference data for a config."""
        key = f"{config.data.source} {config.data.size}"
        if key not in self.references:
            self.references[key] = ReferenceData(config, self.options.samples)
        return self.references[key]

    def config(self, config: Config, seed: int) -> Config:
        """Return settings with a seed and the overrides of the command line."""
        changes: dict[str, Any] = {"seed": seed, "data.root": self.options.root, **self.options.set}
        if self.options.data:
            changes["data.source"] = self.options.data
        return with_settings(config, changes)

    def checkpoint(self, config: Config, seed: int, images: int) -> Checkpoint:
        """Return the model of a variant's settings after so many images."""
        # A run whose rate falls with its length can't be stopped on the way.
        shared = config.model.network == "conv" and config.optim.schedule == "constant"
        return self.runs.at(self.config(config, seed), images, SHARED_MARKS if shared else ())

    def first_model(self, config: Config, images: int | None = None) -> Model | None:
        """Return the first seed's model after so many images (by default all); None if it diverged."""
        with contextlib.suppress(Diverged):
            return self.checkpoint(config, 0, images or self.images).model()
        return None

    def measure(self, variant: str, config: Config, marks: Sequence[int], measures: Mapping[str, Measure]) -> None:
        """Train a variant with every seed, and add a row of metrics at each mark.

        Args:
            variant: its name.
            config: its settings.
            marks: images seen, rising.
            measures: by name; a name means the same in all studies.
        """
        for seed in self.seeds:
            for images in marks:
                self.results.add(variant, seed, images, self._metrics(variant, config, seed, images, measures))
            with contextlib.suppress(Diverged):
                self.trained += self.checkpoint(config, seed, marks[-1]).seconds

    def add_strip(self, title: str, config: Config, make: Callable[[Model], Tensor]) -> None:
        """Save the images `(N, C, H, W)` that ``make`` gets out of the first seed's final model, unless it diverged."""
        if model := self.first_model(config):
            self.results.strips[title] = strip(make(model))

    def _metrics(
        self, variant: str, config: Config, seed: int, images: int, measures: Mapping[str, Measure]
    ) -> Metrics:
        begin = time.perf_counter()
        try:
            checkpoint = self.checkpoint(config, seed, images)
        except Diverged as error:
            self.log(f"{variant}, seed {seed}: diverged ({error})")
            return {}
        reference = self.reference(self.config(config, seed))
        metrics: Metrics = {}
        for name, measure in measures.items():
            metrics |= checkpoint.metrics(f"{name}-{reference.tag}", partial(measure, reference=reference))
        first = [f"{name} {value:.4g}" for name, value in metrics.items() if not isinstance(value, list)][:4]
        seconds = time.perf_counter() - begin
        self.log(f"{variant}, seed {seed}, {images:,} images ({seconds:.0f} s): {', '.join(first)}")
        return metrics

    def log(self, line: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.perf_counter() - self.started:5.0f} s] {line}", flush=True)
