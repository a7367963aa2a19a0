"""Kernel density: p(z) = 1/N sum_i N(z; z_i, h^2 S_c(i)), a stored code plus noise with its cluster's covariance.

The clusters are those of k-means on whitened codes, S_c the covariance within each; one bandwidth h for all is chosen
by held-out likelihood. (Kernels adapted to place, as in Silverman, "Density estimation" (1986), 5.3.)
Stored codes are those of training images, so samples lie near training images.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..progress import paced
from .gaussian import Gaussian
from .mixture import BLOCK, cluster, scale_noise
from .prior import FittedPrior, Progress

_BANDWIDTHS = tuple(0.1 * 1.25**i for i in range(12))  # 0.1 to 1.16
_CLUSTERS = 50
_CODES_EACH = 50  # least mean number of codes of a cluster
_STORED = 2**22  # numbers stored, at most
_SCORED = 1000  # held-out codes by which the bandwidth is chosen
_ROWS = 2000  # codes whose distances to the members of a cluster are held at a time


class KernelDensity(FittedPrior):
    """Kernels at ``stored`` whitened codes `(N, Z)` in ``clusters`` `(N,)`, of deviations that are multiples of h.

    ``factors`` `(K, b, b)` are lower factors L of the clusters' covariances L L^T in the first b dimensions, ``scales``
    `(K, Z - b)` standard deviations in the others.
    """

    name = "kde"

    def __init__(
        self, whitening: Gaussian, stored: Tensor, clusters: Tensor, factors: Tensor, scales: Tensor, bandwidth: float
    ) -> None:
        self.whitening, self.bandwidth = whitening, bandwidth
        self.stored, self.clusters, self.scales = stored, clusters, scales
        self.factors = factors.contiguous()
        self.latent_dim = whitening.latent_dim

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Store codes, compute clusters and their covariances, choose the bandwidth."""
        whitening = Gaussian.of(codes)
        y = whitening.whiten(codes.float())[: max(2, _STORED // codes.shape[1])].contiguous()
        num = max(1, min(_CLUSTERS, len(y) // _CODES_EACH))
        clusters, gaussians = cluster(y, num, block=min(y.shape[1], BLOCK), seed=seed)
        factors = torch.linalg.cholesky(gaussians.covariances).float()
        density = cls(whitening, y, clusters, factors, gaussians.variances.sqrt().float(), 1.0)
        scores = density._log_probs(held_out[:_SCORED], _BANDWIDTHS).mean(0)
        density.bandwidth = _BANDWIDTHS[int(scores.argmax())]
        on_progress(f"bandwidth {density.bandwidth:.2f}: {float(scores.max()):.2f} nats per held-out code")
        return density

    @property
    def components(self) -> str:
        """How many kernels, and how wide."""
        return f"{len(self.stored):,} kernels, bandwidth {self.bandwidth:.2f}"

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        chosen = torch.randint(len(self.stored), (num,), generator=generator)
        noise = self.bandwidth * torch.randn((num, self.latent_dim), generator=generator)
        scaled = scale_noise(noise, self.clusters[chosen], self.factors, self.scales)
        return self.whitening.unwhiten(self.stored[chosen] + scaled)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(B,)`, from sums over all kernels."""
        return self._log_probs(z, (self.bandwidth,))[:, 0]

    def _log_probs(self, z: Tensor, bandwidths: Sequence[float]) -> Tensor:
        """Return log p(z) with each of several bandwidths, `(B, H)`."""
        y, dim = self.whitening.whiten(z.double()).float(), self.latent_dim
        total = torch.full((len(y), len(bandwidths)), -math.inf, dtype=torch.float64)
        for k, factor in enumerate(paced(self.factors, len(self.factors), "summing kernels")):
            members = self._standardised(self.stored[self.clusters == k], k)
            log_det = float(factor.diagonal().double().log().sum() + self.scales[k].double().log().sum())
            for start in range(0, len(y), _ROWS):
                rows = slice(start, start + _ROWS)
                squares = torch.cdist(self._standardised(y[rows], k), members).square_()
                for i, h in enumerate(bandwidths):
                    kernels = (squares * (-0.5 / h**2)).logsumexp(1).double() - dim * math.log(h) - log_det
                    total[rows, i] = torch.logaddexp(total[rows, i], kernels)
        return total - 0.5 * dim * math.log(2 * math.pi) - math.log(len(self.stored)) + self.whitening.log_det

    def _standardised(self, y: Tensor, k: int) -> Tensor:
        """Return rows in which the covariance of cluster k is I."""
        block = self.factors.shape[-1]
        full = torch.linalg.solve_triangular(self.factors[k], y[:, :block].T, upper=False).T
        return torch.cat([full, y[:, block:] / self.scales[k]], 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the whitening's tensors, the stored codes, their clusters and the kernels."""
        return {
            **self.whitening.tensors(),
            "stored": self.stored,
            "clusters": self.clusters,
            "factors": self.factors,
            "kernel_scales": self.scales,
            "bandwidth": torch.tensor(self.bandwidth, dtype=torch.float64),
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the density of these tensors."""
        whitening = Gaussian.restore(tensors, description)
        stored, clusters, factors, scales = (tensors[n] for n in ("stored", "clusters", "factors", "kernel_scales"))
        return cls(whitening, stored, clusters, factors, scales, float(tensors["bandwidth"]))
