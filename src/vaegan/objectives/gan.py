r"""GAN: the decoder against the discriminator, on samples from the prior (Goodfellow et al., arXiv:1406.2661).

    Dec descends   L_adv(D(x_p))        (minimax: log(1 - D(x_p)))
    Dis descends   -log D(x) - log(1 - D(x_p))

A step costs 3d + 6s, or one s more where `adversarial` says so.
"""

import contextlib
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .adversarial import AdversarialLoss, logit_routes
from .diff_augment import DiscriminatorAugment, mean_sign
from .feature_discriminator import FeatureDiscriminator, evaluation_mode
from .interface import Autocast, Losses, Noise, ObjectiveOfParts, StepResult, condition_args, gradients_of, leaf


class GANObjective(ObjectiveOfParts):
    """Losses and gradients of a GAN.

    Args:
        decoder: the generator, (B, Z) -> (B, C, H, W).
        discriminator: (B, C, H, W) -> logits (B,).
        adversarial: form, weights and targets of L_GAN.

    All others are those of `VAEGANObjective`.
    """

    def __init__(
        self,
        decoder: nn.Module,
        discriminator: nn.Module,
        *,
        adversarial: AdversarialLoss | None = None,
        joint_batch: bool = False,
        augment: DiscriminatorAugment | None = None,
        autocast: Autocast = contextlib.nullcontext,
    ) -> None:
        super().__init__({"decoder": decoder, "discriminator": discriminator})
        self.dis = FeatureDiscriminator(discriminator, "logit", joint_batch=joint_batch, augment=augment)
        self.adversarial, self.autocast = adversarial or AdversarialLoss(), autocast

    def step(
        self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None, record: bool = False
    ) -> StepResult:
        """Losses and gradients of one batch ``x`` (B, C, H, W) in the network's range."""
        x_p, x_p_leaf, logits = self._forward(x, noise, *condition_args(c))
        moves = bool(self.weights["decoder"])
        of_dis, at_fakes = self.adversarial.gradients(self.dis, logits, {"prior": x_p_leaf}, noise, moves_fakes=moves)
        of_dec = gradients_of([x_p], self.weights["decoder"], [at_fakes["prior"]]) if moves else []
        routes: dict[str, Tensor] = {}
        if record:
            routes |= {f"decoder/adversarial-{kind}": g.float().norm() for kind, g in at_fakes.items()}
            routes |= logit_routes(logits)
        gradients = {"decoder": of_dec, "discriminator": of_dis}
        gradients = {part: of_part for part, of_part in gradients.items() if of_part}
        return StepResult(self._losses(logits, noise), gradients, routes, mean_sign(logits["real"]))

    def evaluate(self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None) -> Losses:
        """The losses of held-out images (B, C, H, W), in evaluation mode (see `evaluation_mode`)."""
        with torch.no_grad(), evaluation_mode([self.parts["decoder"]], self.parts["discriminator"]):
            return self._losses(self._forward(x, noise, *condition_args(c))[2], noise)

    def _forward(self, x: Tensor, noise: Noise, *c: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """x_p with Dec's graph, its cut copy, and Dis's logits of x and of the copy."""
        masks = partial(self.masks, noise, x)
        with self.autocast(), parametrize.cached():  # spectral norm: the same weights in each pass
            with masks():
                x_p = self.parts["decoder"](noise.z_p, *c)
            x_p_leaf = leaf(x_p, bool(self.weights["decoder"]))
            judged = self.dis.each({"real": x, "prior": x_p_leaf}, *c, masks=masks, draws=noise.augment)
        return x_p, x_p_leaf, {kind: a for kind, (a, _) in judged.items()}

    def _losses(self, logits: dict[str, Tensor], noise: Noise) -> Losses:
        """All losses by part, detached."""
        logits = {kind: a.detach() for kind, a in logits.items()}
        terms = {kind: self.adversarial.discriminator_loss(kind, a, noise) for kind, a in logits.items()}
        total = torch.stack([self.adversarial.weight(kind) * term for kind, term in terms.items()]).sum()
        adversarial = self.adversarial.decoder_loss(logits["prior"])
        losses = {
            "decoder": {"adversarial": adversarial, "total": adversarial},
            "discriminator": {**terms, "total": total},
        }
        return {part: of_part for part, of_part in losses.items() if self.weights[part]}
