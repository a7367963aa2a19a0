"""p(z) = sum_k w_k N(z; mean_k, covariance_k), K chosen by held-out likelihood.

It is fitted to whitened codes. Of long codes only the leading principal axes get full covariances, see `em`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor

from .em import BLOCK, Components, fit_components
from .gaussian import Gaussian
from .prior import PlainPrior, Progress, choose

SIZES = (10, 40, 160, 400)
_NUMBERS = 2**26  # numbers of monomials of the codes used for fitting, at most
_CODES_EACH = 20  # codes that a component must have on average


class Mixture(PlainPrior):
    """A mixture of Gaussians in whitened codes.

    Args:
        whitening: from codes to whitened codes.
        components: the mixture there.
    """

    name = "mixture"

    def __init__(self, whitening: Gaussian, components: Components) -> None:
        self.whitening = whitening
        # Rounded and laid out as what is saved, so that the loaded mixture is the same.
        self.parts = Components(*(getattr(components, field.name).float().contiguous() for field in fields(Components)))
        self.latent_dim = whitening.latent_dim

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Fit mixtures of more and more components, until the held-out likelihood grows no more.

        One component alone is the Gaussian with full covariance, with which the search begins.
        """
        whitening = Gaussian.fit(codes, held_out, seed=seed, on_progress=on_progress)
        dim = codes.shape[1]
        block = min(dim, BLOCK)
        y = whitening.whiten(codes[: _NUMBERS // (1 + 2 * dim + block * block // 2)])
        best = cls(whitening, _one(dim, block))
        before = float(best.log_prob(held_out).mean())
        for num in SIZES:
            if num * _CODES_EACH > len(y):
                break
            mixture = cls(whitening, fit_components(y, num, block=block, seed=seed))
            score = float(mixture.log_prob(held_out).mean())
            on_progress(f"{num} components: {score:.2f} nats per held-out code")
            if score <= before:
                break
            best, before = mixture, score
        return best

    @property
    def components(self) -> str:
        """How many Gaussians."""
        return f"{len(self.parts.weights)} Gaussians"

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        parts, block = self.parts, self.parts.block
        chosen = choose(parts.weights, num, generator)
        noise = torch.randn((num, self.latent_dim), generator=generator)
        factors = torch.linalg.cholesky(parts.covariances.double()).float()
        y = parts.means[chosen]
        y[:, block:] += noise[:, block:] * parts.variances.sqrt()[chosen]
        for k in set(chosen.tolist()):
            of_k = chosen == k
            y[of_k, :block] += noise[of_k, :block] @ factors[k].T
        return self.whitening.unwhiten(y)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(B,)`."""
        return self.parts.log_joint(self.whitening.whiten(z.double())).logsumexp(1) + self.whitening.log_det

    def tensors(self) -> dict[str, Tensor]:
        """Return the whitening's and the components' tensors."""
        return {
            **self.whitening.tensors(),
            **{field.name: getattr(self.parts, field.name) for field in fields(Components)},
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the mixture of these tensors."""
        components = Components(*(tensors[field.name] for field in fields(Components)))
        return cls(Gaussian.restore(tensors, description), components)


def _one(dim: int, block: int) -> Components:
    return Components(
        torch.ones(1), torch.zeros(1, dim), torch.eye(block).expand(1, block, block), torch.ones(1, dim - block)
    )
