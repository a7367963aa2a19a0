r"""AE, VAE and VAE_Dis_l: one loss for encoder and decoder.

    AE          L_llike
    VAE         kl_weight L_prior + L_llike, in pixels                (Kingma & Welling, arXiv:1312.6114)
    VAE_Dis_l   the same with L_llike in layer l of a frozen, earlier trained Dis  (arXiv:1512.09300, section 4.1)
    IWAE        -log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)             (Burda et al., arXiv:1509.00519, eq. 8)

As in `vaegan`, ``gamma`` weighs L_llike at the decoder and ``encoder_llike_weight`` at the encoder; both are 1 by
default, which makes the sum above one loss for both. A step costs 3e + 3d, and 3s more for VAE_Dis_l.

Noise of K > 1 draws makes a VAE an IWAE. Its gradient is that of sum_k w_k (log q(z_k|x) - log p(z_k) - log p(x|z_k)),
where the weights w_k, the terms of the sum above over their total, are held constant. A step costs 3e + 3Kd.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..losses import prior_loss, wide
from .code_losses import CodeLosses
from .feature_discriminator import FeatureDiscriminator, evaluation_mode
from .interface import (
    Autocast,
    Losses,
    Noise,
    ObjectiveOfParts,
    StepResult,
    condition_args,
    gradients_by_name,
    gradients_of,
    leaf,
)
from .likelihoods import GaussianPixels, Likelihood


class MeanCode(nn.Module):
    """An encoder of (mu, logvar) as one of plain codes: mu."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, *c: Tensor) -> Tensor:
        """Return mu (B, Z) of images (B, C, H, W)."""
        code = self.encoder(x, *c)
        mu: Tensor = code if isinstance(code, Tensor) else code[0]
        return mu


class _Terms(NamedTuple):
    """The terms of a loss, scalars; of K draws kl and llike are sums over draws with the weights w_k."""

    kl: Tensor | None  # L_prior, if there is one
    llike: Tensor
    bound: Tensor | None = None  # the loss of K draws


class AutoencoderObjective(ObjectiveOfParts):
    """Losses and gradients of models without an adversarial loss.

    Args:
        encoder: (B, C, H, W) -> mu, logvar, each (B, Z); or z alone, then there is no prior (AE).
        decoder: (B, Z) -> (B, C, H, W).
        likelihood: how reconstructions are compared; Gaussian pixels if None.
        metric: frozen discriminator for a likelihood in features; it is set to evaluation mode and gets no gradient.
        feature_layer: layer l of ``metric``, by name.
        code_losses: of codes that are maps.

    All others are those of `VAEGANObjective`. Raises UserError if the likelihood needs features and there is no metric.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        likelihood: Likelihood | None = None,
        metric: nn.Module | None = None,
        feature_layer: str = "auto",
        code_losses: CodeLosses | None = None,
        gamma: float = 1.0,
        encoder_llike_weight: float = 1.0,
        kl_weight: float = 1.0,
        free_bits: float = 0.0,
        autocast: Autocast = contextlib.nullcontext,
    ) -> None:
        self.likelihood: Likelihood = likelihood or GaussianPixels()
        self.code_losses = code_losses or CodeLosses()
        super().__init__({"encoder": encoder, "decoder": decoder}, self.likelihood, self.code_losses.alignment)
        if self.likelihood.in_features and metric is None:
            raise UserError(
                "loss.likelihood feature: this kind of model has no discriminator to take features from; choose "
                "gaussian or bernoulli, or train 'vae-dis-l' with loss.metric, a run that has a discriminator"
            )
        self.dis = (
            FeatureDiscriminator(metric.requires_grad_(False).eval(), feature_layer) if metric is not None else None
        )
        self.gamma, self.encoder_llike_weight = gamma, encoder_llike_weight
        self.kl_weight, self.free_bits, self.autocast = kl_weight, free_bits, autocast

    def step(
        self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None, record: bool = False
    ) -> StepResult:
        """Losses and gradients of one batch ``x`` (B, C, H, W) in the network's range."""
        z, z_leaf, terms = self._forward(x, noise, *condition_args(c))
        inputs: dict[str, Sequence[Tensor]] = {part: self.weights.get(part, []) for part in ("decoder", "likelihood")}
        inputs["z"] = [z_leaf] if self.weights["encoder"] else []
        gradients = {"encoder": [], **gradients_by_name(terms.llike, inputs)}
        if self.gamma != 1.0:
            gradients["decoder"] = [self.gamma * g for g in gradients["decoder"]]
        losses = self._losses(terms, kl_factor)
        at_z = self.code_losses.add(self, gradients, losses, z_leaf, x, noise, *condition_args(c))
        for of_code in gradients.pop("z"):
            outputs, cotangents = [z], [self.encoder_llike_weight * of_code]
            if terms.kl is not None:
                outputs.append(terms.kl)
                cotangents.append(torch.full_like(terms.kl, self.kl_weight * kl_factor))
            gradients["encoder"] = gradients_of(outputs, self.weights["encoder"], cotangents)
        routes = (
            {f"encoder/{name}": (self.encoder_llike_weight * g).norm() for name, g in at_z.items()} if record else {}
        )
        gradients = {part: of_part for part, of_part in gradients.items() if of_part}
        return StepResult(losses, gradients, routes)

    def evaluate(self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None) -> Losses:
        """The losses of held-out images (B, C, H, W), with the networks in evaluation mode."""
        with torch.no_grad(), evaluation_mode([self.parts["encoder"], self.parts["decoder"]]):
            _, _, terms = self._forward(x, noise, *condition_args(c))
        return self._losses(terms, kl_factor)

    def _forward(self, x: Tensor, noise: Noise, *c: Tensor) -> tuple[Tensor, Tensor, _Terms]:
        """Z with Enc's graph, (B, Z) or of K draws (K B, Z), its cut copy, and the terms, L_llike from the copy on."""
        with self.autocast(), self.masks(noise, x):
            code = self.parts["encoder"](x, *c)
            kl = ratio = None
            if isinstance(code, Tensor):
                z = wide(code)
            else:
                mu, logvar = (wide(t) for t in code)
                z = mu + torch.exp(0.5 * logvar) * noise.eps
                kl = prior_loss(mu, logvar, self.free_bits)
                if z.dim() > mu.dim():
                    ratio = 0.5 * (z.square() - noise.eps.square() - logvar).sum(-1)  # log q(z|x) - log p(z), (K, B)
                    x, *more = (t.repeat(len(z), *[1] * (t.dim() - 1)) for t in (x, *c))
                    z, c = z.flatten(0, 1), tuple(more)
            z_leaf = leaf(z, bool(self.weights["encoder"]))
            y = self.likelihood.decode(self.parts["decoder"], z_leaf, *c)
            output, target = y, x
            if self.likelihood.in_features:
                assert self.dis is not None
                _, output = self.dis(self.likelihood.image(y), *c)
                with torch.no_grad():
                    _, target = self.dis(x, *c)
        llike = self.likelihood.loss(output, target)
        if ratio is None:
            return z, z_leaf, _Terms(kl, llike.mean())
        llike = llike.view_as(ratio)
        log_w = -(ratio + llike).detach()
        share = log_w.softmax(0) / log_w.shape[1]
        bound = math.log(len(log_w)) - log_w.logsumexp(0).mean()
        return z, z_leaf, _Terms((share * ratio).sum(), (share * llike).sum(), bound)

    def _losses(self, terms: _Terms, kl_factor: float) -> Losses:
        """All losses by part, detached."""
        llike = terms.llike.detach()
        encoder = {"llike": llike, "total": self.encoder_llike_weight * llike}
        if terms.kl is not None:
            kl = terms.kl.detach()
            total = self.kl_weight * kl_factor * kl + encoder["total"]
            encoder = {"kl": kl, "llike": llike, "total": total}
        losses = {"encoder": encoder, "decoder": {"llike": llike, "total": self.gamma * llike}}
        if terms.bound is not None:
            encoder["total"] = losses["decoder"]["total"] = terms.bound
        return {part: of_part for part, of_part in losses.items() if self.weights[part]}
