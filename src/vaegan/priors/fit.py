"""The kinds of prior, and fitting them to codes; each is scored by the likelihood of held-out codes."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError, nearest
from .by_label import ByLabel
from .flow import Flow
from .gaussian import Gaussian
from .kde import KernelDensity
from .mixture import Mixture
from .prior import Normal, PlainPrior, Prior, Progress, Score

PRIORS: dict[str, type[PlainPrior]] = {kind.name: kind for kind in (Normal, Gaussian, Mixture, KernelDensity, Flow)}
DEFAULT = ("gaussian", "mixture", "kde")  # those that are fitted in less than a minute

_FEWEST = 20  # codes that can be fitted to
_HELD_OUT = 0.1  # share of the codes


def fit_priors(
    codes: Tensor,
    *,
    names: Sequence[str] | None = None,
    labels: Tensor | None = None,
    num_labels: int = 0,
    seed: int,
    on_progress: Progress | None = None,
) -> dict[str, Prior]:
    """Fit priors to codes; a tenth of the codes, drawn by the seed, is held out to choose and score by.

    Args:
        codes: float `(N, Z)`: draws z ~ q(z|x), one of each training image, or the codes of a plain autoencoder.
        names: which of `PRIORS`; those of `DEFAULT` if None.
        labels: int `(N,)` in 0 to num_labels - 1, for priors p(z|label).
        num_labels: number of labels.
        seed: of all random choices; torch's global generator is not used.
        on_progress: called with a few words at each stage.

    Returns:
        The priors by name, in the order of `names`, each with `score` and `seconds`.

    Raises:
        UserError: if a name is unknown, there are too few codes, or they are not finite.
    """
    kinds = {name: _kind(name) for name in (DEFAULT if names is None else names)}
    codes = codes.detach().cpu().float()
    if len(codes) < _FEWEST:
        raise UserError(f"only {len(codes)} codes to fit a prior to; {_FEWEST} are needed: take more images")
    if not codes.isfinite().all():
        raise UserError("some codes are not finite, so no prior can be fitted: the training diverged")
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    held_out, train = order.tensor_split([max(2, int(_HELD_OUT * len(codes)))])
    priors: dict[str, Prior] = {}
    for name, kind in kinds.items():
        start = time.perf_counter()
        fit = _Fit(codes[train], codes[held_out], seed, functools.partial(_say, on_progress, name))
        if labels is None:
            prior = fit.plain(kind)
        else:
            labels = labels.cpu().long()
            prior = fit.of_labels(kind, labels[train], labels[held_out], num_labels)
        prior.score = Score.of(prior.log_prob(codes[held_out[: kind.num_scored]]))
        prior.seconds = time.perf_counter() - start
        priors[name] = prior
    return priors


@dataclass(frozen=True)
class _Fit:
    """The arguments that all fits share."""

    codes: Tensor
    held_out: Tensor
    seed: int
    on_progress: Progress

    def plain(self, kind: type[PlainPrior]) -> Prior:
        return kind.fit(self.codes, self.held_out, seed=self.seed, on_progress=self.on_progress)

    def of_labels(self, kind: type[PlainPrior], labels: Tensor, held_out_labels: Tensor, num_labels: int) -> Prior:
        if kind is Normal:
            return self.plain(kind)
        if kind is Flow:  # one network for all labels
            return Flow.fit(
                self.codes,
                self.held_out,
                seed=self.seed,
                on_progress=self.on_progress,
                labels=labels,
                num_labels=num_labels,
            )
        return ByLabel.fit_each(
            kind,
            self.codes,
            self.held_out,
            seed=self.seed,
            on_progress=self.on_progress,
            labels=labels,
            held_out_labels=held_out_labels,
            num_labels=num_labels,
        )


def _say(on_progress: Progress | None, name: str, text: str) -> None:
    if on_progress is not None:
        on_progress(f"{name}: {text}")


def best_prior(priors: Mapping[str, Prior]) -> str:
    """Return the name of the prior with the highest held-out log-likelihood; N(0, I) if none was scored."""
    scored = {name: prior.score.mean for name, prior in priors.items() if prior.score is not None}
    return max(scored, key=lambda name: scored[name], default=Normal.name)


def _kind(name: str) -> type[PlainPrior]:
    if name not in PRIORS:
        raise UserError(f"unknown prior '{name}'{nearest(name, PRIORS)}; there are {', '.join(PRIORS)}")
    return PRIORS[name]
