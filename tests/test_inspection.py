"""Figures of the code's dimensions against torch.distributions."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from vaegan.data import ImageSet
from vaegan.models import Model
from vaegan.training.health import MOST_IMAGES, code_usage


def held_out(images: torch.Tensor) -> ImageSet:
    return ImageSet(images.numpy(), [str(i) for i in range(len(images))])


class Encoder(nn.Module):
    """Three dimensions: the mean pixel, nothing, nearly nothing."""

    def forward(self, x):
        mu = torch.stack([x.mean((1, 2, 3)), x.new_zeros(len(x)), x.new_full((len(x),), 0.1)], 1)
        return mu, torch.tensor([-1.0, 0.0, 0.0]).expand_as(mu)


def test_kl_and_idle_dimensions():
    images = torch.randint(
        256, (MOST_IMAGES + 5, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    model = Model(encoder=Encoder(), kind="vae", image_shape=(1, 4, 4), latent_dim=3, image_range=(0, 1))
    found = code_usage(model, held_out(images))
    mu = (images[:MOST_IMAGES] / 255).mean((1, 2, 3))
    expected = kl_divergence(Normal(mu, torch.tensor(-0.5).exp()), Normal(0, 1)).mean() + 0.005
    assert found is not None
    assert (found["dead"], found["of"]) == (2, 3)
    torch.testing.assert_close(torch.tensor(found["kl"]), expected)


def test_no_figures_without_a_distribution():
    images = torch.zeros(4, 4, 4, 1, dtype=torch.uint8)
    assert code_usage(Model(kind="gan", image_shape=(1, 4, 4), latent_dim=3), held_out(images)) is None
    plain = Model(encoder=nn.Flatten(), kind="ae", image_shape=(1, 4, 4), latent_dim=16)
    assert code_usage(plain, held_out(images)) is None
