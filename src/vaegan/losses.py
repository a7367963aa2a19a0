r"""The formulas of VAE/GAN: each a small function that cites its equation.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (arXiv:1512.09300), Algorithm 1:

    L_prior = KL(q(z|x) || N(0, I))
    L_llike = -E_q log N(Dis_l(x) | Dis_l(x_tilde), I)
    L_GAN   = -log D(x) - log(1 - D(x_tilde)) - log(1 - D(x_p))

Everything is in nats and one number per image, shape (B,): sums over dimensions. The caller takes the mean over the
batch. D is the sigmoid of the logit ``a`` that a discriminator returns. (The paper prints L_GAN with the other sign, as
what Dis maximises; here it is the cross entropy, which Dis descends and Dec ascends.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import check_shapes


def wide(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float32 or wider; losses are never summed in half precision."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _difference(made: Tensor, real: Tensor) -> Tensor:
    """Return made - real as rows, (B, ...) -> (B, D), in float32 or wider; UserError if their shapes differ."""
    check_shapes(made, real)
    return (wide(made) - wide(real)).reshape(len(real), -1)


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of every dimension (Kingma & Welling, arXiv:1312.6114, appendix B).

    Args:
        mu: means, (B, Z).
        logvar: log variances, (B, Z).

    Returns:
        Nats, (B, Z), at least 0.
    """
    check_shapes(mu, logvar)
    mu, logvar = wide(mu), wide(logvar)
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar)


def prior_loss(mu: Tensor, logvar: Tensor, free_bits: float = 0.0) -> Tensor:
    """L_prior: KL(q(z|x) || N(0, I)) as the mean over the batch, with an optional allowance per dimension.

    With ``free_bits`` > 0 a dimension costs at least so many nats, so that squeezing it further earns nothing
    (Kingma et al., arXiv:1606.04934, eq. 15: the minimum is taken of the batch's mean).

    Args:
        mu: means, (B, Z).
        logvar: log variances, (B, Z).
        free_bits: nats per dimension.

    Returns:
        Nats per image, a scalar.
    """
    return kl_per_dimension(mu, logvar).mean(0).clamp(min=free_bits).sum()


def gaussian_feature_loss(features: Tensor, target: Tensor) -> Tensor:
    """L_llike in layer l: -log N(target | features, I) without its constant, half the squared distance (eq. 7).

    Args:
        features: Dis_l(x_tilde), (B, ...), or logits (B,).
        target: Dis_l(x), likewise; no gradient goes through it.

    Returns:
        Nats per image, (B,).
    """
    return 0.5 * _difference(features, target.detach()).square().sum(1)


def gaussian_pixel_loss(x_tilde: Tensor, x: Tensor, log_variance: Tensor | float = 0.0) -> Tensor:
    """-log N(x | x_tilde, exp(log_variance) I), with its constant, so that it is a part of an ELBO.

    Args:
        x_tilde: reconstructions on the scale of x, (B, C, H, W).
        x: images in [0, 1], (B, C, H, W).
        log_variance: log of the variance of a pixel, a scalar.

    Returns:
        Nats per image, (B,); may be negative, being the log of a density.
    """
    error = _difference(x_tilde, x).square()
    log_variance = torch.as_tensor(log_variance, dtype=error.dtype, device=error.device)
    return 0.5 * (error.sum(1) * torch.exp(-log_variance) + error.shape[1] * (math.log(2 * math.pi) + log_variance))


def laplace_pixel_loss(x_tilde: Tensor, x: Tensor, scale: float) -> Tensor:
    """-log Laplace(x | x_tilde, scale), the absolute error of pixels, with its constant.

    Args:
        x_tilde: reconstructions on the scale of x, (B, C, H, W).
        x: images in [0, 1], (B, C, H, W).
        scale: mean absolute deviation of a pixel; its variance is twice the square of it.

    Returns:
        Nats per image, (B,); may be negative, being the log of a density.
    """
    error = _difference(x_tilde, x).abs()
    return error.sum(1) / scale + error.shape[1] * math.log(2 * scale)


def layers_distance(layers: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Mean over layers and positions of the squared distance of features, each scaled to length 1 over its channels.

    That is the distance of Zhang et al. 2018 (arXiv:1801.03924, eq. 1) with all weights equal, and a mean over layers.

    Args:
        layers: of the made images, each (B, C, ...).
        targets: of the real ones, likewise; no gradient goes through them.

    Returns:
        (B,), in [0, 4].
    """
    distances = [
        (F.normalize(wide(made), dim=1) - F.normalize(wide(real.detach()), dim=1)).square().sum(1).flatten(1).mean(1)
        for made, real in zip(layers, targets, strict=True)
    ]
    return torch.stack(distances).mean(0)


def alignment_loss(codes: Tensor, features: Tensor) -> Tensor:
    """How the directions of codes and features differ at each place, and between places (VA-VAE, arXiv:2501.01423).

        mean_i relu(1 - 1/2 - cos(z_i, f_i)) + mean_ij relu(|cos(z_i, z_j) - cos(f_i, f_j)| - 1/4)

    The margins, 1/2 and 1/4, are those of the authors' code.

    Args:
        codes: projected to D dimensions, z (B, D, h, w).
        features: f (B, D, h, w); no gradient goes through them.

    Returns:
        (B,), in [0, 3.25].
    """
    z, f = (F.normalize(wide(maps).flatten(2), dim=1) for maps in (codes, features.detach()))
    places = F.relu(0.5 - (z * f).sum(1)).mean(1)
    return places + F.relu((z.mT @ z - f.mT @ f).abs() - 0.25).mean((1, 2))


def bernoulli_loss(logits: Tensor, x: Tensor) -> Tensor:
    """-log Bernoulli(x | sigmoid(logits)), the binary cross entropy of pixels, from logits for exactness.

    Args:
        logits: decoder's output before the sigmoid, (B, C, H, W).
        x: images in [0, 1], (B, C, H, W).

    Returns:
        Nats per image, (B,).
    """
    logits = wide(logits)
    return F.binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none").flatten(1).sum(1)


@dataclass(frozen=True)
class AdversarialForm:
    """One form of the adversarial loss, as three losses of a logit, each (B,) -> (B,) nats.

    Attributes:
        name: the word in settings.
        real: Dis's loss of a real image's logit and its target.
        fake: Dis's loss of a fake's logit and its target.
        decoder: what Dec descends, of a fake's logit.
        negated: whether ``decoder`` is minus ``fake`` at target 0 (true of minimax alone).
    """

    name: str
    real: Callable[[Tensor, Tensor], Tensor]
    fake: Callable[[Tensor, Tensor], Tensor]
    decoder: Callable[[Tensor], Tensor]
    negated: bool = False


def _cross_entropy(a: Tensor, target: Tensor) -> Tensor:
    """-t log D - (1 - t) log(1 - D), with D = sigmoid(a)."""
    return F.softplus(a) - target * a


def _hinge_real(a: Tensor, target: Tensor) -> Tensor:
    """Hinge loss of a logit whose target is 1 (real) or, if flipped or noisy, towards 0."""
    return target * F.relu(1.0 - a) + (1.0 - target) * F.relu(1.0 + a)


ADVERSARIAL_FORMS: dict[str, AdversarialForm] = {
    form.name: form
    for form in (
        # Goodfellow et al., arXiv:1406.2661, eq. 1; the paper's Algorithm 1.
        AdversarialForm("minimax", _cross_entropy, _cross_entropy, lambda a: -F.softplus(a), negated=True),
        # Goodfellow et al., arXiv:1406.2661, section 3: Dec descends -log D, which does not vanish when Dis wins.
        AdversarialForm("non-saturating", _cross_entropy, _cross_entropy, lambda a: F.softplus(-a)),
        # Lim & Ye, arXiv:1705.02894; Miyato et al., arXiv:1802.05957, eq. 16 and 17.
        AdversarialForm("hinge", _hinge_real, _hinge_real, lambda a: -a),
    )
}


def r1_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """R1: half the squared norm of the gradient of D's logit at real images (arXiv:1801.04406, eq. 9).

    Args:
        logits: Dis(x), (B,), computed from ``x`` with gradients on.
        x: real images that require a gradient, (B, C, H, W), in the network's range.

    Returns:
        A scalar, mean over the batch; differentiable with respect to Dis.
    """
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return 0.5 * wide(slope).square().flatten(1).sum(1).mean()
