"""A study from end to end: train what is missing, measure, judge by rules, write the page; or draw it again.

What a study says of itself, and the three functions it is made of, are a `Study`; `run_study` is the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

import vaegan
from vaegan.config import Config
from vaegan.errors import UserError
from vaegan.models import Model
from vaegan.settings_io import with_settings

from .bases import SHARED_MARKS
from .charts import Draw, save_figure, strip
from .measures import Eye
from .page import write_page
from .results import Results, Statement, read_results
from .runs import Diverged, Figures, Moment, Runs


class Measure(Protocol):
    """Looks at a model through an eye."""

    def __call__(self, model: Model, eye: Eye) -> Figures:
        """Return figures by name."""


@dataclass(frozen=True)
class Study:
    """What is asked, and how it is answered.

    Attributes:
        name: of its files.
        number: of the claim.
        title: the question, in a few words.
        claim: what is claimed, and by whom.
        how: what was trained and measured, in Markdown; ``{name}`` stands for an entry of the results' ``about``.
        rule: how the verdict follows from the figures.
        images: training images of each run.
        collect: trains and measures; fills the results.
        judge: results -> statements with verdicts.
        table: results -> Markdown.
        draw: results -> matplotlib figure.
        seeds: how many.
        source: of the images.
    """

    name: str
    number: int
    title: str
    claim: str
    how: str
    rule: str
    images: int
    collect: Callable[[Lab], None]
    judge: Callable[[Results], list[Statement]]
    table: Callable[[Results], str]
    draw: Draw
    seeds: int = 3
    source: str = "mnist"


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
    _eyes: dict[str, Eye] = field(default_factory=dict)

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

    def eye(self, config: Config) -> Eye:
        """Return the eye for a config's data."""
        key = f"{config.data.source} {config.data.size}"
        if key not in self._eyes:
            self._eyes[key] = Eye(config, self.options.samples)
        return self._eyes[key]

    def config(self, config: Config, seed: int) -> Config:
        """Return settings with a seed and what the command line wants."""
        changes: dict[str, Any] = {"seed": seed, "data.root": self.options.root, **self.options.set}
        if self.options.data:
            changes["data.source"] = self.options.data
        return with_settings(config, changes)

    def moment(self, config: Config, seed: int, images: int) -> Moment:
        """Return a run of a variant's settings at a mark."""
        return self.runs.at(self.config(config, seed), images, SHARED_MARKS if config.model.network == "conv" else ())

    def follow(self, variant: str, config: Config, marks: Sequence[int], measures: Mapping[str, Measure]) -> None:
        """Train a variant with every seed, and add a row of figures at each mark.

        Args:
            variant: its name.
            config: its settings.
            marks: images seen, rising.
            measures: by name; a name means the same in all studies.
        """
        for seed in self.seeds:
            for images in marks:
                self.results.add(variant, seed, images, self._figures(variant, config, seed, images, measures))
            with contextlib.suppress(Diverged):
                self.trained += self.moment(config, seed, marks[-1]).seconds

    def picture(self, name: str, config: Config, make: Callable[[Model], Tensor], columns: int = 16) -> None:
        """Keep images `(N, C, H, W)` that ``make`` gets out of the first seed's run at its end; none if it diverged."""
        try:
            model = self.moment(config, 0, self.images).model()
        except Diverged:
            return
        self.results.pictures[name] = strip(make(model), columns)

    def _figures(
        self, variant: str, config: Config, seed: int, images: int, measures: Mapping[str, Measure]
    ) -> Figures:
        begin = time.perf_counter()
        try:
            moment = self.moment(config, seed, images)
        except Diverged as error:
            self.say(f"{variant}, seed {seed}: diverged ({error})")
            return {}
        eye = self.eye(self.config(config, seed))
        found: Figures = {}
        for name, measure in measures.items():
            found |= moment.figures(f"{name}-{eye.tag}", partial(measure, eye=eye))
        told = ", ".join(
            f"{name} {value:.4g}" for name, value in list(found.items())[:4] if not isinstance(value, list)
        )
        self.say(f"{variant}, seed {seed}, {images:,} images ({time.perf_counter() - begin:.0f} s): {told}")
        return found

    def say(self, line: str) -> None:
        """Tell how far it is."""
        print(f"[{time.perf_counter() - self.started:5.0f} s] {line}", flush=True)


def run_study(study: Study, words: Sequence[str] | None = None) -> int:
    """Do what the command line of a study asks; return the exit code."""
    options = parse(study, words)
    page = options.docs / "studies" / f"{study.name}.json"
    try:
        results = read_results(page) if options.redraw else collect(study, options)
        statements = study.judge(results)
        identity = {"number": study.number, "name": study.name, "title": study.title, "claim": study.claim}
        save_figure(study.draw(results), options.docs / "images" / "studies" / f"{study.name}.png")
        results.save(page, identity, statements)
        write_page(study, results, statements, options.docs / "studies" / f"{study.name}.md")
    except UserError as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return 2
    for statement in statements:
        print(f"{statement.word}: {statement.text} {statement.reason}")
    return 0


def collect(study: Study, options: argparse.Namespace) -> Results:
    """Train and measure; return the results with what they came from."""
    lab = Lab(options, Runs(options.work))
    study.collect(lab)
    about = lab.results.about
    about |= {"source": options.data or study.source, "seeds": options.seeds, "images": options.images}
    about |= {"samples": min((eye.num for eye in lab._eyes.values()), default=options.samples)}
    marks = sorted({row["images"] for row in lab.results.rows})
    about |= {"marks": ", ".join(f"{mark:,}" for mark in marks)}
    about |= {"set": dict(options.set), "seconds": round(lab.trained)}
    about |= {"threads": torch.get_num_threads(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    about |= {"torch": torch.__version__.split("+")[0], "vaegan": vaegan.__version__}
    return lab.results


def parse(study: Study, words: Sequence[str] | None) -> argparse.Namespace:
    """Read a study's command line."""
    parser = argparse.ArgumentParser(
        prog=f"studies/{study.name}.py", description=f"Study {study.number}: {study.title} {study.claim}"
    )
    add = parser.add_argument
    add("--data.root", dest="root", type=Path, metavar="DIR", help="folder of the data's official files")
    add("--data", metavar="SOURCE", help=f"another source than {study.source}, with labels")
    add("--seeds", type=int, default=study.seeds, metavar="N", help="how many seeds (%(default)s)")
    add("--images", type=int, default=study.images, metavar="N", help="training images of each run (%(default)s)")
    add("--samples", type=int, default=5000, metavar="N", help="images that are measured (%(default)s)")
    add("--set", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="any setting of all runs")
    add("--work", type=Path, default=Path("runs/studies"), metavar="DIR", help="where runs are kept (%(default)s)")
    add("--docs", type=Path, default=Path("docs"), metavar="DIR", help="where the page goes (%(default)s)")
    add("--redraw", action="store_true", help="draw the page again out of its JSON, without training")
    options = parser.parse_args(words)
    options.set = dict(options.set)
    return options
