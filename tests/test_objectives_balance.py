"""Balanced routes: the lengths that were asked for, and gradients of the loss with that weight written down plainly."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vaegan.config import Config
from vaegan.data import open_data
from vaegan.networks import build_parts
from vaegan.objectives import AdversarialLoss, BernoulliPixels, FeatureLikelihood, Noise, VAEGANObjective
from vaegan.objectives.balance import MOST, adaptive_weight, last_weight
from vaegan.recipes import config_for
from vaegan.training.factories import build_model, build_objective

B, Z, D = 6, 3, 16


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(D, 2 * Z)

    def forward(self, x):
        return self.dense(x.flatten(1)).chunk(2, 1)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(Z, D)

    def logits(self, z):
        return self.dense(z).view(-1, 1, 4, 4)

    def forward(self, z):
        return torch.sigmoid(self.logits(z))


def networks():
    torch.manual_seed(0)
    dis = nn.Sequential(nn.Flatten(), nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, 1))
    return Encoder().double(), Decoder().double(), dis.double()


def inputs():
    g = torch.Generator().manual_seed(1)
    x = torch.rand(B, 1, 4, 4, generator=g, dtype=torch.float64)
    eps, z_p = torch.randn(2, B, Z, generator=g, dtype=torch.float64)
    return x, Noise(eps, z_p, torch.rand(3, 2, B, generator=g, dtype=torch.float64), seed=2)


@pytest.mark.parametrize("fakes", ["both", "prior", "reconstructions"])
@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_lengths_and_gradients(fakes, pixels, ratio):
    nets, (x, noise) = networks(), inputs()
    likelihood = BernoulliPixels() if pixels else FeatureLikelihood()
    objective = VAEGANObjective(
        *nets, likelihood=likelihood, feature_layer="1", gamma=0.2,
        adversarial=AdversarialLoss("non-saturating"), fakes=fakes, adversarial_weight=0.7, balance=ratio,
    )  # fmt: skip
    found = objective.step(x, noise, record=True)

    enc, dec, dis = nets
    mu, logvar = enc(x)
    y = dec.logits((mu + torch.exp(logvar / 2) * noise.eps).detach())
    x_tilde, x_p = torch.sigmoid(y), dec(noise.z_p)
    llike = 0.2 * F.binary_cross_entropy(x_tilde, x, reduction="sum") / B
    if not pixels:
        llike = 0.2 * 0.5 * (dis[:2](x).detach() - dis[:2](x_tilde)).square().sum() / B
    at = {"reconstructions": [y if pixels else x_tilde], "prior": [x_p]}
    at["both"] = at["reconstructions"] + at["prior"]
    shown = {"reconstructions": [x_tilde], "prior": [x_p], "both": [x_tilde, x_p]}[fakes]
    adversarial = 0.7 * sum(F.softplus(-dis(image)).mean() for image in shown)
    (of_llike,) = torch.autograd.grad(llike, at["reconstructions"], retain_graph=True)
    of_adversarial = torch.autograd.grad(adversarial, at[fakes], retain_graph=True)
    length = math.sqrt(sum(float(g.square().sum()) for g in of_adversarial))
    factor = ratio * float(of_llike.norm()) / length

    routes = {name: float(value) for name, value in found.routes.items()}
    assert routes["decoder/balance"] == pytest.approx(factor)
    ours = [value for name, value in routes.items() if name.startswith("decoder/adversarial-")]
    assert math.hypot(*ours) == pytest.approx(ratio * routes["decoder/llike"])
    expected = torch.autograd.grad(llike + factor * adversarial, list(dec.parameters()))
    for a, b in zip(found.gradients["decoder"], expected, strict=True):
        torch.testing.assert_close(a, b)
    assert float(found.losses["decoder"]["total"]) == pytest.approx((llike + factor * adversarial).item())
    plain = VAEGANObjective(
        *nets, likelihood=likelihood, feature_layer="1", gamma=0.2,
        adversarial=AdversarialLoss("non-saturating"), fakes=fakes, adversarial_weight=0.7,
    ).step(x, noise)  # fmt: skip
    for part in ("encoder", "discriminator"):
        for a, b in zip(found.gradients[part], plain.gradients[part], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("fakes", ["both", "prior", "reconstructions"])
def test_lengths_at_the_last_layer(fakes):
    """Eq. 7 of arXiv:2012.09841: both lengths are those of gradients at the weight of the decoder's last layer."""
    nets, (x, noise) = networks(), inputs()
    enc, dec, dis = nets
    objective = VAEGANObjective(
        *nets,
        feature_layer="1",
        gamma=0.2,
        adversarial=AdversarialLoss("hinge"),
        fakes=fakes,
        balance=0.5,
        balance_at="last-layer",
    )
    found = objective.step(x, noise, record=True)
    mu, logvar = enc(x)
    x_tilde, x_p = dec((mu + torch.exp(logvar / 2) * noise.eps).detach()), dec(noise.z_p)
    llike = 0.2 * 0.5 * (dis[:2](x).detach() - dis[:2](x_tilde)).square().sum() / B
    shown = {"reconstructions": [x_tilde], "prior": [x_p], "both": [x_tilde, x_p]}[fakes]
    adversarial = -sum(dis(image).mean() for image in shown)
    lengths = [
        torch.autograd.grad(loss, dec.dense.weight, retain_graph=True)[0].norm() for loss in (llike, adversarial)
    ]
    factor = 0.5 * float(lengths[0] / lengths[1])
    assert float(found.routes["decoder/balance"]) == pytest.approx(factor)
    expected = torch.autograd.grad(llike + factor * adversarial, list(dec.dense.parameters()))
    for a, b in zip(found.gradients["decoder"], expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_last_weight_is_that_of_the_last_layer():
    for network in ("conv", "residual"):
        parts = build_parts(
            kind="vae", network=network, image_shape=(1, 8, 8), latent_dim=2, output="tanh", init="torch",
            encoder={"channels": [4], "groups": 2}, decoder={"channels": [4], "groups": 2}, discriminator={},
        )  # fmt: skip
        assert last_weight(parts["decoder"]) is parts["decoder"].output.weight


def test_a_vanished_route_is_not_blown_up_without_bound():
    zero, one = torch.zeros(3), torch.ones(3)
    assert float(adaptive_weight(one, [zero, zero], 1.0)) == MOST
    assert float(adaptive_weight(zero, [zero], 1.0)) == 0.0
    assert float(adaptive_weight(one.bfloat16(), [2 * one.bfloat16()], 1.0)) == pytest.approx(0.5)


def test_it_is_off_by_default():
    assert Config().loss.balance is None
    data = open_data("digits")
    config = config_for("digits", {"loss.balance": 2.0})
    objective = build_objective(config, build_model(config, data.image_shape), torch.no_grad)
    assert objective.balance == 2.0


def test_a_training_holds_the_ratio_and_resumes_exactly(command, tiny, tmp_path):
    words = ["train", *tiny, "--loss.balance", "0.5", "--train.snapshot-epochs", "1"]
    assert command(*words, "--train.epochs", "2", "--out", tmp_path / "whole") == 0
    for epochs in "12":
        assert command(*words, "--train.epochs", epochs, "--out", tmp_path / "parts") == 0
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    for record in (record for record in records if record["split"] == "train"):
        routes = record["routes"]
        adversarial = math.hypot(routes["decoder/adversarial-reconstruction"], routes["decoder/adversarial-prior"])
        assert adversarial == pytest.approx(0.5 * routes["decoder/llike"], rel=1e-4)
    one, two = (torch.load(tmp_path / name / "checkpoints" / "000000000208.pt") for name in ("whole", "parts"))
    for part, weights in one["parts"].items():
        assert all(torch.equal(tensor, two["parts"][part][name]) for name, tensor in weights.items())
