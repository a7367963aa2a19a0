"""Routes of conditional networks: gradients are those of unconditional ones under the batch's own conditions."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from plain_losses import FORMS, SIDE, B, Z, assert_same, bce, inputs, plain_vaegan, separately
from torch import Tensor, nn

from vaegan.losses import r1_penalty
from vaegan.networks import build_parts
from vaegan.objectives import (
    AdversarialLoss,
    AutoencoderObjective,
    BernoulliPixels,
    FeatureLikelihood,
    GANObjective,
    GaussianPixels,
    MeanCode,
    VAEGANObjective,
)
from vaegan.objectives.feature_discriminator import r1_gradients


class Given(nn.Module):
    """A conditional network under a fixed condition, as an unconditional one; ``conv`` is its layer l."""

    def __init__(self, network: nn.Module, c: Tensor) -> None:
        super().__init__()
        self.network, self.c = network, c

    @property
    def conv(self) -> nn.Module:
        return self.network.dense1.linear

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.network(x, self.c)

    def logits(self, z: Tensor) -> Tensor:
        return self.network.logits(z, self.c)


def make_conditional(network: str, norm: str, kind: str = "vaegan") -> tuple[tuple[nn.Module, ...], Tensor]:
    torch.manual_seed(3)
    channels = {"channels": [4]} if network == "conv" else {}
    part = {"hidden": [12], "norm": norm, **channels}
    made = build_parts(
        kind=kind, network=network, image_shape=(1, SIDE, SIDE), latent_dim=Z, output="sigmoid", init="torch",
        encoder=part, decoder=part, discriminator=part, condition="attributes", condition_dim=3,
    )  # fmt: skip
    return tuple(part.double() for part in made.values()), torch.randn(B, 3, dtype=torch.float64)


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("form", FORMS)
def test_conditional_vaegan_routes(network: str, norm: str, form: str) -> None:
    """Layer l lies behind the join; reconstructions and prior samples go under the batch's own conditions."""
    (nets, c), (x, noise) = make_conditional(network, norm), inputs()
    reference = separately(tuple(Given(net, c) for net in nets), lambda n: plain_vaegan(n, form, x, noise))
    objective = VAEGANObjective(*nets, adversarial=AdversarialLoss(form), gamma=0.3, feature_layer="dense1.linear")
    assert_same(objective.step(x, noise, c=c).gradients, reference)
    other = objective.step(x, noise, c=c.flip(0)).gradients
    assert not any(torch.allclose(other[part][0], reference[part][0]) for part in reference)


def test_conditional_losses_are_the_same_in_evaluation() -> None:
    (nets, c), (x, noise) = make_conditional("conv", "none"), inputs()
    vaegan, vae, gan = VAEGANObjective(*nets), AutoencoderObjective(*nets[:2]), GANObjective(*nets[1:])
    for objective in (vaegan, vae, gan):
        trained, evaluated = objective.step(x, noise, c=c).losses, objective.evaluate(x, noise, c=c)
        for part, terms in trained.items():
            assert evaluated[part]["total"].item() == pytest.approx(terms["total"].item(), rel=1e-9)


@pytest.mark.parametrize("kind", ["gan", "vae", "vae-bernoulli", "vae-dis-l", "pre-training"])
def test_conditional_routes_of_the_other_kinds(kind: str) -> None:
    (nets, c), (x, noise) = make_conditional("mlp", "none"), inputs()
    given = tuple(Given(net, c) for net in nets)

    def plain(n: tuple[Given, Given, Given]) -> dict[str, Tensor]:
        if kind == "gan":
            a, a_p = n[2](x), n[2](n[1](noise.z_p))
            ones = torch.ones_like(a)
            return {"decoder": -bce(a_p, 0 * ones), "discriminator": bce(a, ones) + bce(a_p, 0 * ones)}
        mu, logvar = n[0](x)
        z, kl = mu, 0.0
        if kind != "pre-training":
            z = mu + torch.exp(logvar / 2) * noise.eps
            kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / B
        x_tilde = n[1](z)
        llike = -torch.distributions.Normal(x_tilde, 1.0).log_prob(x).sum() / B
        if kind == "vae-bernoulli":
            llike = F.binary_cross_entropy(x_tilde, x, reduction="sum") / B
        elif kind == "vae-dis-l":
            first = nn.Sequential(n[2].network.flatten)
            features = [n[2].conv(torch.cat([first(image), c], 1)) for image in (x_tilde, x)]
            llike = 0.5 * F.mse_loss(features[0], features[1].detach(), reduction="sum") / B
        return {"encoder": kl + llike, "decoder": llike}

    objective: GANObjective | AutoencoderObjective = GANObjective(nets[1], nets[2])
    if kind != "gan":
        likelihood = {"vae-bernoulli": BernoulliPixels(), "vae-dis-l": FeatureLikelihood()}.get(kind, GaussianPixels())
        encoder = MeanCode(nets[0]) if kind == "pre-training" else nets[0]
        metric = copy.deepcopy(nets[2]) if kind == "vae-dis-l" else None
        objective = AutoencoderObjective(
            encoder, nets[1], likelihood=likelihood, metric=metric, feature_layer="dense1.linear"
        )
    assert_same(objective.step(x, noise, c=c).gradients, separately(given, plain))


def test_conditional_r1_penalty_is_that_of_the_discriminator_under_the_condition() -> None:
    (nets, c), (x, _) = make_conditional("conv", "batch"), inputs()
    copied, leaf = copy.deepcopy(nets[2]), x.clone().requires_grad_()
    penalty = r1_penalty(copied(leaf, c), leaf)
    reference = torch.autograd.grad(3.0 * penalty, list(copied.parameters()), allow_unused=True, materialize_grads=True)
    found, gradients = r1_gradients(nets[2], x, 3.0, autocast=contextlib.nullcontext, seed=0, c=c)
    torch.testing.assert_close(found, penalty.detach())
    for ours, wanted in zip(gradients, reference, strict=True):
        torch.testing.assert_close(ours, wanted)
