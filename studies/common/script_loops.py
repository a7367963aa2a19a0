"""Two ways to fine-tune the same autoencoder with a discriminator: the loop of diffusers' script, and our step.

`Script` is the loop in a few lines, after examples/research_projects/autoencoderkl/train_autoencoderkl.py of
huggingface/diffusers at commit e276f08. It has the script's defaults, except for an absolute pixel error and, as runs
here are short, a higher learning rate and a discriminator that takes part from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaegan.losses import layers_distance, prior_loss
from vaegan.networks import build_parts
from vaegan.objectives import (
    AdversarialLoss,
    LaplacePixels,
    Noise,
    PerceptualLikelihood,
    VAEGANObjective,
    trainable,
)
from vaegan.objectives.likelihoods import Layers
from vaegan.training.device import autocast_for
from vaegan.training.optimisers import assign_gradients

RANGE = (-1.0, 1.0)
PIXEL_VARIANCE = 0.5
"""With it the Laplace's nats are |x - x_tilde| in [-1, 1], the script's pixel error."""
PERCEPTUAL, KL, BALANCE, LONGEST = 0.5, 1e-6, 1.0, 1.0
"""The script's defaults: perceptual_scale, kl_scale, disc_scale, max_grad_norm."""
RATE = 1e-4
NAMES = ("encoder", "decoder", "discriminator")
Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Size:
    """Of images and networks."""

    side: int
    channels: tuple[int, ...]
    batch_size: int


SMALL = Size(32, (16, 32, 32), 16)
WIDE = Size(64, (64, 128, 128), 4)


def networks(size: Size, seed: int = 0) -> Networks:
    """Return encoder, decoder and discriminator: those of kl-f8 with fewer channels and halvings."""
    torch.manual_seed(seed)
    shared = {"groups": 8}
    return build_parts(
        kind="vaegan",
        network="residual",
        latent="map",
        image_shape=(3, size.side, size.side),
        latent_dim=4,
        output="centred",
        init="torch",
        encoder={"channels": size.channels, **shared},
        decoder={"channels": size.channels[::-1], **shared},
        discriminator={
            "channels": (size.channels[0], size.channels[1]),
            "kernel": 3,
            "norm": "group",
            "norm_first_layer": False,
            "activation": "leaky",
            "patch": True,
        },
    )


def optimiser(weights: Sequence[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Return the script's: AdamW with its default decay rates and weight decay."""
    return torch.optim.AdamW(weights, lr, betas=(0.9, 0.999), weight_decay=1e-2)


class Loop(Protocol):
    """A way to train."""

    def step(self, x: Tensor, noise: Noise) -> None:
        """Train on images (B, C, H, W) in [-1, 1]."""


class Script:
    """The script's loop: even steps train encoder and decoder, odd ones the discriminator, each on a batch of its own.

    Args:
        parts: the networks.
        layers: of the perceptual network.
        lr: of both optimisers.
        weight: of the perceptual loss.
        mended: whether the perceptual loss has a gradient; in the script it is computed under `torch.no_grad`.
        precision: fp32, or bf16 by autocast, as with the script's ``--mixed_precision``.
    """

    def __init__(
        self,
        parts: Networks,
        layers: Layers,
        lr: float,
        *,
        weight: float = PERCEPTUAL,
        mended: bool = False,
        precision: str = "fp32",
    ) -> None:
        self.encoder, self.decoder, self.discriminator = (parts[name] for name in NAMES)
        self.layers, self.weight, self.mended, self.steps = layers, weight, mended, 0
        self.vae_weights = [*trainable(self.encoder), *trainable(self.decoder)]
        self.dis_weights = trainable(self.discriminator)
        self.of_vae, self.of_dis = optimiser(self.vae_weights, lr), optimiser(self.dis_weights, lr)
        self.autocast = autocast_for(precision, torch.device("cpu"))

    def step(self, x: Tensor, noise: Noise) -> None:
        """One iteration: a forward pass, then one of the two halves."""
        is_generator = self.steps % 2 == 0
        with self.autocast():
            loss = self.generator_loss(x, noise) if is_generator else self.discriminator_loss(x, noise)
        loss.backward()
        weights, adam = (self.vae_weights, self.of_vae) if is_generator else (self.dis_weights, self.of_dis)
        nn.utils.clip_grad_norm_(weights, LONGEST)
        adam.step()
        adam.zero_grad()  # the other half's gradients stay
        self.steps += 1

    def forward(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, logvar and reconstructions."""
        mu, logvar = self.encoder(x)
        return mu, logvar, self.decoder(mu + torch.exp(0.5 * logvar) * noise.eps)

    def reconstruction_loss(self, x: Tensor, x_tilde: Tensor) -> Tensor:
        """Absolute error and perceptual distance, summed over an image's values."""
        with torch.set_grad_enabled(self.mended):
            distance = layers_distance(self.layers((x_tilde + 1) / 2), self.layers((x + 1) / 2))
        return ((x_tilde - x).abs() + self.weight * distance[:, None, None, None]).sum() / len(x)

    def generator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Reconstruction, KL and adversarial loss, balanced at the decoder's last layer."""
        mu, logvar, x_tilde = self.forward(x, noise)
        nll = self.reconstruction_loss(x, x_tilde)
        adversarial = -self.discriminator(x_tilde, each_patch=True).mean()
        last = [weight for weight in trainable(self.decoder) if weight.dim() == 4][-1]
        of_nll, of_adversarial = (
            torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (nll, adversarial)
        )
        balance = BALANCE * (of_nll / (of_adversarial + 1e-4)).clamp(0.0, 1e4).detach()
        return nll + KL * prior_loss(mu, logvar) + balance * adversarial

    def discriminator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Hinge loss of real images and of reconstructions, which are not detached."""
        x_tilde = self.forward(x, noise)[2]
        real, fake = (self.discriminator(images, each_patch=True) for images in (x, x_tilde))
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


class Ours:
    """Our step: one forward pass, one exact gradient for each part, all parts step."""

    def __init__(
        self, parts: Networks, layers: Layers, lr: float, *, weight: float = PERCEPTUAL, precision: str = "fp32"
    ) -> None:
        self.objective = VAEGANObjective(
            parts["encoder"],
            parts["decoder"],
            parts["discriminator"],
            likelihood=PerceptualLikelihood(LaplacePixels(RANGE, PIXEL_VARIANCE), layers, weight, RANGE),
            adversarial=AdversarialLoss("hinge", real_weight=0.5, reconstruction_weight=0.5),
            fakes="reconstructions",
            kl_weight=KL,
            balance=BALANCE,
            balance_at="last-layer",
            autocast=autocast_for(precision, torch.device("cpu")),
        )
        self.weights = {name: trainable(part) for name, part in self.objective.parts.items()}
        self.optimisers = {name: optimiser(of_part, lr) for name, of_part in self.weights.items() if of_part}

    def step(self, x: Tensor, noise: Noise) -> None:
        """One step of all parts."""
        for part, gradients in self.objective.step(x, noise).gradients.items():
            assign_gradients(self.weights[part], gradients)
            self.optimisers[part].step()
            self.optimisers[part].zero_grad()
