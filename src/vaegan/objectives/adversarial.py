r"""The adversarial loss L_GAN: the discriminator descends it, the decoder ascends it (or descends another form).

Let a be Dis's logit of a fake, c = dL_dis/da and u = dL_dec/da. Dis's weights need the gradient that starts from c,
the fake image the one that starts from u. One backward pass gives both when the second is a multiple of the first:

* minimax: u = -c, for the whole batch, so the image's gradient is Dis's with its sign turned (unless the reals share
  their batch statistics with the fakes, see `FeatureDiscriminator`'s ``joint_batch``: their c would be added);
* other forms, if no image's logit depends on another image: the gradient at image i is u_i / c_i times Dis's. Where c_i
  is (nearly) zero it is replaced by 2^-40 / B (2^-64 / B in float64): in Dis's weights that is below the last
  bit of the sum, and the image's gradient is exact;
* otherwise (batch norm or minibatch discrimination in Dis) two more backward passes to the images are made.

A patch discriminator has P logits a_ij of image i, and each loss is the mean over all of them. Then u_ij / c_ij is not
one factor per image, and the last case holds, unless the form is minimax.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import one_of
from ..losses import ADVERSARIAL_FORMS, AdversarialForm, wide
from .feature_discriminator import FeatureDiscriminator
from .interface import Noise, gradients_of, leaf, trainable

FAKES = ("reconstruction", "prior")


@dataclass(frozen=True)
class AdversarialLoss:
    """L_GAN: its form, weights and targets.

    Args:
        form: key of `losses.ADVERSARIAL_FORMS`.
        real_weight: weight of the real images' loss in Dis; the decoder never sees the three weights.
        reconstruction_weight: weight of the loss of x_tilde in Dis.
        prior_weight: weight of the loss of x_p in Dis.
        label_smoothing: real targets are 1 minus this.
        label_noise: targets move inwards by U(0, this).
        label_flip: share of images whose target is exchanged.

    Raises:
        UserError: if there is no such form.
    """

    form: str = "minimax"
    real_weight: float = 1.0
    reconstruction_weight: float = 1.0
    prior_weight: float = 1.0
    label_smoothing: float = 0.0
    label_noise: float = 0.0
    label_flip: float = 0.0

    def __post_init__(self) -> None:
        """Raise UserError if there is no such form."""
        one_of("form", self.form, ADVERSARIAL_FORMS)

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
        self,
        dis: FeatureDiscriminator,
        logits: dict[str, Tensor],
        fakes: dict[str, Tensor],
        noise: Noise,
        *,
        moves_fakes: bool = True,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients of L_GAN for Dis's weights, and of the decoder's loss at the fake images.

        Args:
            dis: Dis, whose trainable parameters take the first gradient.
            logits: kind -> logits, (B,) or (B, P), with their graph; ``real`` and the kinds of ``fakes``.
            fakes: kind -> image leaf (B, C, H, W) that the logits were computed from.
            noise: of this step.
            moves_fakes: whether gradients at the fakes are needed.

        Returns:
            One gradient per trainable parameter of Dis; kind -> gradient at that fake, of its mean loss.
        """
        weights = trainable(dis.discriminator)
        # Our networks have this attribute; of other modules it is assumed, which is correct and costs two more passes.
        couples = bool(getattr(dis.discriminator, "couples_images", True))
        kinds, images, outputs = list(fakes), list(fakes.values()), list(logits.values())
        cotangents = _slopes(lambda kind, a: self.weight(kind) * self.discriminator_loss(kind, a, noise), logits)
        if not moves_fakes:
            return gradients_of(outputs, weights, list(cotangents.values())), {}
        logits_of_fakes = {kind: logits[kind] for kind in kinds}
        decoder_cotangents = _slopes(lambda _, a: self.decoder_loss(a), logits_of_fakes)
        clean = not self.label_noise and not self.label_flip and all(self.weight(kind) > 0 for kind in kinds)
        # Together, the reals' loss reaches the fakes as well, over the shared statistics.
        negated = self._form.negated and clean and not (dis.joint_batch and couples)
        underflows = any(a.dtype == torch.float16 for a in logits.values())
        if weights and (negated or not (couples or dis.judges_patches or underflows)):
            factors: dict[str, Tensor | float] = {}
            for kind in kinds:
                if negated:
                    factors[kind] = -1.0 / self.weight(kind)
                else:
                    cotangents[kind], factors[kind] = _never_zero(
                        cotangents[kind], decoder_cotangents[kind], logits[kind].dtype
                    )
            gradients = gradients_of(outputs, [*weights, *images], list(cotangents.values()))
            of_weights, at_images = gradients[: len(weights)], gradients[len(weights) :]
            scaled = {k: g * _per_image(factors[k], g) for k, g in zip(kinds, at_images, strict=True)}
            return of_weights, scaled
        of_weights = gradients_of(outputs, weights, list(cotangents.values()), retain=True)
        at_images = gradients_of(list(logits_of_fakes.values()), images, list(decoder_cotangents.values()))
        return of_weights, dict(zip(kinds, at_images, strict=True))


def _slopes(loss: Callable[[str, Tensor], Tensor], logits: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the derivative of the loss of each kind of logits, by kind: c or u above, in float32 or wider."""
    leaves = {kind: leaf(wide(a)) for kind, a in logits.items()}
    slopes = gradients_of([loss(kind, a) for kind, a in leaves.items()], list(leaves.values()))
    return dict(zip(leaves, slopes, strict=True))


def _never_zero(c: Tensor, u: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return c moved off zero, rounded as the backward pass will round it, and u / c of these values, each (B,)."""
    least = 2.0 ** (-64 if c.dtype == torch.float64 else -40) / c.shape[0]
    c = torch.where(c.abs() < least, torch.copysign(torch.full_like(c, least), c), c)
    c = c.to(dtype).to(c.dtype)
    return c, u / c


def _per_image(factor: Tensor | float, image: Tensor) -> Tensor | float:
    """A factor per image (B,) in the shape (B, 1, 1, 1); plain numbers as they are."""
    return factor.view(-1, *[1] * (image.dim() - 1)) if isinstance(factor, Tensor) else factor


def pairwise_accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """Share of pairs of a real image and a fake whose real one has the larger logit, ties counting half.

    It is the accuracy of a choice between two, and the area under the ROC curve (Hanley and McNeil 1982): 0.5 by
    chance, 1 if every real image has the larger logit. It needs no threshold, which would move with the number and
    weight of the fakes.

    Args:
        real: logits (N,).
        fake: logits (M,).
    """
    difference = real[:, None] - fake[None, :]
    return (0.5 * (1.0 + torch.sign(difference))).mean()


def logit_routes(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean logit of each kind of images, and how accurately Dis distinguishes each kind of fakes from real images.

    Logits are (B,), or (B, P), of which the mean over patches counts. Returns scalars ``discriminator/logit-KIND`` of
    all kinds and ``discriminator/accuracy-KIND`` of fakes.
    """
    logits = {kind: wide(a.detach()).reshape(len(a), -1).mean(1) for kind, a in logits.items()}
    means = {f"discriminator/logit-{kind}": a.mean() for kind, a in logits.items()}
    fakes = {kind: a for kind, a in logits.items() if kind != "real"}
    return means | {f"discriminator/accuracy-{kind}": pairwise_accuracy(logits["real"], a) for kind, a in fakes.items()}
