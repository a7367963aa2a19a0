"""Snapshots of a run: losses on held-out images, pictures of samples and reconstructions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import ImageSet
from ..models import Model
from ..objectives import Noise
from ..objectives.interface import Losses
from ..objectives.micro_batches import micro_batches
from ..report.animation import numbered_pictures, write_animation
from ..report.curves import draw_losses
from ..report.grid import Bytes, write_picture
from ..runs.opened import OpenedRun
from ..runs.run_folder import RECONSTRUCTIONS, SAMPLES, SAMPLES_GIF, SAMPLES_PRIOR, TRIPTYCHS, RunFolder
from ..views.reconstructions import reconstructions, triptych_of
from ..views.samples import samples
from .loop import Trainer
from .setup import Setup

NUM_SAMPLES = 64
NUM_PAIRS = 32
NUM_COLUMNS = 8
MOST_ROWS = 16  # of labels
_HELD_OUT = 2**40  # where the noise of held-out losses starts, counted in images; no run gets there

Terms = dict[str, dict[str, float]]
"""Part -> name -> loss, nats per image."""


def first_held_out(setup: Setup, at_most: int | None = None) -> ImageSet:
    """The first held-out images of a run, as many as its settings say, copied; not more than ``at_most``."""
    num = min(setup.config.train.held_out_images, len(setup.data.test))
    return setup.data.test.take(np.arange(num if at_most is None else min(num, at_most)))


def held_out_losses(trainer: Trainer, held_out: ImageSet, batch_size: int, c: Tensor | None = None) -> Terms:
    """Mean losses of held-out images, conditions ``c`` (N, A), with live weights and always the same noise.

    An incomplete last batch is left out, unless it is the only one. Micro-batches are those of training.
    """
    images = held_out.unit() if held_out.pixels.dtype == "float32" else torch.from_numpy(held_out.images)
    if len(images) == 1 < batch_size:  # a batch norm needs two: the image counts twice
        images, c = images.repeat(2, 1, 1, 1), None if c is None else c.repeat(2, 1)
    size = min(batch_size, len(images))
    s = trainer.settings
    parts = max(1, s.accumulate * size // batch_size)  # of the size that a micro-batch has in training
    totals: Losses = {}
    starts = range(0, len(images) - size + 1, size)
    for start in starts:
        x = trainer.network_range(images[start : start + size])
        of_c = None if c is None else c[start : start + size].to(trainer.device)
        noise = Noise.draw(
            size, s.latent_dim, seed=s.seed, images=_HELD_OUT + start, device=trainer.device, draws=s.draws
        )
        for share, some_x, some_noise, some_c in micro_batches(parts, x, noise, of_c):
            condition = {} if some_c is None else {"c": some_c}
            for part, terms in trainer.current.evaluate(some_x, some_noise, trainer.kl_factor(), **condition).items():
                place = totals.setdefault(part, {})
                for name, value in terms.items():
                    place[name] = share * value + place.get(name, torch.zeros_like(value))
    return {p: {n: float(v) / len(starts) for n, v in terms.items()} for p, terms in totals.items()}


class Pictures:
    """Grids of fixed codes and fixed originals, one file per snapshot.

    Samples of a label-conditional model have a row for each label; others of a conditional model are under held-out
    attributes.
    """

    def __init__(self, run: RunFolder, setup: Setup, tensorboard: Any = None) -> None:
        self.run, self.seed, self.tensorboard = run, setup.config.seed, tensorboard
        self.originals = first_held_out(setup, NUM_PAIRS)

    def take(self, model: Model, images: int) -> None:
        """Write the grids of a snapshot."""
        opened = OpenedRun(self.run.path, model=model)
        if model.prior_names:
            self._write(SAMPLES, self._samples(opened), images)
        if model.encoder is not None:
            view = replace(reconstructions(opened, self.originals), per_row=NUM_COLUMNS)
            self._write(RECONSTRUCTIONS, view.picture(), images)
            if model.prior_names:
                self._write(TRIPTYCHS, triptych_of(opened, self.originals, self.seed), images)

    def take_prior(self, model: Model) -> None:
        """Write samples from the model's default prior."""
        write_picture(self.run.path / SAMPLES_PRIOR, self._samples(OpenedRun(self.run.path, model=model)))

    def finish(self) -> None:
        """Write samples.gif and losses.png."""
        write_animation(self.run.path / SAMPLES_GIF, numbered_pictures(self.run.path / SAMPLES))
        draw_losses(self.run.records(), self.run.curves_path)

    def _samples(self, opened: OpenedRun) -> Bytes:
        num, conditioning = NUM_SAMPLES, opened.model().conditioning
        labels: Sequence[str] = ()
        if conditioning is not None and conditioning.kind == "labels":
            labels = conditioning.names[:MOST_ROWS]
            num = NUM_COLUMNS * len(labels)
        return replace(samples(opened, num, self.seed, labels=labels), per_row=NUM_COLUMNS).picture()

    def _write(self, folder: str, picture: Bytes, images: int) -> None:
        write_picture(self.run.path / folder / f"{images:012d}.png", picture)
        if self.tensorboard is not None:
            self.tensorboard.add_image(folder, picture, images, dataformats="HWC")
