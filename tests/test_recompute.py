"""Activations that are computed again: less is held, and losses, gradients and buffers are the same bit for bit."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaegan.networks import build_parts
from vaegan.networks.recompute import Recomputable, recompute_activations
from vaegan.objectives import Noise, StepResult, VAEGANObjective
from vaegan.objectives.feature_discriminator import r1_gradients

B, Z, SIDE = 4, 3, 16
CONV: dict[str, Any] = {"channels": [4, 6], "hidden": [8], "dropout": 0.3}
RESIDUAL: dict[str, Any] = {"channels": [4, 6], "blocks": 1, "groups": 2, "dropout": 0.3}
FAMILIES: dict[str, dict[str, Any]] = {
    "conv": {"network": "conv", "encoder": CONV, "decoder": CONV, "discriminator": CONV},
    "residual": {"network": "residual", "encoder": RESIDUAL, "decoder": RESIDUAL, "discriminator": CONV},
    "map": {
        "network": "residual", "latent": "map", "encoder": RESIDUAL, "decoder": RESIDUAL,
        "discriminator": {"channels": [4, 6], "norm": "batch", "patch": True},
    },
    "spectral": {
        "network": "conv", "encoder": CONV, "decoder": CONV, "discriminator": {**CONV, "spectral_norm": True},
    },
}  # fmt: skip


def build(family: str, *, recomputes: bool, layout: torch.memory_format = torch.contiguous_format) -> Any:
    torch.manual_seed(0)
    parts = build_parts(
        kind="vaegan", image_shape=(1, SIDE, SIDE), latent_dim=Z, output="tanh", init="torch", **FAMILIES[family]
    )
    for part in parts.values():
        part.to(memory_format=layout)  # type: ignore[call-overload]
        if recomputes:
            recompute_activations(part)
    return parts


def step(parts: dict[str, nn.Module], autocast: Any = contextlib.nullcontext) -> StepResult:
    torch.manual_seed(1)
    x, codes = torch.rand(B, 1, SIDE, SIDE), Z * (SIDE // 2) ** 2 if isinstance(parts["encoder"][-1], nn.Flatten) else Z
    noise = Noise(torch.randn(B, codes), torch.randn(B, codes), torch.rand(3, 2, B), seed=5)
    return VAEGANObjective(*parts.values(), autocast=autocast, balance=0.5, balance_at="last-layer").step(
        x, noise, record=True
    )


def numbers(result: StepResult) -> list[Tensor]:
    losses = [value for terms in result.losses.values() for value in terms.values()]
    return [*losses, *result.routes.values(), *(g for part in result.gradients.values() for g in part)]


def bf16() -> Any:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", ["fp32", "bf16"])
def test_nothing_else_changes(family: str, form: str) -> None:
    layout = torch.contiguous_format if form == "fp32" else torch.channels_last
    autocast = contextlib.nullcontext if form == "fp32" else bf16
    plain, again = (build(family, recomputes=recomputes, layout=layout) for recomputes in (False, True))
    for _ in range(2):  # statistics of the first step are buffers of the second
        for a, b in zip(numbers(step(plain, autocast)), numbers(step(again, autocast)), strict=True):
            assert torch.equal(a, b)
        for name, part in plain.items():
            for (key, a), b in zip(part.state_dict().items(), again[name].state_dict().values(), strict=True):
                assert torch.equal(a, b), (name, key)


def held(network: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass holds for the backward pass, weights among them."""
    storages = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(x)
    total = sum(storages.values())
    del out
    return total


@pytest.mark.parametrize(("family", "share"), [("conv", 0.75), ("map", 0.3)])
def test_less_is_held(family: str, share: float) -> None:
    x = torch.rand(64, 1, SIDE, SIDE)
    plain, again = (held(build(family, recomputes=recomputes)["encoder"], x) for recomputes in (False, True))
    assert again < share * plain


def test_blocks_with_spectral_norm_hold_all() -> None:
    parts = build("spectral", recomputes=True)
    marks = {name: [m.recomputes for m in p.modules() if isinstance(m, Recomputable)] for name, p in parts.items()}
    assert marks == {"encoder": [True, True], "decoder": [True, True], "discriminator": [False, False]}


def test_a_gradient_of_a_gradient() -> None:
    x = torch.rand(B, 1, SIDE, SIDE)
    results = []
    for recomputes in (False, True):
        discriminator = build("conv", recomputes=recomputes)["discriminator"]
        penalty, gradients = r1_gradients(discriminator, x, 2.0, autocast=contextlib.nullcontext, seed=3)
        results.append([penalty, *gradients, *discriminator.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert float(results[0][0]) > 0
