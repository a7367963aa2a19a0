"""A prior p(z|label) for each label; over all labels p(z) = sum_label share p(z|label)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .prior import PlainPrior, Prior, Progress, choose

_ENOUGH = 50  # codes of a label; with fewer, its prior is fitted to all codes


class ByLabel(Prior):
    """Priors of one kind, one for each label.

    Args:
        priors: one for each label.
        shares: share of each label, `(num_labels,)`.
    """

    def __init__(self, priors: Sequence[PlainPrior], shares: Tensor) -> None:
        self.priors, self.shares = list(priors), shares
        self.name = self.priors[0].name
        self.num_labels, self.latent_dim = len(self.priors), self.priors[0].latent_dim

    @classmethod
    def fit_each(
        cls,
        kind: type[PlainPrior],
        codes: Tensor,
        held_out: Tensor,
        *,
        seed: int,
        on_progress: Progress,
        labels: Tensor,
        held_out_labels: Tensor,
        num_labels: int,
    ) -> ByLabel:
        """Fit a prior of a kind to the codes of each label; arguments as `PlainPrior.fit`, and the codes' labels."""
        counts = labels.bincount(minlength=num_labels)
        priors = []
        for label, count in enumerate(counts.tolist()):
            of_label, held_out_of_label = labels == label, held_out_labels == label
            enough = count >= _ENOUGH and bool(held_out_of_label.any())
            train, test = (codes[of_label], held_out[held_out_of_label]) if enough else (codes, held_out)
            on_progress(f"label {label}, {count} codes")
            priors.append(kind.fit(train, test, seed=seed, on_progress=on_progress))
        return cls(priors, counts / counts.sum())

    @property
    def components(self) -> str:
        """Those of the first label, and for how many labels."""
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
        shares = self.shares.double().log()
        of_labels = [self.priors[k].log_prob(z) + shares[k] for k in range(self.num_labels) if self.shares[k] > 0]
        return torch.stack(of_labels).logsumexp(0)

    def tensors(self) -> dict[str, Tensor]:
        """Return each label's tensors, and the shares."""
        inner = {f"{k}.{name}": t for k, prior in enumerate(self.priors) for name, t in prior.tensors().items()}
        return {**inner, "shares": self.shares}

    def description(self) -> dict[str, Any]:
        """Return it with the description of each label's prior."""
        return {**super().description(), "of_labels": [prior.description() for prior in self.priors]}

    @classmethod
    def restore_each(
        cls, kind: type[PlainPrior], tensors: Mapping[str, Tensor], description: Mapping[str, Any]
    ) -> ByLabel:
        """Return the priors of these tensors, all of a kind."""
        priors = []
        for k, inner in enumerate(description["of_labels"]):
            prefix = f"{k}."
            own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            priors.append(kind.restore(own, inner))
        return cls(priors, tensors["shares"])
