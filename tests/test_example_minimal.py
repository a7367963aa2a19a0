"""`examples/minimal.py` is short, trains, and what it trains reconstructs digits that it has not seen."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "examples" / "minimal.py"
SPEC = importlib.util.spec_from_file_location("minimal", PATH)
assert SPEC is not None
assert SPEC.loader is not None
minimal = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(minimal)


def test_it_is_short() -> None:
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 150


def test_reconstructions_are_far_better_than_the_mean_image(capsys: pytest.CaptureFixture[str]) -> None:
    error, of_mean = minimal.main(steps=60)
    assert 0.06 < of_mean < 0.08  # the variance of a held-out pixel, whatever is trained
    assert error < 0.6 * of_mean
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("   60  L_prior")
    assert len(printed) == 1 + 1 + 8


def test_each_loss_updates_only_the_networks_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without L_llike in the encoder and the decoder, and with a KL of weight 0, only L_GAN is left."""
    monkeypatch.setattr(minimal, "KL_WEIGHT", 0.0)
    monkeypatch.setattr(minimal, "GAMMA", 0.0)
    monkeypatch.setattr(minimal, "gaussian_feature_loss", lambda features, target: 0.0 * features.flatten(1).sum(1))
    torch.manual_seed(0)
    model = minimal.VAEGAN()
    before = [[weight.detach().clone() for weight in net.parameters()] for net, _ in model.optimisers]
    model.step(torch.rand(8, 1, 8, 8))
    moved = [
        any(not torch.equal(old, new) for old, new in zip(weights, net.parameters(), strict=True))
        for weights, (net, _) in zip(before, model.optimisers, strict=True)
    ]
    assert moved == [False, True, True]
