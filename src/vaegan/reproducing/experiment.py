"""The whole in its order: data and regressor, plain models, then seed by seed those that are told attributes.

What is finished is kept: a training by its run folder, figures of a run by what they were computed of. The same call
goes on where another stopped. Page and JSON are written anew after each seed, of what there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config import Config
from ..data import open_data
from ..data.dataset import some_of
from ..evaluation.figures import Figures
from ..files import write_json, write_text
from ..loading import load
from ..models.serialization import weights_digest
from ..training import train
from ..training.device import pick_device
from . import page, pixels, similarity
from .found import FORMAT, Found, Measuring, as_json
from .kept import kept
from .plan import TITLES, Training, plan
from .regressor import explained, open_regressor

log = logging.getLogger("vaegan")
NAME = "paper"
"""Of the page, the JSON and the table in Markdown."""


def reproduce(
    base: Config, out: Path, *, num_seeds: int, measuring: Measuring | None = None, overwrite: bool = False
) -> Path:
    """Train, measure, write the page, or go on where an earlier call stopped.

    Args:
        base: settings that all trainings start from, see `plan`.
        out: folder of everything.
        num_seeds: of the models that are told attributes.
        measuring: how it is measured.
        overwrite: train anew what is there.

    Returns:
        The page; JSON and Markdown of the same name lie beside it.

    Raises:
        UserError: if the data have no attributes or settings do not do; one line with the remedy.
        Stopped: if Ctrl-C or SIGTERM asked for it; everything is saved, and the same call goes on.
    """
    measuring = measuring or Measuring()
    trainings = plan(base, num_seeds, out)
    work = _Work(base, out, measuring)
    for number, training in enumerate(trainings, 1):
        log.info("%d of %d: %s", number, len(trainings), training.title)
        train(training.config, out / training.name, overwrite=overwrite)
        work.measure(training)
        if number == len(trainings) or (training.is_told and training.kind == list(TITLES)[-1]):
            work.write(trainings[:number])
    return out / f"{NAME}.html"


class _Work:
    """Measures what was trained.

    Args:
        base: settings that all trainings start from.
        out: folder of everything.
        measuring: how.

    Raises:
        UserError: if the data have no attributes.
    """

    def __init__(self, base: Config, out: Path, measuring: Measuring) -> None:
        self.out, self.measuring = out, measuring
        self.device = pick_device(base.device)
        self.data = open_data(**base.data.opening())
        self.regressor = open_regressor(
            self.data, out, seed=base.seed, num_images=measuring.regressor_images, device=self.device
        )
        self.seed, self.batch_size = base.seed, measuring.batch_size
        self.images = some_of(self.data.test, measuring.num, self.seed)
        self.found = self._first(base)

    def _first(self, base: Config) -> Found:
        """What needs no model: how well the regressor sees, and the rows of real images."""
        regressor, images, seed, size = self.regressor, self.images, self.seed, self.batch_size

        def of_real() -> dict[str, Any]:
            r2 = explained(regressor.of_images(images, size), images).tolist()
            return {
                "explained": {n: v if v == v else None for n, v in zip(regressor.names, r2, strict=True)},
                "real": similarity.of_real(regressor, images, seed=seed, batch_size=size),
                "others": similarity.of_others(
                    regressor, images, num_samples=self.measuring.num_samples, seed=seed, batch_size=size
                ),
                "real_pixels": pixels.of_real(images, seed=seed, batch_size=size),
            }

        known = self._kept("real", "", of_real)
        return Found(self.data, base, self.measuring, num=len(images), **known)

    def measure(self, training: Training) -> None:
        """Measure a model, or read what was measured of just this one."""
        folder = self.out / training.name
        found, which = self.found, "told" if training.is_told else "plain"
        compute = self._told if training.is_told else self._plain
        figures = self._kept(training.name, weights_digest(folder / "model"), lambda: compute(folder))
        if training.is_told:
            found.told.setdefault(training.kind, []).append(figures)
        else:
            found.pixels[training.kind] = figures
        found.runs[which].setdefault(training.kind, []).append(folder)

    def _plain(self, folder: Path) -> Figures:
        model = load(folder, device=self.device)
        return pixels.of_model(model, self.images, seed=self.seed, batch_size=self.batch_size)

    def _told(self, folder: Path) -> Figures:
        return similarity.of_model(
            load(folder, device=self.device), self.regressor, self.images,
            num_samples=self.measuring.num_samples, seed=self.seed, batch_size=self.batch_size,
        )  # fmt: skip

    def _kept(self, name: str, weights: str, compute: Callable[[], Any]) -> Any:
        of = {
            "format": FORMAT,
            "weights": weights,
            "regressor": self.regressor.fingerprint,
            "data": self.data.fingerprint,
            "num": len(self.images),
            "num_samples": self.measuring.num_samples,
            "seed": self.seed,
        }
        return kept(self.out / "measured" / f"{name}.json", of, compute)

    def write(self, trainings: Sequence[Training]) -> None:
        """Write page, JSON and Markdown of what is known so far."""
        path = self.out / f"{NAME}.html"
        write_text(path, page.page_of(self.found, trainings))
        write_json(path.with_suffix(".json"), as_json(self.found, trainings))
        write_text(path.with_suffix(".md"), page.markdown_of(self.found))
        log.info("written: %s, .json and .md beside it", path)
