"""Snapshots of a run: losses on held-out images, pictures of samples and reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import ImageData
from ..data.conditions import Conditioning
from ..models import Model
from ..objectives import Noise
from ..objectives.interface import Losses
from ..pixels import to_uint8, to_unit
from ..report.animation import film_of_folder
from ..report.curves import draw_losses
from ..report.grid import grid, pairs, write_picture
from ..report.sheet import triptych
from ..runs.files import RunFolder
from .loop import Trainer

NUM_SAMPLES = 64
NUM_PAIRS = 32
NUM_COLUMNS = 8
_HELD_OUT = 2**40  # where the noise of held-out losses starts, counted in images; no run gets there

Terms = dict[str, dict[str, float]]
"""Part -> name -> loss, nats per image."""


@dataclass(frozen=True)
class HeldOut:
    """The held-out images that snapshots measure and show.

    Attributes:
        images: uint8 (N, H, W, C).
        c: conditions (N, A) of these images, for a conditional model.
    """

    images: Tensor
    c: Tensor | None = None

    @classmethod
    def of(cls, data: ImageData, num: int, conditioning: Conditioning | None) -> HeldOut:
        """The first ``num`` held-out images of these data."""
        first = slice(num)
        c = None if conditioning is None else conditioning.of_images(data.test, first)
        return cls(torch.from_numpy(np.array(data.test.images[first])), c)

    def first(self, num: int) -> HeldOut:
        """The first ``num`` of them."""
        return HeldOut(self.images[:num], None if self.c is None else self.c[:num])


def held_out_losses(trainer: Trainer, held_out: HeldOut, batch_size: int) -> Terms:
    """Mean losses on held-out images, with the same noise each time.

    Args:
        trainer: whose current objective is evaluated, with its live weights.
        held_out: images, and conditions for conditional networks.
        batch_size: images at a time; an incomplete last batch is left out, unless it is the only one.
    """
    images, c = held_out.images, held_out.c
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
        held_out: originals; the first `NUM_PAIRS` are shown.
        seed: of the codes.
        tensorboard: writer, if any.
    """

    def __init__(self, run: RunFolder, held_out: HeldOut, seed: int, tensorboard: Any = None) -> None:
        self.run, self.seed, self.tensorboard = run, seed, tensorboard
        shown = held_out.first(NUM_PAIRS)
        self.originals, self.c = shown.images, shown.c

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
        """Write samples from the model's default prior."""
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
