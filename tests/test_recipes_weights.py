"""Loss weights of the recipes: the losses as their origins write them, against ours, on the same numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaegan.models import Model
from vaegan.networks import build_parts
from vaegan.objectives import Noise
from vaegan.objectives.feature_discriminator import FeatureDiscriminator
from vaegan.recipes import RECIPES
from vaegan.schedules import KLContext, kl_factor
from vaegan.settings import AugmentSettings
from vaegan.training.factories import build_objective

B = 2


def layer_l(name: str) -> tuple[int, ...]:
    """Shape of Dis's layer l per image, from a batch without memory."""
    recipe = RECIPES[name]
    with torch.device("meta"):
        dis = build_parts(image_shape=recipe.image_shape, **recipe.config.model.model_dump())["discriminator"]
        _, features = FeatureDiscriminator(dis, recipe.config.loss.feature_layer)(torch.zeros(2, *recipe.image_shape))
    return tuple(features.shape[1:])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("shuntw-mnist", (128, 5, 5)),
        ("shuntw-faces64", (256, 8, 8)),
        ("tang-vaegan64", (256, 16, 16)),
        ("edchengg-mnist", ()),
        ("munjal-mnist", (1024,)),
        ("munjal-celeba64", (32768,)),
        ("larsen-celeba64", (256, 8, 8)),
        ("larsen-lfw64", (256, 8, 8)),
        ("larsen-stl64", (256, 8, 8)),
        ("larsen-cifar32", (256, 4, 4)),
        ("larsen-mnist", (1024,)),
    ],
)
def test_layer_l(name: str, shape: tuple[int, ...]) -> None:
    assert layer_l(name) == shape


@dataclass
class Numbers:
    """What a step's losses are made of, in double precision; of a model without a part, zeros."""

    x: Tensor
    x_tilde: Tensor
    mu: Tensor
    logvar: Tensor
    real: Tensor
    tilde: Tensor
    prior: Tensor
    features: Tensor
    features_tilde: Tensor

    @property
    def kl_sum(self) -> Tensor:
        """KL summed over the batch and z."""
        return -0.5 * torch.sum(1 + self.logvar - self.mu**2 - self.logvar.exp())

    @property
    def mean_difference(self) -> Tensor:
        """Mean squared difference of features."""
        return F.mse_loss(self.features_tilde, self.features)

    @property
    def half_sum(self) -> Tensor:
        """Half the squared difference, summed over the batch and all features."""
        return 0.5 * (self.features_tilde - self.features).pow(2).sum()


def entropy(logits: Tensor, target: float) -> Tensor:
    """Mean binary cross entropy of probabilities, as most write it."""
    return F.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, target))


def numbers(name: str, model: Model, x: Tensor, noise: Noise) -> Numbers:
    """Pass images through the parts one by one: evaluation, but batch statistics in the discriminator."""
    nothing = torch.zeros(0)
    mu = logvar = x_tilde = tilde = features = features_tilde = real = prior = nothing
    if model.encoder is not None:
        code = model.encoder(x)
        mu, logvar = code if isinstance(code, tuple) else (code, nothing)
        z = mu + torch.exp(logvar / 2) * noise.eps if isinstance(code, tuple) else code
        x_tilde = model.decoder(z)
    if model.discriminator is not None:
        for module in model.discriminator.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
        dis_l = FeatureDiscriminator(model.discriminator, RECIPES[name].config.loss.feature_layer)
        x_p = model.decoder(noise.z_p)
        if RECIPES[name].config.loss.joint_batch:
            logits, of_all = dis_l(torch.cat([x, x_tilde, x_p]))
            (real, tilde, prior), (features, features_tilde, _) = logits.split(len(x)), of_all.split(len(x))
        else:
            real, features = dis_l(x)
            prior, _ = dis_l(x_p)
            if model.encoder is not None:
                tilde, features_tilde = dis_l(x_tilde)
    values = (x, x_tilde, mu, logvar, real, tilde, prior, features, features_tilde)
    return Numbers(*(value.double() for value in values))


def larsen(w: float, r: float, kl: float = 1.0) -> Callable[[Numbers], dict[str, Tensor]]:
    def losses(n: Numbers) -> dict[str, Tensor]:
        """Their sums over the batch, divided by B, and Dec's by 1 - w: only the ratio of its two terms matters."""
        fakes = B * (entropy(n.tilde, 0) + entropy(n.prior, 0))
        return {
            "encoder": (kl * n.kl_sum + n.half_sum) / B,
            "decoder": (w * n.half_sum - (1 - w) * fakes) / (1 - w) / B,
            "discriminator": (r * B * entropy(n.real, 1) + (1 - r) * B / (2 * B) * fakes) / B,
        }

    return losses


def munjal(gamma: float, gamma_2: float, batch_size: int) -> Callable[[Numbers], dict[str, Tensor]]:
    def losses(n: Numbers) -> dict[str, Tensor]:
        return {
            "encoder": n.kl_sum / B / batch_size + gamma_2 * n.mean_difference,
            "decoder": gamma * n.mean_difference + entropy(n.tilde, 1) + entropy(n.prior, 1),
            "discriminator": entropy(n.real, 1) + entropy(n.tilde, 0) + entropy(n.prior, 0),
        }

    return losses


def edchengg(n: Numbers) -> dict[str, Tensor]:
    return {
        "encoder": n.kl_sum / (B * 784) + 5 * n.mean_difference,
        "decoder": 25 * n.mean_difference + entropy(n.tilde, 1) + entropy(n.prior, 1),
        "discriminator": entropy(n.tilde, 0) + entropy(n.prior, 0) + entropy(n.real, 1),
    }


def shuntw(n: Numbers) -> dict[str, Tensor]:
    return {
        "encoder": n.kl_sum / (B * 64) + n.half_sum / B,
        "decoder": entropy(n.tilde, 1) + entropy(n.prior, 1) + 1e-8 * n.half_sum / B,
        "discriminator": entropy(n.real, 1) + entropy(n.tilde, 0) + entropy(n.prior, 0),
    }


def tang(n: Numbers) -> dict[str, Tensor]:
    of_reals, of_fakes = entropy(n.real, 1) / 2, entropy(n.tilde, 0) / 4 + entropy(n.prior, 0) / 4
    return {
        "encoder": n.mean_difference + 0.01 * n.kl_sum / B,
        "decoder": n.mean_difference - of_fakes,
        "discriminator": of_reals + of_fakes,
    }


def tang_vae(n: Numbers) -> dict[str, Tensor]:
    # A density's logarithm has a constant besides: 3 * 64 * 64 pixels of variance 1/2.
    errors = (n.x_tilde - n.x).pow(2).sum() / B + 3 * 64 * 64 / 2 * math.log(2 * math.pi * 0.5)
    return {"encoder": errors + n.kl_sum / B, "decoder": errors}


def bce(n: Numbers) -> dict[str, Tensor]:
    errors = F.binary_cross_entropy(n.x_tilde, n.x, reduction="sum") / B
    return {"encoder": errors + n.kl_sum / B, "decoder": errors}


def bce_ae(n: Numbers) -> dict[str, Tensor]:
    return dict.fromkeys(("encoder", "decoder"), F.binary_cross_entropy(n.x_tilde, n.x, reduction="sum") / B)


def gan(n: Numbers) -> dict[str, Tensor]:
    return {"decoder": entropy(n.prior, 1), "discriminator": entropy(n.real, 1) + entropy(n.prior, 0)}


AS_THEY_WRITE_IT: dict[str, Callable[[Numbers], dict[str, Tensor]]] = {
    "larsen-celeba64": larsen(1e-5, 0.66),
    "larsen-cifar32": larsen(5e-6, 0.66),
    "larsen-mnist": larsen(30 / 31, 0.5, 0.002),
    "shuntw-mnist": shuntw,
    "tang-vae64": tang_vae,
    "tang-vaegan64": tang,
    "edchengg-mnist": edchengg,
    "munjal-mnist": munjal(100, 100, 256),
    "munjal-celeba64": munjal(30, 10, 128),
    "kmeans-mnist-ae": bce_ae,
    "bce-mnist-vae": bce,
    "mnist-gan": gan,
    "mnist-dcgan": gan,
}


@pytest.mark.parametrize("name", AS_THEY_WRITE_IT)
def test_losses_are_those_of_the_origin(name: str) -> None:
    recipe = RECIPES[name]
    config = recipe.config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model.from_architecture(config.model.model_dump() | {"image_shape": recipe.image_shape}).eval()
        x = model.to_network(torch.rand(B, *recipe.image_shape))
        noise = Noise(torch.randn(B, model.latent_dim), torch.randn(B, model.latent_dim), torch.rand(3, 2, B), 1)
    factor = kl_factor(
        config.loss.kl_schedule, KLContext(0.0, config.loss.kl_epochs, config.train.batch_size, model.latent_dim)
    )
    losses = build_objective(config, model, contextlib.nullcontext).evaluate(x, noise, factor)
    with torch.no_grad():
        wanted = AS_THEY_WRITE_IT[name](numbers(name, model, x, noise))
    assert {part: float(terms["total"]) for part, terms in losses.items()} == {
        part: pytest.approx(float(value), rel=1e-4) for part, value in wanted.items()
    }


def test_the_faces_of_lfw_and_stl_have_celebas_loss() -> None:
    celeba = RECIPES["larsen-celeba64"].config
    for name in ("larsen-lfw64", "larsen-stl64"):
        config = RECIPES[name].config
        assert (config.loss, config.optim, config.model) == (celeba.loss, celeba.optim, celeba.model)


@pytest.mark.parametrize(
    ("name", "gamma"),
    [("larsen-celeba64", 1e-5), ("larsen-cifar32", 5e-6), ("shuntw-mnist", 1e-8)],
)
def test_weights_too_small_to_show_in_a_sum(name: str, gamma: float) -> None:
    assert RECIPES[name].config.loss.gamma == pytest.approx(gamma / (1 - gamma), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "updates", "num_images"),
    [
        ("larsen-celeba64", 37_500, 182_637),
        ("larsen-lfw64", 37_500, 11_900),
        ("larsen-stl64", 50_000, 105_000),
        ("larsen-cifar32", 37_500, 50_000),
    ],
)
def test_the_papers_optimiser_schedule_gate_and_augmentation(name: str, updates: int, num_images: int) -> None:
    config = RECIPES[name].config
    o = config.optim
    assert (o.name, o.lr, o.beta2, o.schedule) == ("rmsprop", 3e-4, 0.9, "anneal")
    assert o.final_lr_factor == pytest.approx(0.00001 / 0.02)
    assert o.weight_decay == pytest.approx(3.125e-7)
    assert (config.loss.gate, config.loss.gate_equilibrium, config.loss.gate_margin) == (True, 0.68, 0.35)
    assert config.train.batch_size == 64
    assert config.train.epochs * num_images / 64 == pytest.approx(updates, rel=1e-3)
    moved = AugmentSettings(shift=2, scale=0.01, rotation=0.01, gamma=0.05, contrast=0.05, hue=0.01)
    augments = name != "larsen-cifar32"
    assert (config.data.augment, config.data.flip) == (moved if augments else AugmentSettings(), augments)


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "optimiser"),
    [
        ("shuntw-mnist", 100, 100, {"lr": 5e-4}),
        ("shuntw-faces64", 100, 32, {"lr": 5e-4, "schedule": "plateau", "plateau_patience": 6, "plateau_factor": 0.75}),
        ("tang-vae64", 20, 64, {"lr": 1e-4, "beta1": 0.9}),
        ("tang-vaegan64", 20, 64, {"lr": 1e-4, "beta1": 0.9}),
        ("edchengg-mnist", 50, 128, {"lr": 1e-4, "beta1": 0.9}),
        ("munjal-mnist", 200, 256, {"lr": 1e-3, "beta1": 0.5}),
        ("munjal-celeba64", 100, 128, {"lr": 3e-4, "discriminator_lr": 1e-4, "beta1": 0.5}),
        ("mnist-dcgan", 20, 128, {"lr": 2e-4, "beta1": 0.5}),
    ],
)
def test_optimisers_of_the_others(name: str, epochs: int, batch_size: int, optimiser: dict[str, object]) -> None:
    config = RECIPES[name].config
    assert (config.train.epochs, config.train.batch_size, config.optim.name) == (epochs, batch_size, "adam")
    assert config.optim.model_dump().items() >= optimiser.items()
    if name == "shuntw-faces64":
        assert config.optim.lr * config.optim.final_lr_factor == pytest.approx(5e-6)
        assert config.model.discriminator.minibatch_features == 16
        assert min(config.loss.label_smoothing, config.loss.label_noise, config.loss.label_flip) > 0
    if name == "munjal-celeba64":
        assert config.data.crop_size == 140
