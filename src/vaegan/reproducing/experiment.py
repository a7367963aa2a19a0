"""The whole experiment in order: data and regressor, unconditional models, then attribute-conditional ones by seed.

Finished work is not repeated: a training is recognised by its run folder, the figures of a model by what they were
computed from. The same call resumes where another stopped.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import Config
from ..data import open_data
from ..files import read_mapping, short_hash, write_json
from ..metrics import figures
from ..metrics.figures import Figures
from ..models import load
from ..models.serialization import file_digest
from ..progress import log
from ..runs.run_folder import MODEL, WEIGHTS
from ..training import train
from ..training.device import pick_device
from . import measurements
from .measurements import Regressor, open_regressor, r_squared
from .plan import TITLES, Training, plan
from .results import FORMAT, MeasureOptions, Results


def reproduce(
    base: Config, out: Path, *, num_seeds: int, options: MeasureOptions, overwrite: bool
) -> Iterator[Results]:
    """Train and measure all models, or resume where an earlier call stopped; yield the results after each seed.

    All trainings start from ``base`` (see `plan`); attribute-conditional models have ``num_seeds`` seeds. With
    ``overwrite`` what exists is trained again. Raises UserError if the data have no attributes or settings do not fit,
    Stopped after Ctrl-C or SIGTERM.
    """
    trainings = plan(base, num_seeds, out)
    lab = _Lab(base, out, options)
    results = lab.without_models()
    for number, training in enumerate(trainings, 1):
        log.info("%d of %d: %s", number, len(trainings), training.title)
        folder = out / training.name
        train(training.config, folder, overwrite=overwrite)
        results.add(training, folder, lab.measure(training, folder))
        if training.is_conditional and training.kind == list(TITLES)[-1]:
            yield results


class _Lab:
    """Data, regressor and device, which all models are measured with."""

    def __init__(self, base: Config, out: Path, options: MeasureOptions) -> None:
        self.base, self.out, self.options = base, out, options
        self.device: torch.device = pick_device(base.device)
        self.data = open_data(base.data)
        self.regressor: Regressor = open_regressor(
            self.data, out, seed=base.seed, num_images=options.regressor_images, device=self.device
        )
        self.images = self.data.test.some(options.num, base.seed)
        self._common = {"seed": base.seed, "batch_size": options.batch_size}

    def without_models(self) -> Results:
        """Measure what needs no model: the regressor, and the rows of real images."""
        regressor, images, common = self.regressor, self.images, self._common

        def compute() -> dict[str, Any]:
            num = self.options.num_samples
            of_real = {
                "real": measurements.similarity_of_real(regressor, images, **common),
                "others": measurements.similarity_of_others(regressor, images, num_samples=num, **common),
                "real_pixels": measurements.pixels_of_real(images, **common),
            }
            r2 = r_squared(regressor.of_images(images, self.options.batch_size), images).tolist()
            explained = {n: v if v == v else None for n, v in zip(regressor.names, r2, strict=True)}
            return {"explained": explained, **{name: figures.as_json(one) for name, one in of_real.items()}}

        cached = self._cached("real", "", compute)
        real, others, pixels = (figures.from_json(cached[name]) for name in ("real", "others", "real_pixels"))
        return Results(self.data, self.base, self.options, images, cached["explained"], real, others, pixels)

    def measure(self, training: Training, folder: Path) -> Figures:
        """Measure a model, unless these weights have been measured before."""

        def compute() -> dict[str, Any]:
            model = load(folder, device=self.device)
            if not training.is_conditional:
                return figures.as_json(measurements.pixels_of_model(model, self.images, **self._common))
            num = self.options.num_samples
            return figures.as_json(
                measurements.similarity_of_model(model, self.regressor, self.images, num_samples=num, **self._common)
            )

        return figures.from_json(self._cached(training.name, file_digest(folder / MODEL / WEIGHTS), compute))

    def _cached(self, name: str, weights: str, compute: Callable[[], Any]) -> Any:
        computed_from = {
            "format": FORMAT,
            "weights": weights,
            "regressor": self.regressor.fingerprint,
            "data": self.data.fingerprint,
            "attributes": short_hash(np.array(self.images.attributes).tobytes()),
            "num": len(self.images),
            "num_samples": self.options.num_samples,
            "seed": self.base.seed,
        }
        return cached_json(self.out / "measured" / f"{name}.json", computed_from, compute)


def cached_json(path: Path, computed_from: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
    """Return the result in a file if it was computed from the same things, else compute it and write the file."""
    saved = read_mapping(path)
    if saved.get("of") == json.loads(json.dumps(computed_from)):
        return saved["result"]
    result = compute()
    write_json(path, {"of": computed_from, "result": result})
    return result
