"""A mixture of Gaussians: p(z) = sum_k w_k N(z; mean_k, covariance_k), K chosen by held-out likelihood.

It is fitted to whitened codes by expectation maximisation (Dempster, Laird and Rubin 1977; Bishop, "Pattern Recognition
and Machine Learning", section 9.2.2), in which each step is one matrix product. The log-density of a Gaussian is linear
in the monomials of y up to the second degree: with phi(y) holding 1, y_i and y_i y_j, the joint log-densities of N
points and K components are phi(Y) Theta, and the sums of the M-step are R^T phi(Y), R the responsibilities.

Components are full in the first `block` dimensions and diagonal in the rest, which bounds the number of monomials for
long codes. Covariances are shrunk towards the pooled one, as by an inverse Wishart prior (Fraley and Raftery 2007), and
their eigenvalues have a floor.

It is our own because scikit-learn's mixture has neither shrinkage nor a full block among diagonal dimensions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from ..progress import paced_lines
from .gaussian import Gaussian
from .prior import FittedPrior, Progress, choose

SIZES = (10, 40, 160, 400)
_NUMBERS = 2**26  # numbers of monomials of the codes used for fitting, at most
_CODES_EACH = 20  # least mean number of codes of a component
FLOOR = 1e-3  # smallest eigenvalue, in units of whitened codes
BLOCK = 64  # dimensions that get full covariances, at most
_CHUNK = 2**23  # numbers of monomials held at a time


class Mixture(FittedPrior):
    """A mixture of Gaussians in whitened codes: the map to them, and the mixture there."""

    name = "mixture"

    def __init__(self, whitening: Gaussian, components: "Components") -> None:
        self.whitening = whitening
        # Rounded and laid out as what is saved, so that the loaded mixture is the same.
        self.gaussians = Components(*(t.float().contiguous() for t in vars(components).values()))
        self.latent_dim = whitening.latent_dim

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Fit more and more components, from one of full covariance, until the held-out likelihood stops growing."""
        whitening = Gaussian.of(codes)
        dim = codes.shape[1]
        block = min(dim, BLOCK)
        y = whitening.whiten(codes[: _NUMBERS // _num_monomials(dim, block)])
        one = Components(torch.ones(1), torch.zeros(1, dim), torch.eye(block)[None], torch.ones(1, dim - block))
        best = cls(whitening, one)
        before = float(best.log_prob(held_out).mean())
        on_progress(f"1 Gaussian: {before:.2f} nats per held-out code")
        for num in SIZES:
            if num * _CODES_EACH > len(y):
                break
            components = fit_components(y, num, block=block, seed=seed, held_out=whitening.whiten(held_out))
            mixture = cls(whitening, components)
            score = float(mixture.log_prob(held_out).mean())
            on_progress(f"{num} Gaussians: {score:.2f} nats per held-out code")
            if score <= before:
                break
            best, before = mixture, score
        return best

    @property
    def components(self) -> str:
        """How many Gaussians."""
        num = len(self.gaussians.weights)
        return f"{num} Gaussian{'s' * (num > 1)}"

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        chosen = choose(self.gaussians.weights, num, generator)
        noise = torch.randn((num, self.latent_dim), generator=generator)
        factors = torch.linalg.cholesky(self.gaussians.covariances.double()).float()
        scaled = scale_noise(noise, chosen, factors, self.gaussians.variances.sqrt())
        return self.whitening.unwhiten(self.gaussians.means[chosen] + scaled)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(B,)`."""
        return self.gaussians.log_joint(self.whitening.whiten(z.double())).logsumexp(1) + self.whitening.log_det

    def tensors(self) -> dict[str, Tensor]:
        """Return the whitening's and the components' tensors."""
        return {**self.whitening.tensors(), **vars(self.gaussians)}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the mixture of these tensors."""
        components = Components(*(tensors[field.name] for field in fields(Components)))
        return cls(Gaussian.restore(tensors, description), components)


@dataclass(frozen=True)
class Components:
    """A mixture of K Gaussians in D dimensions, of which the first b are full."""

    weights: Tensor  # `(K,)`, sum 1
    means: Tensor  # `(K, D)`
    covariances: Tensor  # `(K, b, b)`
    variances: Tensor  # `(K, D - b)`

    @property
    def block(self) -> int:
        """The number b of dimensions with full covariances."""
        return self.covariances.shape[-1]

    def coefficients(self) -> Tensor:
        """Return Theta, float64 `(F, K)`: `log_joint` is its product with the monomials."""
        block, dim = self.block, self.means.shape[1]
        means, variances = self.means.double(), self.variances.double()
        precision = torch.linalg.inv(self.covariances.double())
        inner = torch.einsum("kij,kj->ki", precision, means[:, :block])
        linear = torch.cat([inner, means[:, block:] / variances], 1)
        log_det = -torch.linalg.slogdet(self.covariances.double()).logabsdet - variances.log().sum(1)
        constant = self.weights.double().log() - 0.5 * dim * math.log(2 * math.pi) + 0.5 * log_det
        constant = constant - 0.5 * (linear * means).sum(1)
        rows, columns = torch.triu_indices(block, block)
        # y_i y_j and y_j y_i are one monomial.
        square = -precision[:, rows, columns] * torch.where(rows == columns, 0.5, 1.0)
        return torch.cat([constant[:, None], linear, square, -0.5 / variances], 1).T

    def log_joint(self, y: Tensor) -> Tensor:
        """Return log (weight_k N(y; k)), float64 `(B, K)`."""
        theta = self.coefficients()
        chunks = torch.split(y.double(), _rows(self.means.shape[1], self.block))
        return torch.cat([monomials(chunk, self.block) @ theta for chunk in chunks])


def monomials(y: Tensor, block: int) -> Tensor:
    """Return 1, y_i, y_i y_j (i <= j < block) and y_j^2 (j >= block), `(B, F)`, of `(B, D)`."""
    rows = y.T.contiguous()  # (F, B) in memory: whole rows at a time are six times as fast as gathered columns
    products = [rows[i:block] * rows[i] for i in range(block)]
    return torch.cat([torch.ones_like(rows[:1]), rows, *products, rows[block:].square()]).T


def fit_components(
    y: Tensor,
    num: int,
    *,
    block: int,
    seed: int,
    max_steps: int = 100,
    tolerance: float = 3e-3,
    held_out: Tensor | None = None,
) -> Components:
    """Fit `num` components to y, float `(N, D)` of about unit variance, by EM from the clusters of k-means.

    It stops when the mean log-likelihood grows by less than `tolerance` nats in a step: that of `held_out`, `(M, D)`,
    if there are any, as it stops growing long before that of y (three times as early, with 160 components).
    """
    y = y.float()
    _, components = cluster(y, num, block=block, seed=seed)
    chunks, before = torch.split(y, _rows(y.shape[1], block)), -math.inf
    write = paced_lines()
    for step in range(max_steps):
        write(f"fitting a mixture of {num} Gaussians: step {step + 1}, at most {max_steps}")
        theta, likelihood, sums = components.coefficients().float(), 0.0, torch.zeros(())
        for chunk in chunks:
            phi = monomials(chunk, block)
            joint = phi @ theta
            total = joint.logsumexp(1, keepdim=True)
            likelihood += float(total.double().sum()) / len(y)
            sums = sums + ((joint - total).exp_().T @ phi).double()
        if held_out is not None:
            likelihood = float(components.log_joint(held_out).logsumexp(1).mean())
        components = maximise(sums, y.shape[1], block)
        if likelihood - before < tolerance:
            break
        before = likelihood
    return components


def cluster(y: Tensor, num: int, *, block: int, seed: int) -> tuple[Tensor, Components]:
    """Return the k-means cluster of each row, int64 `(N,)`, and a Gaussian for each; arguments as above."""
    from sklearn.cluster import KMeans

    clusters = torch.from_numpy(KMeans(num, n_init=1, max_iter=20, random_state=seed).fit_predict(y.numpy())).long()
    rows, sums = _rows(y.shape[1], block), []
    for k in range(num):
        chunks = torch.split(y[clusters == k].double(), rows)
        sums.append(torch.stack([monomials(chunk, block).sum(0) for chunk in chunks]).sum(0))
    return clusters, maximise(torch.stack(sums), y.shape[1], block)


def scale_noise(noise: Tensor, clusters: Tensor, factors: Tensor, scales: Tensor) -> Tensor:
    """Return noise `(B, D)` of N(0, I) scaled to the covariance of each row's cluster, int `(B,)`.

    The covariances are L L^T, of the factors L `(K, b, b)`, in the first b dimensions, and the squares of the scales,
    `(K, D - b)`, in the rest.
    """
    block = factors.shape[-1]
    full = torch.empty_like(noise[:, :block])
    for k in set(clusters.tolist()):
        of_k = clusters == k
        full[of_k] = noise[of_k, :block] @ factors[k].T
    return torch.cat([full, noise[:, block:] * scales[clusters]], 1)


def maximise(sums: Tensor, dim: int, block: int) -> Components:
    """M-step: return the components of the sums R^T phi(Y), float64 `(K, F)`, with shrinkage and floor."""
    counts = sums[:, :1].clamp(min=1e-6)
    means = sums[:, 1 : 1 + dim] / counts
    rows, columns = torch.triu_indices(block, block)
    second = sums.new_zeros(len(sums), block, block)
    second[:, rows, columns] = second[:, columns, rows] = sums[:, 1 + dim : 1 + dim + len(rows)] / counts
    covariances = second - means[:, :block, None] * means[:, None, :block]
    variances = sums[:, 1 + dim + len(rows) :] / counts - means[:, block:].square()
    spreads = torch.cat([covariances.flatten(1), variances], 1)
    pooled = (counts * spreads).sum(0) / counts.sum()
    shrunk = (counts * spreads + block * pooled) / (counts + block)  # as if `block` more points had the pooled
    eigenvalues, axes = torch.linalg.eigh(shrunk[:, : block * block].reshape_as(covariances))
    covariances = (axes * eigenvalues.clamp(min=FLOOR)[:, None, :]) @ axes.mT
    return Components((counts / counts.sum())[:, 0], means, covariances, shrunk[:, block * block :].clamp(min=FLOOR))


def _rows(dim: int, block: int) -> int:
    """How many points' monomials are held at a time."""
    return max(64, _CHUNK // _num_monomials(dim, block))


def _num_monomials(dim: int, block: int) -> int:
    """About how many monomials a point has."""
    return 1 + 2 * dim + block * block // 2
