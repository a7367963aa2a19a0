"""Averaged weights against a loop in plain numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vaegan.training.optimisers import Averages


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_weights_against_a_plain_loop(decay: float) -> None:
    live = {"decoder": network()}
    averages = Averages(live, decay)
    wanted = [p.detach().double() for p in live["decoder"].parameters()]
    g = torch.Generator().manual_seed(1)
    for step in range(1, 41):
        with torch.no_grad():
            for p in live["decoder"].parameters():
                p += 0.1 * torch.randn(p.shape, generator=g)
        averages.update(step)
        now = min(decay, (1 + step) / (10 + step))
        wanted = [now * w + (1 - now) * p.detach() for w, p in zip(wanted, live["decoder"].parameters(), strict=True)]
    for found, w in zip(averages.parts["decoder"].parameters(), wanted, strict=True):
        torch.testing.assert_close(found.double(), w, rtol=1e-5, atol=1e-6)
        assert not found.requires_grad


def test_buffers_are_those_of_the_live_part() -> None:
    live = network()
    averages = Averages({"encoder": live}, 0.999)
    live(torch.randn(8, 3, generator=torch.Generator().manual_seed(2)))
    mine, theirs = dict(averages.parts["encoder"].named_buffers()), dict(live.named_buffers())
    assert not torch.equal(mine["1.running_mean"], theirs["1.running_mean"])
    averages.update(1)
    for name, buffer in theirs.items():
        assert torch.equal(mine[name], buffer), name
        assert mine[name] is not buffer


def test_live_weights_are_left_alone() -> None:
    live = network()
    before = [p.detach().clone() for p in live.parameters()]
    averages = Averages({"encoder": live}, 0.9)
    averages.update(1)
    for p, was in zip(live.parameters(), before, strict=True):
        assert torch.equal(p, was)
        assert p.requires_grad
