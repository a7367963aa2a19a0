"""Snapshots: what a run shows of itself at a moment. Grids, held-out losses, means of records."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models import Model
from ..objectives import Noise
from ..objectives.interface import Losses
from ..pixels import to_uint8, to_unit
from ..report.animation import film_of_folder
from ..report.curves import draw_losses
from ..report.grid import grid, pairs, write_picture
from ..report.sheet import triptych
from ..runs.files import RunFolder
from .loop import Record, Trainer

NUM_SAMPLES = 64
NUM_PAIRS = 32
NUM_COLUMNS = 8
_HELD_OUT = 2**40  # where the noise of held-out losses starts, counted in images; no run gets there


class RunningMeans:
    """Means of what the records since the last look held; numbers are read only then, so a GPU need not wait."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = defaultdict(int)
        self._skipped: dict[str, int] = defaultdict(int)
        self.steps = 0

    def add(self, record: Record) -> None:
        """Take in one step."""
        self.steps += 1
        for part, terms in record.losses.items():
            for name, value in terms.items():
                self._add(("losses", part, name), value)
        for part, norm in record.gradients.items():
            self._add(("gradients", part), norm)
        for name, value in record.routes.items():
            self._add(("routes", name), value)
        for part in record.skipped:
            self._skipped[part] += 1

    def _add(self, key: tuple[str, ...], value: Tensor) -> None:
        value = value.detach()
        self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._counts[key] += 1

    def take(self) -> dict[str, Any]:
        """Return the means as nested plain numbers, and start anew."""
        out: dict[str, Any] = {"losses": {}, "gradients": {}, "routes": {}}
        for key, total in self._sums.items():
            *path, last = key
            place = out
            for name in path:
                place = place.setdefault(name, {})
            place[last] = float(total) / self._counts[key]
        if self._skipped:
            out["skipped"] = {part: count / self.steps for part, count in self._skipped.items()}
        self._clear()
        return out


def held_out_losses(
    trainer: Trainer, images: Tensor, batch_size: int, c: Tensor | None = None
) -> dict[str, dict[str, float]]:
    """Mean losses on held-out images, with the same noise each time.

    Args:
        trainer: whose current objective is evaluated, with its live weights.
        images: uint8 (N, H, W, C).
        batch_size: images at a time; a rest that does not fill a batch is left out, unless it is all there is.
        c: conditions (N, A) of these images, for conditional networks.
    """
    if len(images) == 1 < batch_size:  # a batch norm needs two: the image counts twice
        images, c = images.repeat(2, 1, 1, 1), None if c is None else c.repeat(2, 1)
    size = min(batch_size, len(images))
    totals: Losses = {}
    starts = range(0, len(images) - size + 1, size)
    for start in starts:
        x = trainer.network_range(images[start : start + size])
        noise = Noise.draw(
            size,
            trainer.settings.latent_dim,
            seed=trainer.settings.seed,
            images=_HELD_OUT + start,
            device=trainer.device,
        )
        given = {} if c is None else {"c": c[start : start + size].to(trainer.device)}
        for part, terms in trainer.current.evaluate(x, noise, trainer.kl_factor(), **given).items():
            for name, value in terms.items():
                place = totals.setdefault(part, {})
                place[name] = place.get(name, torch.zeros_like(value)) + value
    return {p: {n: float(v) / len(starts) for n, v in terms.items()} for p, terms in totals.items()}


class Pictures:
    """Grids of fixed codes and fixed originals, one file per snapshot.

    A conditional model shows a row of samples for each label, or samples under held-out attributes; in a triptych they
    are under the originals' own.

    Args:
        run: where they go.
        originals: uint8 (N, H, W, C), held out.
        seed: of the codes.
        tensorboard: writer, if any.
        c: conditions (N, A) of the originals, for a conditional model.
    """

    def __init__(
        self, run: RunFolder, originals: Tensor, seed: int, tensorboard: Any = None, c: Tensor | None = None
    ) -> None:
        self.run, self.seed, self.tensorboard = run, seed, tensorboard
        self.originals = originals[:NUM_PAIRS]
        self.c = None if c is None else c[:NUM_PAIRS]

    def take(self, model: Model, images: int) -> None:
        """Write the grids of this moment."""
        name = f"{images:012d}.png"
        samples, x_tilde, originals = None, None, self.originals.numpy()
        if model.kind != "ae":
            samples = self._samples(model)
            self._write(self.run.path / "samples" / name, grid(samples, columns=NUM_COLUMNS), images)
        if model.encoder is not None:
            x = to_unit(self.originals)
            x_tilde = to_uint8(model.reconstruct(x, condition=self.c))
            self._write(
                self.run.path / "reconstructions" / name, pairs(originals, x_tilde, columns=NUM_COLUMNS), images
            )
        if samples is not None and x_tilde is not None:
            if self.c is not None:
                samples = to_uint8(model.sample(len(x_tilde), seed=self.seed, condition=self.c))
            self._write(
                self.run.path / "triptychs" / name, triptych(originals, x_tilde, samples[: len(x_tilde)]), images
            )

    def take_prior(self, model: Model) -> None:
        """Write new images of the model's default prior."""
        write_picture(self.run.path / "samples-prior.png", grid(self._samples(model), columns=NUM_COLUMNS))

    def _samples(self, model: Model) -> NDArray[np.uint8]:
        conditioning = model.conditioning
        if conditioning is None:
            return to_uint8(model.sample(NUM_SAMPLES, seed=self.seed))
        c = conditioning.in_rows(NUM_COLUMNS, NUM_SAMPLES)
        return to_uint8(model.sample(len(c), seed=self.seed, condition=c))

    def _write(self, path: Path, sheet: Any, images: int) -> None:
        write_picture(path, sheet)
        if self.tensorboard is not None:
            self.tensorboard.add_image(path.parent.name, sheet, images, dataformats="HWC")

    def finish(self) -> None:
        """Write samples.gif and losses.png."""
        film_of_folder(self.run.path / "samples", self.run.path / "samples.gif")
        draw_losses(self.run.records(), self.run.path / "losses.png")
