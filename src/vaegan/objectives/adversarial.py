r"""L_GAN and its two readers: the discriminator descends it, the decoder climbs it (or descends another form).

Write a for Dis's logit of a fake, c = dL_dis/da and u = dL_dec/da. Dis's weights need the gradient that starts from c,
the fake image the one that starts from u. One backward pass gives both when the second is a multiple of the first:

* minimax: u = -c, for the whole batch, so the image's gradient is Dis's with its sign turned (unless the reals share
  their batch statistics with the fakes, see `Critic.together`: their c would come along);
* other forms, if no image's logit depends on another image: the gradient at image i is u_i / c_i times Dis's. Where c_i
  is (nearly) zero it is replaced by 2^-40 / B (2^-64 / B in float64): in Dis's weights that is below the last
  bit of the sum, and the image's gradient is exact;
* otherwise (batch norm or minibatch discrimination in Dis) two more passes to the images are owed and made.

A Dis that judges patches has P logits a_ij of image i, and each loss is the mean over all of them. Then u_ij / c_ij is
no factor of the image, and the last case holds, unless the form is minimax.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses import ADVERSARIAL_FORMS, AdversarialForm, wide
from .feature_discriminator import Critic, couples_images
from .interface import Noise, gradients_of, leaf, trainable

FAKES = ("reconstruction", "prior")


@dataclass(frozen=True)
class Game:
    """The adversarial game: its form, weights and targets.

    Args:
        form: key of `losses.ADVERSARIAL_FORMS`.
        real_weight: weight of the real images' loss in Dis; the decoder never sees the three weights.
        reconstruction_weight: weight of the loss of x_tilde in Dis.
        prior_weight: weight of the loss of x_p in Dis.
        label_smoothing: real targets are 1 minus this.
        label_noise: targets move inwards by U(0, this).
        label_flip: share of images whose target is exchanged.
    """

    form: str = "minimax"
    real_weight: float = 1.0
    reconstruction_weight: float = 1.0
    prior_weight: float = 1.0
    label_smoothing: float = 0.0
    label_noise: float = 0.0
    label_flip: float = 0.0

    @property
    def _form(self) -> AdversarialForm:
        return ADVERSARIAL_FORMS[self.form]

    def weight(self, kind: str) -> float:
        """Weight in Dis of ``kind``: real, reconstruction or prior."""
        return float(getattr(self, f"{kind}_weight"))

    def target(self, kind: str, noise: Noise) -> Tensor:
        """Dis's targets for ``kind``: real, reconstruction or prior, (B,)."""
        row = ("real", *FAKES).index(kind)
        real = 1.0 if kind == "real" else 0.0
        target = torch.full_like(noise.uniform[row, 0], real * (1.0 - self.label_smoothing))
        if self.label_noise:
            target = target + (1.0 - 2.0 * real) * self.label_noise * noise.uniform[row, 0]
        if self.label_flip:
            target = torch.where(noise.uniform[row, 1] < self.label_flip, 1.0 - target, target)
        return target

    def discriminator_loss(self, kind: str, logits: Tensor, noise: Noise) -> Tensor:
        """Dis's mean loss of logits, (B,) or (B, P), of ``kind``, not yet weighted: nats per image, a scalar."""
        loss = self._form.real if kind == "real" else self._form.fake
        a = wide(logits)
        target = self.target(kind, noise).to(a.dtype)
        return loss(a, target.view(-1, *[1] * (a.dim() - 1))).mean()

    def decoder_loss(self, logits: Tensor) -> Tensor:
        """What Dec descends, mean over a fake's logits, (B,) or (B, P): nats per image, a scalar."""
        return self._form.decoder(wide(logits)).mean()

    def gradients(
        self, critic: Critic, logits: dict[str, Tensor], fakes: dict[str, Tensor], noise: Noise
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients of L_GAN for Dis's weights, and of the decoder's loss at the fake images.

        Args:
            critic: Dis, whose trainable parameters take the first gradient.
            logits: kind -> logits, (B,) or (B, P), with their graph; ``real`` and the kinds of ``fakes``.
            fakes: kind -> image leaf (B, C, H, W) that the logits were computed from.
            noise: of this step.

        Returns:
            One gradient per trainable parameter of Dis; kind -> gradient at that fake, of its mean loss.
        """
        weights = trainable(critic.discriminator)
        couples = couples_images(critic.discriminator)
        kinds, images = list(fakes), list(fakes.values())
        cotangents = {kind: self._cotangent(kind, a, noise) for kind, a in logits.items()}
        climbs = {kind: self._decoder_cotangent(logits[kind]) for kind in kinds}
        clean = not self.label_noise and not self.label_flip and all(self.weight(kind) > 0 for kind in kinds)
        outputs = list(logits.values())
        outputs_of_fakes = [logits[kind] for kind in kinds]
        # Together, the reals' loss reaches the fakes as well, over the shared statistics.
        negated = self._form.negated and clean and not (critic.together and couples)
        if negated or not (couples or critic.judges_patches):
            factors: dict[str, Tensor | float] = {}
            for kind in kinds:
                if negated:
                    factors[kind] = -1.0 / self.weight(kind)
                else:
                    cotangents[kind], factors[kind] = _never_zero(cotangents[kind], climbs[kind], logits[kind].dtype)
            found = gradients_of(outputs, [*weights, *images], _like(cotangents, logits))
            at_images = found[len(weights) :]
            scaled = {k: g * _per_image(factors[k], g) for k, g in zip(kinds, at_images, strict=True)}
            return found[: len(weights)], scaled
        found = gradients_of(outputs, list(weights), _like(cotangents, logits), retain=True)
        at_images = gradients_of(outputs_of_fakes, images, _like(climbs, logits))
        return found, dict(zip(kinds, at_images, strict=True))

    def _cotangent(self, kind: str, logits: Tensor, noise: Noise) -> Tensor:
        """C = dL_dis/da of one kind, its weight included."""
        a = leaf(wide(logits))
        (c,) = torch.autograd.grad(self.weight(kind) * self.discriminator_loss(kind, a, noise), a)
        return c

    def _decoder_cotangent(self, logits: Tensor) -> Tensor:
        """U = dL_dec/da."""
        a = leaf(wide(logits))
        (u,) = torch.autograd.grad(self.decoder_loss(a), a)
        return u


def _never_zero(c: Tensor, u: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return c kept off zero, rounded as the backward pass will round it, and u / c of these values, each (B,)."""
    least = 2.0 ** (-64 if c.dtype == torch.float64 else -40) / c.shape[0]
    c = torch.where(c.abs() < least, torch.copysign(torch.full_like(c, least), c), c)
    c = c.to(dtype).to(c.dtype)
    return c, u / c


def _like(cotangents: dict[str, Tensor], logits: dict[str, Tensor]) -> list[Tensor | None]:
    """Cotangents of all logits that have one, in their order and precision."""
    return [cotangents[kind].to(a.dtype) for kind, a in logits.items() if kind in cotangents]


def _per_image(factor: Tensor | float, image: Tensor) -> Tensor | float:
    """A factor per image (B,) in the shape (B, 1, 1, 1); plain numbers as they are."""
    return factor.view(-1, *[1] * (image.dim() - 1)) if isinstance(factor, Tensor) else factor
