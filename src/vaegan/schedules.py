"""Schedules of the KL weight, the learning rate and periodic events: pure functions of images seen.

So a resumed run does the same. The exception is `Plateau`, whose state is in the checkpoint.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KLContext:
    """The inputs of a KL schedule.

    Attributes:
        epoch: epochs seen, a fraction (images seen over images of the training set).
        length: `loss.kl_epochs`.
        batch_size: images per step over all processes, B.
        latent_dim: dimensions of z.
    """

    epoch: float
    length: float
    batch_size: int
    latent_dim: int


KL_SCHEDULES: dict[str, Callable[[KLContext], float]] = {
    "constant": lambda c: 1.0,
    # Munjal's VAE_GAN: "almost always, KL-term weight equal to 1/batch_size works".
    "inverse-batch": lambda c: 1.0 / c.batch_size,
    "inverse-latent": lambda c: 1.0 / c.latent_dim,
    # Bowman et al., arXiv:1511.06349, section 3.1: a ramp from 0 to 1.
    "linear": lambda c: min(c.epoch / c.length, 1.0),
    # Munjal's VAE_GAN: 1 / (1 + e^(5 - epoch/3)), half way up at epoch 15.
    "sigmoid": lambda c: 1.0 / (1.0 + math.exp(min(5.0 - c.epoch / 3.0, 700.0))),
    # Fu et al., arXiv:1903.10145: a ramp over the first half of each cycle, then 1.
    "cyclic": lambda c: min(2.0 * (c.epoch % c.length) / c.length, 1.0),
    # Grows e-fold every `length` epochs from 1/100, without bound: a counterexample that diverges.
    "exponential": lambda c: 0.01 * math.exp(min(c.epoch / c.length, 80.0)),
}


def kl_factor(name: str, context: KLContext) -> float:
    """Return the factor by which schedule ``name`` multiplies `loss.kl_weight` now."""
    return KL_SCHEDULES[name](context)


LR_SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda progress, final: 1.0,
    "linear": lambda progress, final: 1.0 - progress * (1.0 - final),
    # Loshchilov & Hutter, arXiv:1608.03983, eq. 5, one half period.
    "cosine": lambda progress, final: final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress)),
    # The authors' code: start - (t/T)^0.75 (start - stop).
    "anneal": lambda progress, final: 1.0 - progress**0.75 * (1.0 - final),
    # Constant here; `Plateau` lowers the rate of each part by its held-out losses.
    "plateau": lambda progress, final: 1.0,
}


def lr_factor(name: str, images: int, total: int, *, final: float = 0.0, warmup: int = 0) -> float:
    """Return the factor on the learning rate after ``images`` of ``total`` images.

    Args:
        name: key of `LR_SCHEDULES`.
        images: images seen.
        total: images of the whole run.
        final: factor reached at the end, in [0, 1].
        warmup: images over which the factor first rises linearly.
    """
    factor = LR_SCHEDULES[name](min(images / max(total, 1), 1.0), final)
    return factor * min((images + 1) / warmup, 1.0) if warmup else factor


class Plateau:
    """Lowers the learning rate of each part where its held-out loss no longer falls.

    At each snapshot, a part whose held-out total has not fallen below its lowest for ``patience`` snapshots gets its
    rate multiplied by ``factor``, down to ``least`` times its first rate. The wait then starts over.

    Args:
        patience: snapshots without improvement after which a rate falls.
        factor: what it is multiplied by, in (0, 1).
        least: lowest factor on the first rate.
    """

    def __init__(self, patience: int, factor: float, least: float = 0.0) -> None:
        self.patience, self.factor, self.least = patience, factor, least
        self._factors: dict[str, float] = {}
        self._best: dict[str, float] = {}
        self._waited: dict[str, int] = {}

    def factor_of(self, part: str) -> float:
        """The factor on a part's rate now."""
        return self._factors.get(part, 1.0)

    def update(self, totals: Mapping[str, float]) -> None:
        """Update the factors from the held-out totals of a snapshot, by part."""
        for part, total in totals.items():
            if total < self._best.get(part, math.inf):
                self._best[part], self._waited[part] = total, 0
                continue
            self._waited[part] = self._waited.get(part, 0) + 1
            if self._waited[part] >= self.patience:
                self._factors[part] = max(self.least, self.factor_of(part) * self.factor)
                self._waited[part] = 0

    def state(self) -> dict[str, Any]:
        """All that later calls depend on, as plain data; a copy."""
        return {"factors": dict(self._factors), "best": dict(self._best), "waited": dict(self._waited)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Return to a `state`."""
        self._factors, self._best = dict(state["factors"]), dict(state["best"])
        self._waited = dict(state["waited"])


@dataclass(frozen=True)
class Cadence:
    """Due in each step that reaches or passes a multiple of ``every``, and in the last step.

    The count alone decides, so a resumed run gets the same answers as one that was never interrupted.

    Attributes:
        every: the interval, at least 1.
        step: how much a step adds to the count.
        end: the count after the last step; None if there is no last step.

    Examples:
        >>> cadence = Cadence(200, step=64, end=320)
        >>> [images for images in range(64, 321, 64) if cadence.due(images)]
        [256, 320]
    """

    every: int
    step: int = 1
    end: int | None = None

    def due(self, count: int) -> bool:
        """Whether it is due in the step after which the count is ``count``."""
        return self.passes_multiple(count) or (self.end is not None and count >= self.end)

    def passes_multiple(self, count: int) -> bool:
        """Whether it is due there regardless of the end, so that a longer run gives the same answer."""
        return count // self.every != (count - self.step) // self.every
