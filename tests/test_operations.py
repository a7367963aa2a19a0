"""The counter against numbers computed by hand, and each objective's step against its floor of operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vaegan.networks import build_parts
from vaegan.objectives import (
    AdversarialLoss,
    AutoencoderObjective,
    FeatureLikelihood,
    GANObjective,
    Noise,
    VAEGANObjective,
)
from vaegan.operations import OperationCounter, count_operations

FORMS = ("minimax", "non-saturating", "hinge")
ABOVE, BELOW = 1.05, 0.85


def test_dense_layer_by_hand() -> None:
    x, w = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    product = 2 * 3 * 5 * 7
    assert count_operations(lambda: F.linear(x, w)) == product
    y = F.linear(x, w)
    assert count_operations(lambda: torch.autograd.grad(y.sum(), w, retain_graph=True)) == product
    assert count_operations(lambda: torch.autograd.grad(y.sum(), [x, w])) == 2 * product


def test_convolutions_by_hand() -> None:
    x, w = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(4, 3, 5, 5, requires_grad=True)
    product = 2 * 2 * (4 * 4) * 4 * 3 * (5 * 5)  # multiply-adds twice: images, places, outputs, inputs, kernel
    assert count_operations(lambda: F.conv2d(x, w, stride=2, padding=2)) == product
    y = F.conv2d(x, w, stride=2, padding=2)
    assert count_operations(lambda: torch.autograd.grad(y.sum(), w, retain_graph=True)) == product
    assert count_operations(lambda: torch.autograd.grad(y.sum(), [x, w])) == 2 * product
    # Transposed: each place of the small map, (2, 4, 4, 4), meets the kernel once.
    z = torch.randn(2, 4, 4, 4, requires_grad=True)
    assert count_operations(lambda: F.conv_transpose2d(z, w, stride=2, padding=2)) == product
    y = F.conv_transpose2d(z, w, stride=2, padding=2)
    assert count_operations(lambda: torch.autograd.grad(y.sum(), [z, w])) == 2 * product


def test_operations_are_named_and_add_up() -> None:
    x, w = torch.randn(3, 5), torch.randn(5, 7)
    with OperationCounter() as counter:
        x @ w
        torch.relu(x)
        x @ w
    assert counter.by_operator == {"aten.mm": 2 * 2 * 3 * 5 * 7}
    assert counter.total == 420


def test_new_tensors_are_counted_and_views_are_not() -> None:
    x = torch.randn(3, 5)
    with OperationCounter() as counter:
        y = x.T.clone()[:2]
        torch.relu(y).add_(1)
        torch.var_mean(y, dim=1)
    assert (counter.num_calls, counter.num_elements) == (3, 15 + 6 + 4)


def test_memory_is_that_of_tensors_that_exist_at_a_time() -> None:
    x, w = torch.randn(4, 5), torch.randn(5, 6)
    with OperationCounter() as counter:
        y = x @ w  # 24 numbers
        z = torch.relu(y)
        del y
        assert counter.num_bytes == 4 * 24
        view = z[:2].add_(1.0)
        del z
        assert counter.num_bytes == 4 * 24
        del view
        torch.zeros(10)
    assert (counter.num_bytes, counter.most_bytes) == (0, 4 * 48)


def settings_of(network: str, norm: str) -> dict[str, Any]:
    """Arguments of `build_parts`; ``norm`` is that of the discriminator."""
    if network == "mlp":
        hidden = {"hidden": (1024, 1024, 1024), "norm": "batch"}
        dis = {"hidden": (1024, 512, 256), "norm": norm, "activation": "leaky"}
        return {
            "network": "mlp",
            "image_shape": (1, 28, 28),
            "latent_dim": 20,
            "encoder": hidden,
            "decoder": hidden,
            "discriminator": dis,
        }
    if network == "conv-28":
        return {
            "network": "conv",
            "image_shape": (1, 28, 28),
            "latent_dim": 20,
            "encoder": {"channels": (32, 64), "hidden": (256,), "norm": "batch"},
            "decoder": {"first_channels": 64, "channels": (64, 32), "norm": "batch"},
            "discriminator": {"channels": (32, 64), "hidden": (256,), "norm": norm},
        }
    return {
        "network": "conv",
        "image_shape": (3, 64, 64),
        "latent_dim": 128,
        "encoder": {"channels": (64, 128, 256), "hidden": (2048,), "norm": "batch"},
        "decoder": {"first_channels": 256, "channels": (256, 128, 32), "norm": "batch"},
        "discriminator": {
            "channels": (32, 128, 256, 256),
            "strides": (1, 2, 2, 2),
            "hidden": (512,),
            "norm": norm,
            "norm_first_layer": False,
        },
    }


class Case:
    """Three networks, a batch, and the operations e, d, s of one forward pass of each."""

    def __init__(
        self, network: str, norm: str, batch_size: int = 2, kind: str = "vaegan", condition_dim: int = 0
    ) -> None:
        torch.manual_seed(0)
        settings = settings_of(network, norm)
        self.parts = build_parts(
            kind=kind,
            output="tanh",
            init="paper",
            condition="labels" if condition_dim else "none",
            condition_dim=condition_dim,
            **settings,
        )
        self.x = torch.rand(batch_size, *settings["image_shape"]) * 2 - 1
        self.noise = Noise.draw(batch_size, settings["latent_dim"], seed=0, images=0)
        self.c = torch.rand(batch_size, condition_dim) if condition_dim else None
        self.e, self.d, self.s = (
            0 if part not in self.parts else count_operations(lambda part=part, x=x: self.parts[part](x, self.c))
            for part, x in (("encoder", self.x), ("decoder", self.noise.z_p), ("discriminator", self.x))
        )
        assert self.d > 0

    def assert_near(self, objective: Any, floor: int) -> None:
        counted = count_operations(lambda: objective.step(self.x, self.noise, c=self.c))
        assert BELOW * floor <= counted <= ABOVE * floor, f"{counted / floor:.3f} times the floor"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("network", "norm"),
    [("mlp", "none"), ("mlp", "batch"), ("conv-28", "batch"), ("conv-28", "group"), ("conv-64", "batch")],
)
def test_vaegan_reaches_its_floor(network: str, norm: str, form: str) -> None:
    case = Case(network, norm)
    passes_of_dis = 12 if form != "minimax" and norm == "batch" else 10
    objective = VAEGANObjective(*case.parts.values(), adversarial=AdversarialLoss(form), gamma=1e-3)
    case.assert_near(objective, 3 * case.e + 7 * case.d + passes_of_dis * case.s)


@pytest.mark.parametrize("network", ["mlp", "conv-28"])
def test_conditional_models_reach_the_same_floors(network: str) -> None:
    case = Case(network, "none", condition_dim=10)
    encoder, decoder, discriminator = case.parts.values()
    case.assert_near(VAEGANObjective(*case.parts.values()), 3 * case.e + 7 * case.d + 10 * case.s)
    case.assert_near(GANObjective(decoder, discriminator), 3 * case.d + 6 * case.s)
    case.assert_near(AutoencoderObjective(encoder, decoder), 3 * case.e + 3 * case.d)


def test_recording_routes_costs_nothing() -> None:
    case = Case("mlp", "none")
    objective = VAEGANObjective(*case.parts.values())
    plain, recorded = (
        count_operations(lambda record=record: objective.step(case.x, case.noise, record=record))
        for record in (False, True)
    )
    assert plain == recorded


@pytest.mark.parametrize("network", ["mlp", "conv-28"])
def test_autoencoders_reach_their_floor(network: str) -> None:
    case = Case(network, "batch")
    encoder, decoder, discriminator = case.parts.values()
    case.assert_near(AutoencoderObjective(encoder, decoder), 3 * case.e + 3 * case.d)
    in_features = AutoencoderObjective(encoder, decoder, likelihood=FeatureLikelihood(), metric=discriminator)
    case.assert_near(in_features, 3 * case.e + 3 * case.d + 3 * case.s)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("network", "norm"), [("mlp", "none"), ("mlp", "batch"), ("conv-28", "group")])
def test_gan_reaches_its_floor(network: str, norm: str, form: str) -> None:
    case = Case(network, norm, kind="gan")
    passes_of_dis = 7 if form != "minimax" and norm == "batch" else 6
    objective = GANObjective(*case.parts.values(), adversarial=AdversarialLoss(form))
    case.assert_near(objective, 3 * case.d + passes_of_dis * case.s)


def test_three_whole_backward_passes_would_be_noticed() -> None:
    """The step that one graph and three ``backward`` calls make is far above the floor that these tests allow."""
    case = Case("mlp", "none")
    encoder, decoder, discriminator = case.parts.values()

    def step() -> None:
        mu, logvar = encoder(case.x)
        x_tilde = decoder(mu + torch.exp(0.5 * logvar) * case.noise.eps)
        losses: list[Tensor] = [(x_tilde - case.x).square().sum(), discriminator(x_tilde).sum()]
        losses.append(discriminator(case.x).sum() + discriminator(decoder(case.noise.z_p)).sum() + losses[1])
        for loss in losses:
            loss.backward(retain_graph=True)

    assert count_operations(step) > ABOVE * (3 * case.e + 7 * case.d + 10 * case.s)
