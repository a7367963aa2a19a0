"""The kinds of prior, and fitting them to codes; each is scored by the log-likelihood of held-out codes."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, one_of
from .flow import Flow
from .gaussian import Gaussian
from .kde import KernelDensity
from .mixture import Mixture
from .prior import FittedPrior, Normal, Prior, Progress, Score, choose, under

log = logging.getLogger("vaegan")

PRIORS: dict[str, type[FittedPrior]] = {kind.name: kind for kind in (Normal, Gaussian, Mixture, KernelDensity, Flow)}
DEFAULT = ("gaussian", "mixture", "kde")  # each takes less than a minute

_FEWEST = 20  # codes, at least
_HELD_OUT = 0.1  # share of the codes
_ENOUGH = 50  # codes of a label; with fewer, its prior is fitted to all codes


def fit_priors(
    codes: Tensor,
    *,
    names: Sequence[str] | None = None,
    labels: Tensor | None = None,
    num_labels: int = 0,
    label_names: Sequence[str] = (),
    seed: int,
    on_progress: Progress | None = None,
    code_shape: Sequence[int] = (),
    flow_steps: int | None = None,
    device: str | torch.device = "cpu",
    others: Mapping[str, Prior] = {},
) -> dict[str, Prior]:
    """Fit priors to codes; a tenth of the codes, drawn by the seed, is held out to choose and score by.

    Args:
        codes: float `(N, Z)`: draws z ~ q(z|x), one of each training image, or the codes of a plain autoencoder.
        names: which of `PRIORS`; those of `DEFAULT` if None.
        labels: int `(N,)` in 0 to num_labels - 1, for priors p(z|label).
        num_labels: number of labels.
        label_names: what progress calls them; their numbers if empty.
        seed: of all random choices; torch's global generator is not used.
        on_progress: called with a few words at each stage.
        code_shape: (C, h, w) if the codes are maps, flattened: a flow takes them as maps.
        flow_steps: training steps of a flow; 8000 if None, 5000 over maps.
        device: where a flow over maps is trained.
        others: fitted before; they are scored again, by the same codes.

    Returns:
        The priors by name, in the order of `names`, each with `seconds`, and the others; all but flows over maps have
        a `score`.

    Raises:
        UserError: if a name is unknown, there are too few codes, they are not finite, labels do not fit, or flow_steps
            is below 1.
    """
    names = DEFAULT if names is None else names
    for name in names:
        one_of("prior", name, PRIORS)
    codes = codes.detach().cpu().float()
    if len(codes) < _FEWEST:
        raise UserError(f"only {len(codes)} codes to fit a prior to, and {_FEWEST} are needed; use more images")
    if not codes.isfinite().all():
        raise UserError("some codes are not finite, so no prior can be fitted: the training diverged")
    if labels is not None:
        if len(labels) != len(codes):
            raise UserError(f"{len(labels)} labels for {len(codes)} codes; give one label for each code")
        low, high = int(labels.min()), int(labels.max())
        if not 0 <= low <= high < num_labels:
            raise UserError(f"labels are from {low} to {high}, not from 0 to {num_labels - 1}; set num_labels")
    if flow_steps is not None and flow_steps < 1:
        raise UserError(f"flow_steps must be at least 1, not {flow_steps}")
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    held_out, train = order.tensor_split([max(2, int(_HELD_OUT * len(codes)))])
    labels = None if labels is None else labels.cpu().long()
    scored = [*names, *(prior.name for prior in others.values() if not prior.code_shape)]
    num_scored = min(PRIORS[name].num_scored for name in scored)  # scores are compared
    report = on_progress or (lambda text: None)
    priors: dict[str, Prior] = {}
    for name in names:
        start, kind = time.perf_counter(), PRIORS[name]
        shared: dict[str, Any] = {"codes": codes[train], "held_out": codes[held_out], "seed": seed}
        shared["on_progress"] = lambda text, name=name: report(f"{name}: {text}")
        by_label: dict[str, Any] = {} if labels is None else {"labels": labels[train], "num_labels": num_labels}
        prior: Prior
        if kind is Flow:  # one network for all labels
            prior = Flow.fit(**shared, **by_label, code_shape=code_shape, device=device, steps=flow_steps)
        elif labels is None or kind is Normal:
            prior = kind.fit(**shared)
        else:
            by_label |= {"held_out_labels": labels[held_out], "label_names": label_names}
            prior = ByLabel.fit_each(kind, **shared, **by_label)
        prior.seconds = time.perf_counter() - start
        priors[name] = prior
    priors |= others
    for prior in priors.values():
        if not prior.code_shape:
            prior.score = Score.of(prior.log_prob(codes[held_out[:num_scored]]))
    return priors


def best_prior(priors: Mapping[str, Prior]) -> str:
    """Return the name of the prior with the highest held-out log-likelihood; N(0, I) if none was scored.

    Of those that are equal in two decimals, as a score is printed, it is the simplest: the first in `PRIORS`. One of
    maps has no score and comes before all others.
    """
    if of_maps := [name for name, prior in priors.items() if prior.code_shape]:
        return of_maps[0]
    simplest_first = sorted(priors, key=lambda name: [*PRIORS, name].index(name))
    scored = {name: round(score.mean, 2) for name in simplest_first if (score := priors[name].score)}
    return max(scored, key=lambda name: scored[name], default=Normal.name)


def best_by_label(priors: Mapping[str, Prior]) -> str | None:
    """Return the name of the best prior p(z|label), as by `best_prior`; None if there is none."""
    by_label = {name: prior for name, prior in priors.items() if prior.num_labels}
    best = best_prior(by_label)
    return best if best in by_label else next(iter(by_label), None)


class ByLabel(Prior):
    """A prior p(z|label) for each label, all of one kind; over all labels p(z) = sum_label share p(z|label).

    Args:
        priors: one for each label.
        shares: share of each label, `(num_labels,)`.
    """

    def __init__(self, priors: Sequence[FittedPrior], shares: Tensor) -> None:
        self.priors, self.shares = list(priors), shares
        self.name = self.priors[0].name
        self.num_labels, self.latent_dim = len(self.priors), self.priors[0].latent_dim
        first: dict[int, int] = {}
        self._same_as = [first.setdefault(id(prior), k) for k, prior in enumerate(self.priors)]  # rare labels share one

    @classmethod
    def fit_each(
        cls,
        kind: type[FittedPrior],
        codes: Tensor,
        held_out: Tensor,
        labels: Tensor,
        held_out_labels: Tensor,
        *,
        num_labels: int,
        label_names: Sequence[str] = (),
        seed: int,
        on_progress: Progress,
    ) -> "ByLabel":
        """Fit a prior of a kind to the codes of each label; labels int `(N,)`, the rest as in `FittedPrior.fit`.

        Labels with fewer than 50 codes share the prior of all codes, and the log names them.
        """
        counts = labels.bincount(minlength=num_labels)
        priors: list[FittedPrior] = []
        of_all: FittedPrior | None = None
        for label, count in enumerate(counts.tolist()):
            of_label, held_out_of_label = labels == label, held_out_labels == label
            on_progress(f"label {label_names[label] if label_names else label}, {count:,} codes")
            if count >= _ENOUGH and bool(held_out_of_label.any()):
                train, test = codes[of_label], held_out[held_out_of_label]
                priors.append(kind.fit(train, test, seed=seed, on_progress=on_progress))
            else:
                of_all = of_all or kind.fit(codes, held_out, seed=seed, on_progress=on_progress)
                priors.append(of_all)
        if rare := [label_names[k] if label_names else str(k) for k, prior in enumerate(priors) if prior is of_all]:
            log.warning(
                "prior %s: fewer than %d codes for %s; their prior is that of all images",
                kind.name, _ENOUGH, ", ".join(rare[:3]) + (f" and {len(rare) - 3:,} other labels" if rare[3:] else ""),
            )  # fmt: skip
        return cls(priors, counts / counts.sum())

    @property
    def components(self) -> str:
        """That of the first label's prior, and the number of labels."""
        return ", ".join(filter(None, [self.priors[0].components, f"{self.num_labels} labels"]))

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = choose(self.shares, num, generator)
        z = torch.empty(num, self.latent_dim)
        for label in sorted(set(labels.tolist())):
            of_label = labels == label
            z[of_label] = self.priors[label]._draw(int(of_label.sum()), generator, None)
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) over all labels, `(B,)`."""
        same_as, of_one = torch.tensor(self._same_as), self.shares.double()
        shares = torch.zeros_like(of_one).index_add_(0, same_as, of_one)
        of_labels = [self.priors[k].log_prob(z) + shares[k].log() for k in shares.nonzero()[:, 0].tolist()]
        return torch.stack(of_labels).logsumexp(0)

    def tensors(self) -> dict[str, Tensor]:
        """Return each prior's tensors, under the number of its first label, and the shares."""
        firsts = sorted(set(self._same_as))
        inner = {f"{k}.{name}": t for k in firsts for name, t in self.priors[k].tensors().items()}
        return {**inner, "shares": self.shares}

    def description(self) -> dict[str, Any]:
        """Return it with the description of each label's prior, and which label has the same one first."""
        of_labels = [prior.description() for prior in self.priors]
        return {**super().description(), "of_labels": of_labels, "same_as": self._same_as}

    @classmethod
    def restore_each(
        cls, kind: type[FittedPrior], tensors: Mapping[str, Tensor], description: Mapping[str, Any]
    ) -> "ByLabel":
        """Return the priors of these tensors, all of a kind."""
        inner = description["of_labels"]
        same_as = description.get("same_as", range(len(inner)))  # not in models of earlier versions
        own = {k: kind.restore(under(f"{k}.", tensors), inner[k]) for k in set(same_as)}
        return cls([own[k] for k in same_as], tensors["shares"])
