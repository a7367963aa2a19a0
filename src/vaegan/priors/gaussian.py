"""A Gaussian: p(z) = N(mean, covariance), the full covariance shrunk according to the number of codes.

The same affine map also whitens codes for the other priors: y = W^T (z - mean) has covariance I, and a density in y
becomes one in z by log p(z) = log p(y) + log |det W|. The eigenvectors are ordered by variance, largest first.

Shrinkage: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004).
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from .prior import FittedPrior, Progress, log_normal

_FLOOR = 1e-4  # of the widest dimension's deviation; narrower ones count as constant


class Gaussian(FittedPrior):
    """A Gaussian: mean `(Z,)`, the covariance's orthonormal eigenvectors in columns `(Z, Z)`, deviations along them."""

    name = "gaussian"

    def __init__(self, mean: Tensor, axes: Tensor, scales: Tensor) -> None:
        # The layout in memory is that of a saved and loaded one, so that products agree to the last bit.
        self.mean, self.axes, self.scales = mean.contiguous(), axes.contiguous(), scales.contiguous()
        self.latent_dim = len(mean)

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Return `of` the codes; nothing is chosen or drawn."""
        return cls.of(codes)

    @classmethod
    def of(cls, codes: Tensor) -> Self:
        """Return the Gaussian with the mean and the shrunk covariance of codes `(N, Z)`."""
        from sklearn.covariance import ledoit_wolf

        z = codes.double()
        deviations = z.std(0, correction=0)
        # Shrunk in units of each dimension, so that narrow ones are not drowned by wide ones.
        deviations = deviations.clamp(min=_FLOOR * max(float(deviations.max()), _FLOOR))
        covariance, _ = ledoit_wolf((z / deviations).numpy())
        eigenvalues, axes = torch.linalg.eigh(deviations[:, None] * torch.from_numpy(covariance) * deviations)
        scales = eigenvalues.clamp(min=float(deviations.min()) ** 2 * _FLOOR).sqrt()
        return cls(z.mean(0).float(), axes.flip(1).float(), scales.flip(0).float())

    def whiten(self, z: Tensor) -> Tensor:
        """Return y of codes z, both `(B, Z)`."""
        return (z - self.mean.to(z)) @ self.axes.to(z) / self.scales.to(z)

    def unwhiten(self, y: Tensor) -> Tensor:
        """Return codes z of y, both `(B, Z)`."""
        return self.mean.to(y) + (y * self.scales.to(y)) @ self.axes.to(y).T

    @property
    def log_det(self) -> float:
        """Log |det| of the map from z to y, to be added to log p(y)."""
        return -float(self.scales.double().log().sum())

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        return self.unwhiten(torch.randn((num, self.latent_dim), generator=generator))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log N(z; mean, covariance), `(B,)`."""
        return log_normal(self.whiten(z.double())) + self.log_det

    def tensors(self) -> dict[str, Tensor]:
        """Return mean, axes and scales."""
        return {"mean": self.mean, "axes": self.axes, "scales": self.scales}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the Gaussian of these tensors."""
        dim = int(description["latent_dim"])
        return cls(tensors["mean"].reshape(dim), tensors["axes"].reshape(dim, dim), tensors["scales"].reshape(dim))
