"""Several draws make a VAE an importance-weighted autoencoder: its gradient is that of the bound, written plainly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_losses import B, Z, inputs, make
from torch import Tensor, nn

from vaegan.networks import build_parts
from vaegan.objectives import AutoencoderObjective, BernoulliPixels, GaussianPixels, Noise


def of_draws(num: int) -> tuple[Tensor, Noise]:
    x, noise = inputs()
    eps = torch.randn(num, B, Z, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return x, replace(noise, eps=eps)


def plain_bound(nets: tuple[nn.Module, ...], x: Tensor, noise: Noise, variance: float) -> Tensor:
    """Equation 8 of arXiv:1509.00519 written down plainly, draw by draw, with a full graph."""
    mu, logvar = nets[0](x)
    q = torch.distributions.Normal(mu, torch.exp(logvar / 2))
    weights = []
    for eps in noise.eps:
        z = q.mean + q.stddev * eps
        log_p = torch.distributions.Normal(nets[1](z), variance**0.5).log_prob(x).flatten(1).sum(1)
        prior = torch.distributions.Normal(torch.zeros_like(z), 1.0).log_prob(z).sum(1)
        weights.append(torch.exp(log_p + prior - q.log_prob(z).sum(1)))
    return -torch.stack(weights).mean(0).log().mean()


def test_several_draws_descend_the_importance_weighted_bound() -> None:
    nets, (x, noise) = make(False, 0.0), of_draws(4)
    objective = AutoencoderObjective(nets[0], nets[1], likelihood=GaussianPixels(variance=0.2))
    result, held_out = objective.step(x, noise), objective.evaluate(x, noise)
    bound = plain_bound(nets, x, noise, 0.2)
    expected = torch.autograd.grad(bound, [p for net in nets[:2] for p in net.parameters()])
    bound = float(bound.detach())
    got = result.gradients["encoder"] + result.gradients["decoder"]
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for losses in (result.losses, held_out):
        assert float(losses["encoder"]["total"]) == pytest.approx(bound, rel=1e-12)
        assert losses["decoder"]["total"] == losses["encoder"]["total"]
        # The weighted terms are below the bound by the divergence of the weights from equal ones, at most log K.
        terms = losses["encoder"]["kl"] + losses["encoder"]["llike"]
        assert bound - np.log(4) <= float(terms) <= bound


def test_draws_of_a_conditional_model_have_their_image_and_condition() -> None:
    parts = build_parts(
        kind="vae", network="mlp", image_shape=(1, 2, 2), latent_dim=Z, output="sigmoid", init="torch",
        encoder={"hidden": [5], "norm": "none"}, decoder={"hidden": [5], "norm": "none"}, discriminator={},
        condition="attributes", condition_dim=2,
    )  # fmt: skip
    nets = [part.double() for part in parts.values()]
    x, noise = of_draws(3)
    x, c = x[:, :, :2, :2], torch.randn(B, 2, dtype=torch.float64)
    objective = AutoencoderObjective(*nets, likelihood=BernoulliPixels())
    whole = float(objective.evaluate(x, noise, c=c)["encoder"]["total"])
    each = [objective.evaluate(x[i : i + 1], noise.cut(slice(i, i + 1)), c=c[i : i + 1]) for i in range(B)]
    assert whole == pytest.approx(np.mean([float(losses["encoder"]["total"]) for losses in each]), rel=1e-12)


def test_further_draws_leave_the_first_and_all_other_noise_as_it_was() -> None:
    one, several = (Noise.draw(8, 3, seed=1, images=64, draws=draws) for draws in (1, 4))
    assert torch.equal(several.eps[0], one.eps)
    assert several.eps.shape == (4, 8, 3)
    assert torch.equal(several.z_p, one.z_p)
    assert torch.equal(several.augment, one.augment)
    shares = [Noise.draw(8, 3, seed=1, images=64, rank=rank, world_size=2, draws=4) for rank in (0, 1)]
    assert torch.equal(torch.cat([share.eps for share in shares], 1), several.eps)
