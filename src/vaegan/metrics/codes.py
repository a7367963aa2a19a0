"""Metrics of codes: active dimensions, distance of all codes from the prior, label information.

The aggregated posterior q(z) = E_x q(z|x) is what the decoder was trained on; samples come from N(0, I) instead. Where
the two differ, samples are decoded from codes that no image has (Hoffman & Johnson 2016, "ELBO surgery").

Probes predict labels of held-out codes from codes with labels. The linear probe is multinomial logistic regression: it
needs labels on different sides of planes. The nearest neighbours need only that images with the same label are close
together. Both return whether each held-out code is classified correctly, `(M,)`; the mean is the accuracy, and chance
the share of the most frequent label.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .memorisation import find_nearest

_AT_A_TIME = 2**22
_CHUNK = 2**14


def active_units(mu: Tensor, threshold: float = 0.01) -> Tensor:
    """Return which dimensions of means or codes ``mu`` `(N, Z)` differ between images, bool `(Z,)`.

    Active is Var_x E_q[z] > 0.01 (Burda et al., arXiv:1509.00519, section 5.2).
    """
    return mu.double().var(0, correction=0) > threshold


@dataclass(frozen=True)
class PriorGap:
    """How far the aggregated posterior lies from N(0, I)."""

    # KL(N(m, S) || N(0, I)) in nats, m and S the mean and covariance of q(z). What of the gap is a matter of place and
    # spread; by chance alone about Z (Z + 3) / (4 N). Infinite if the codes lie in a plane of fewer dimensions, as
    # those of a plain autoencoder may
    gaussian_kl: float
    # distance of codes to N(0, I) along a random direction, root mean square (Bonneel et al. 2015, "Sliced and Radon
    # Wasserstein barycenters"); in standard deviations of the prior. It sees the shape as well
    sliced_wasserstein: float
    by_chance: float  # the same of as many codes drawn from N(0, I)


def prior_gap(mu: Tensor, logvar: Tensor | None, *, num_directions: int = 256, seed: int = 0) -> PriorGap:
    """Measure how far codes lie from N(0, I), by means and log variances `(N, Z)` (None of a plain autoencoder).

    Directions and draws from q(z|x) are random by the seed.
    """
    generator = torch.Generator().manual_seed(seed)
    mu = mu.double().cpu()
    sigma = torch.zeros_like(mu) if logvar is None else (0.5 * logvar.double().cpu()).exp()
    directions = torch.randn(num_directions, mu.shape[1], generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    epsilon, prior = torch.randn(2, *mu.shape, generator=generator, dtype=torch.float64)
    return PriorGap(
        gaussian_kl=gaussian_kl_to_prior(mu.mean(0), torch.cov(mu.T, correction=0) + sigma.square().mean(0).diag()),
        sliced_wasserstein=_sliced_wasserstein(mu + sigma * epsilon, directions),
        by_chance=_sliced_wasserstein(prior, directions),
    )


def gaussian_kl_to_prior(mean: Tensor, covariance: Tensor) -> float:
    """KL(N(m, S) || N(0, I)) = (tr S + |m|^2 - Z - log det S) / 2 in nats; infinite if S is singular or infinite."""
    if not covariance.isfinite().all():
        return torch.inf
    spread = torch.linalg.eigvalsh(covariance)
    floor = spread[-1] * len(mean) * torch.finfo(spread.dtype).eps
    spread = torch.where(spread > floor, spread, 0)
    return float(0.5 * (mean.square().sum() + (spread - 1 - spread.log()).sum()))


def _sliced_wasserstein(z: Tensor, directions: Tensor) -> float:
    """Root of the mean over directions of W_2^2 between codes `(N, Z)` and N(0, 1), by its quantiles."""
    places = (torch.arange(len(z), dtype=torch.float64) + 0.5) / len(z)
    quantiles = torch.special.ndtri(places)
    squares = [
        (chunk @ z.T).sort(dim=1).values.sub_(quantiles).square_().mean(1)
        for chunk in torch.split(directions, max(1, _AT_A_TIME // len(z)))
    ]
    return float(torch.cat(squares).mean().sqrt())


def linear_probe(z: Tensor, labels: Tensor, z_test: Tensor, labels_test: Tensor) -> Tensor:
    """Fit logistic regression to codes, each dimension scaled to mean 0 and variance 1, and classify held-out codes.

    It minimises the cross entropy summed over the N codes plus ||W||^2 / 2: there is one minimum, and nothing is
    random. Codes are `(N, Z)` and `(M, Z)`, labels any int `(N,)` and `(M,)`; the result is bool `(M,)`.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    num_labels = len(set(labels.tolist()))
    if num_labels == 1:
        return labels_test == labels[0]
    # Of two labels scikit-learn has the difference w of their weights, w / 2 and -w / 2: ||W||^2 is half of ||w||^2.
    regression = LogisticRegression(C=2.0 if num_labels == 2 else 1.0, tol=1e-6, max_iter=300)
    probe = make_pipeline(StandardScaler(), regression).fit(z.double().numpy(), labels.numpy())
    return torch.from_numpy(probe.predict(z_test.double().numpy())) == labels_test


def neighbour_probe(z: Tensor, labels: Tensor, z_test: Tensor, labels_test: Tensor, *, k: int = 5) -> Tensor:
    """Let the k nearest codes vote on the label of each held-out code; the nearer neighbour decides a tie.

    Arguments and result as `linear_probe`. Codes are compared as they are: dimensions that carry nothing weigh nothing.
    """
    _, indices = find_nearest(z_test, torch.split(z, _CHUNK), k)
    neighbours = labels[indices]
    votes = (neighbours[:, :, None] == neighbours[:, None]).sum(2)
    return neighbours.gather(1, votes.argmax(1, keepdim=True))[:, 0] == labels_test
