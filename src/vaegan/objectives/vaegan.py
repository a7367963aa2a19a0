r"""VAE/GAN: three losses, three parts, one forward pass (arXiv:1512.09300, Algorithm 1).

    Enc descends   kl_weight L_prior + encoder_llike_weight L_llike
    Dec descends   gamma L_llike + adversarial_weight L_adv       (minimax: L_adv = -L_GAN)
    Dis descends   L_GAN

All three gradients are taken at the same parameters. The graph is cut at z, x_tilde and x_p, and gradients are carried
over the cuts by hand, so that each product of the chain rule is made once: with e, d, s for one forward pass of Enc,
Dec and Dis, a step costs 3e + 7d + 10s; `adversarial` says when it is 12s.

Conditional networks take the labels or attributes of each image, c, in every pass (section 4.2). x_p is drawn under the
c of the batch's images, as in conditional GANs (arXiv:1411.1784): so real and fake differ in their images alone.
"""

import contextlib
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import one_of
from ..losses import prior_loss, wide
from ..networks.recompute import frozen_statistics
from .adversarial import FAKES, AdversarialLoss, logit_routes
from .balance import adaptive_weight, last_weight
from .code_losses import CodeLosses
from .diff_augment import DiscriminatorAugment, mean_sign
from .feature_discriminator import FeatureDiscriminator, evaluation_mode
from .interface import Autocast, Losses, Noise, ObjectiveOfParts, StepResult, condition_args, gradients_of, leaf
from .likelihoods import FeatureLikelihood, Likelihood


@dataclass
class _Forward:
    """One forward pass: graphs end at ``z_leaf``, ``y_leaf`` and in ``fakes``."""

    z: Tensor
    z_leaf: Tensor
    y: Tensor
    y_leaf: Tensor
    x_p: Tensor | None
    fakes: dict[str, Tensor]
    logits: dict[str, Tensor]
    kl: Tensor
    llike: Tensor


class VAEGANObjective(ObjectiveOfParts):
    """Losses and gradients of VAE/GAN.

    Args:
        encoder: (B, C, H, W) -> mu, logvar, each (B, Z).
        decoder: (B, Z) -> (B, C, H, W).
        discriminator: (B, C, H, W) -> logits (B,).
        likelihood: how reconstructions are compared; the paper's if None.
        adversarial: form, weights and targets of L_GAN.
        fakes: which fakes L_GAN sees: ``both`` (the paper), ``prior`` or ``reconstructions``.
        gamma: weight of L_llike at the decoder, on the scale of nats per image.
        adversarial_weight: weight of the adversarial loss at the decoder.
        encoder_llike_weight: weight of L_llike at the encoder (1 in the paper).
        kl_weight: weight of L_prior at the encoder.
        free_bits: nats per latent dimension that are free of penalty.
        feature_layer: layer l, by name; see `FeatureDiscriminator`.
        joint_batch: whether Dis sees x, x_tilde and x_p as one batch; see `FeatureDiscriminator`. No gradient goes
            through the statistics of its batch norms to fakes that a loss is not of: from L_llike to x_p.
        augment: applied to all images that Dis gets; see `diff_augment`.
        code_losses: of codes that are maps; `balance` compares with L_llike alone.
        balance: norm of the adversarial gradient relative to that of gamma L_llike (see `balance`); None leaves it
            unbalanced.
        balance_at: where these norms are taken: at the decoder's ``images``, or the weight of its ``last-layer``.
        autocast: makes the context in which forward passes run, e.g. bf16 autocast.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminator: nn.Module,
        *,
        likelihood: Likelihood | None = None,
        adversarial: AdversarialLoss | None = None,
        fakes: str = "both",
        gamma: float = 1.0,
        adversarial_weight: float = 1.0,
        encoder_llike_weight: float = 1.0,
        kl_weight: float = 1.0,
        free_bits: float = 0.0,
        feature_layer: str = "auto",
        joint_batch: bool = False,
        augment: DiscriminatorAugment | None = None,
        code_losses: CodeLosses | None = None,
        balance: float | None = None,
        balance_at: str = "images",
        autocast: Autocast = contextlib.nullcontext,
    ) -> None:
        self.likelihood: Likelihood = likelihood or FeatureLikelihood()
        self.code_losses = code_losses or CodeLosses()
        networks = {"encoder": encoder, "decoder": decoder, "discriminator": discriminator}
        super().__init__(networks, self.likelihood, self.code_losses.alignment)
        self.dis = FeatureDiscriminator(discriminator, feature_layer, joint_batch=joint_batch, augment=augment)
        self.adversarial = adversarial or AdversarialLoss()
        kinds = {"both": FAKES, "prior": ("prior",), "reconstructions": ("reconstruction",)}
        self.kinds = kinds[one_of("fakes", fakes, kinds)]
        self.gamma, self.adversarial_weight = gamma, adversarial_weight
        self.encoder_llike_weight, self.kl_weight, self.free_bits = encoder_llike_weight, kl_weight, free_bits
        self.autocast, self.balance = autocast, balance
        self.trains = {name: bool(weights) for name, weights in self.weights.items()}
        one_of("balance_at", balance_at, ("images", "last-layer"))
        at_last = balance is not None and balance_at == "last-layer" and self.trains["decoder"]
        self.last_weight = last_weight(decoder) if at_last else None

    def step(
        self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None, record: bool = False
    ) -> StepResult:
        """Losses and gradients of one batch.

        Args:
            x: real images in the network's range, (B, C, H, W).
            noise: of this step.
            kl_factor: factor on ``kl_weight`` from its schedule.
            c: conditions (B, A) of conditional networks; x_tilde and x_p share those of x.
            record: also return the gradient norm of each loss (`StepResult.routes`).
        """
        f = self._forward(x, noise, *condition_args(c))
        if self.trains["encoder"] or self.trains["decoder"]:
            of_y, *of_likelihood = gradients_of([f.llike], [f.y_leaf, *self.weights.get("likelihood", [])], retain=True)
        else:
            of_y, of_likelihood = torch.zeros_like(f.y_leaf), []
        moves = self.trains["decoder"]
        of_dis, at_fakes = self.adversarial.gradients(self.dis, f.logits, f.fakes, noise, moves_fakes=moves)
        ascent = self._ascent(f, at_fakes)
        balance: Tensor | float = 1.0
        if self.balance is not None and moves:
            balance = self._balance(f, of_y, ascent, self.balance)
            ascent = {kind: balance * g for kind, g in ascent.items()}
        of_dec, of_z, routes = self._decoder_gradients(f, of_y, ascent, record=record)
        gradients = {"encoder": [], "decoder": of_dec, "discriminator": of_dis, "likelihood": of_likelihood, "z": of_z}
        losses = self._losses(f, noise, kl_factor, balance)
        at_z = self.code_losses.add(self, gradients, losses, f.z_leaf, x, noise, *condition_args(c))
        for of_code in gradients.pop("z"):
            gradients["encoder"] = gradients_of(
                [f.z, f.kl],
                self.weights["encoder"],
                [self.encoder_llike_weight * of_code, torch.full_like(f.kl, self.kl_weight * kl_factor)],
            )
        gradients = {part: of_part for part, of_part in gradients.items() if of_part}
        if record:
            routes |= {f"encoder/{name}": (self.encoder_llike_weight * each).norm() for name, each in at_z.items()}
            routes |= logit_routes(f.logits)
            routes |= {"decoder/balance": balance} if isinstance(balance, Tensor) else {}
        return StepResult(losses, gradients, routes, mean_sign(f.logits["real"]))

    def evaluate(self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None) -> Losses:
        """The losses of held-out images (B, C, H, W), in evaluation mode (see `evaluation_mode`)."""
        networks = [self.parts["encoder"], self.parts["decoder"]]
        with torch.no_grad(), evaluation_mode(networks, self.parts["discriminator"]):
            return self._losses(self._forward(x, noise, *condition_args(c)), noise, kl_factor)

    def _forward(self, x: Tensor, noise: Noise, *c: Tensor) -> _Forward:
        """The one forward pass: Enc once, Dec on z and z_p, Dis on x, x_tilde and x_p."""
        encoder, decoder, masks = self.parts["encoder"], self.parts["decoder"], partial(self.masks, noise, x)
        with self.autocast(), parametrize.cached():  # spectral norm: the same weights in each pass
            with masks():
                mu, logvar = (wide(t) for t in encoder(x, *c))
            z = mu + torch.exp(0.5 * logvar) * noise.eps
            z_leaf = leaf(z, self.trains["encoder"])
            with masks():
                y = self.likelihood.decode(decoder, z_leaf, *c)
            y_leaf = leaf(y, self.trains["encoder"] or self.trains["decoder"])
            fakes = {"reconstruction": self.likelihood.image(y_leaf)}
            x_p = None
            if "prior" in self.kinds:
                with masks(), frozen_statistics(decoder):
                    x_p = decoder(noise.z_p, *c)
                fakes["prior"] = leaf(x_p, self.trains["decoder"])
            images = {"real": x} | {k: v for k, v in fakes.items() if k in self.kinds or self.likelihood.in_features}
            judged = self.dis.each(images, *c, masks=masks, draws=noise.augment)
        logits = {kind: a for kind, (a, _) in judged.items() if kind in ("real", *self.kinds)}
        if self.likelihood.in_features:
            llike = self.likelihood.loss(judged["reconstruction"][1], judged["real"][1]).mean()
        else:
            llike = self.likelihood.loss(y_leaf, x).mean()
        kl = prior_loss(mu, logvar, self.free_bits)
        fakes = {kind: fakes[kind] for kind in self.kinds}
        return _Forward(z, z_leaf, y, y_leaf, x_p, fakes, logits, kl, llike)

    def _ascent(self, f: _Forward, at_fakes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gradient of the weighted adversarial loss at Dec's output, for each kind of fakes."""
        ascent = {kind: self.adversarial_weight * at_fake for kind, at_fake in at_fakes.items()}
        if "reconstruction" in ascent and f.fakes["reconstruction"] is not f.y_leaf:
            # Bernoulli: back through the sigmoid.
            (at_logits,) = gradients_of([f.fakes["reconstruction"]], [f.y_leaf], [ascent["reconstruction"]])
            ascent["reconstruction"] = at_logits
        return ascent

    def _balance(self, f: _Forward, of_y: Tensor, ascent: dict[str, Tensor], ratio: float) -> Tensor:
        """Factor on the adversarial gradients, whose norm becomes ``ratio`` times that of gamma L_llike."""
        llike = self.gamma * of_y
        if self.last_weight is None:
            return adaptive_weight(llike, ascent.values(), ratio)
        outputs = {"reconstruction": f.y, "prior": f.x_p}
        fakes = [output for kind in ascent if (output := outputs[kind]) is not None]
        adversarial = gradients_of(fakes, [self.last_weight], list(ascent.values()), retain=True)
        (of_llike,) = gradients_of([f.y], [self.last_weight], [llike], retain=True)
        return adaptive_weight(of_llike, adversarial, ratio)

    def _decoder_gradients(
        self, f: _Forward, of_y: Tensor, ascent: dict[str, Tensor], *, record: bool
    ) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        """Dec's weight gradients (both losses), the gradient of L_llike at z if Enc is trained, both norms at y."""
        of_z = gradients_of([f.y], [f.z_leaf], [of_y], retain=True) if self.trains["encoder"] else []
        if not self.trains["decoder"]:
            return [], of_z, {}
        outputs, cotangents = [f.y], [self.gamma * of_y]
        routes = {"decoder/llike": cotangents[0].float().norm()} if record else {}
        if "reconstruction" in ascent:
            cotangents[0] = cotangents[0] + ascent["reconstruction"]
        if f.x_p is not None:
            outputs.append(f.x_p)
            cotangents.append(ascent["prior"])
        if record:
            routes |= {f"decoder/adversarial-{kind}": g.float().norm() for kind, g in ascent.items()}
        return gradients_of(outputs, self.weights["decoder"], cotangents), of_z, routes

    def _losses(self, f: _Forward, noise: Noise, kl_factor: float, balance: Tensor | float = 1.0) -> Losses:
        """All losses by part, detached; ``total`` is what the part descends (held out: without `balance`)."""
        logits = {kind: a.detach() for kind, a in f.logits.items()}
        kl, llike = f.kl.detach(), f.llike.detach()
        terms = {kind: self.adversarial.discriminator_loss(kind, a, noise) for kind, a in logits.items()}
        adversarial = torch.stack([self.adversarial.decoder_loss(logits[kind]) for kind in self.kinds]).sum()
        weighted = torch.stack([self.adversarial.weight(kind) * term for kind, term in terms.items()]).sum()
        encoder = self.kl_weight * kl_factor * kl + self.encoder_llike_weight * llike
        decoder = self.gamma * llike + balance * self.adversarial_weight * adversarial
        losses = {
            "encoder": {"kl": kl, "llike": llike, "total": encoder},
            "decoder": {"llike": llike, "adversarial": adversarial, "total": decoder},
            "discriminator": {**terms, "total": weighted},
        }
        return {part: of_part for part, of_part in losses.items() if self.trains[part]}
