from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from vaegan.errors import UserError
from vaegan.networks import NETWORKS
from vaegan.networks.build import initialise

LAYERS = [
    pytest.param(lambda: nn.Linear(300, 200), 300, id="dense"),
    pytest.param(lambda: nn.Conv2d(40, 60, 5), 40 * 25, id="conv"),
    pytest.param(lambda: nn.ConvTranspose2d(40, 60, 5, stride=2), 40 * 25, id="deconv"),
]


@pytest.mark.parametrize(("make", "fan_in"), LAYERS)
def test_paper(make, fan_in) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = make()
    initialise(layer, "paper")
    bound = 1 / sqrt(3 * fan_in)
    assert 0.999 * bound < layer.weight.abs().max().item() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / sqrt(3), rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=0.02 * bound)
    assert (layer.bias == 0).all()


@pytest.mark.parametrize(("make", "fan_in"), LAYERS)
def test_dcgan(make, fan_in) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = make()
    initialise(layer, "dcgan")
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert layer.weight.abs().max().item() > 0.06  # a normal has tails, a uniform of this width ends at 0.035
    assert (layer.bias == 0).all()


@pytest.mark.parametrize(("make", "fan_in"), LAYERS)
def test_torch_is_left_alone(make, fan_in) -> None:  # type: ignore[no-untyped-def]
    layer = make()
    before = layer.weight.detach().clone()
    initialise(layer, "torch")
    assert torch.equal(layer.weight, before)


def test_norms_start_as_the_identity() -> None:
    network = NETWORKS["mlp"].decoder((1, 8, 8), 4, hidden=(16,))
    initialise(network, "paper")
    assert (network.dense1.norm.weight == 1).all()
    assert (network.dense1.norm.bias == 0).all()


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="init 'papre' is unknown"):
        initialise(nn.Linear(1, 1), "papre")
