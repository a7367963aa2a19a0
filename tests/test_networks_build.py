from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from vaegan.errors import UserError
from vaegan.networks import NETWORKS, PARTS_OF_KIND, build_parts
from vaegan.networks.build import INITS
from vaegan.settings import PARTS, DecoderSettings, DiscriminatorSettings, ModelSettings, PartSettings

SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {part: {"hidden": [12, 8]} for part in PARTS},
    "conv": {part: {"channels": [4, 6], "hidden": [8]} for part in PARTS},
    "residual": {part: {"channels": [4, 6], "hidden": [8], "groups": 2, "blocks": 1} for part in PARTS},
}


def built(network: str = "mlp", **changes: Any) -> dict[str, nn.Module]:
    plain: dict[str, Any] = {"kind": "vaegan", "image_shape": [1, 8, 8], "latent_dim": 3, "output": "tanh"}
    return build_parts(**{**plain, "network": network, "init": "paper", **SETTINGS[network], **changes})


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("ae", "encoder decoder"),
        ("vae", "encoder decoder"),
        ("gan", "decoder discriminator"),
        ("vae-dis-l", "encoder decoder discriminator"),
        ("vaegan", "encoder decoder discriminator"),
    ],
)
def test_parts_of_each_kind(network: str, kind: str, parts: str) -> None:
    made = built(network, kind=kind)
    assert list(made) == parts.split()
    if "encoder" in made:
        code = made["encoder"](torch.randn(2, 1, 8, 8))
        assert code.shape == (2, 3) if kind == "ae" else [c.shape for c in code] == [(2, 3), (2, 3)]


def test_kinds_and_families_are_those_of_the_settings() -> None:
    fields = ModelSettings.model_fields
    assert set(PARTS_OF_KIND) == set(fields["kind"].annotation.__args__)
    assert set(NETWORKS) == set(fields["network"].annotation.__args__)
    assert set(INITS) == set(fields["init"].annotation.__args__)


@pytest.mark.parametrize("network", NETWORKS)
def test_takes_all_settings_as_json(network: str) -> None:
    own: dict[str, Any] = {"hidden": (8,), "norm": "group", "activation": "leaky", "dropout": 0.1, "groups": 2}
    if network == "residual":
        own |= {"channels": (4, 6), "blocks": 3, "attention": False}
    if network == "conv":
        own |= {"channels": (4, 6), "strides": (1, 2), "kernel": 4, "padding": "valid"}
    settings = ModelSettings(
        network=network,
        encoder=PartSettings(**own),
        decoder=DecoderSettings(**own, first_channels=5, output_kernel=3, output_stride=2),
        discriminator=DiscriminatorSettings(**own, spectral_norm=True, minibatch_features=2),
    )
    arguments = json.loads(json.dumps({**settings.model_dump(), "image_shape": (1, 8, 8)}))
    made = build_parts(**arguments)
    assert made["decoder"](torch.randn(2, 20)).shape == (2, 1, 8, 8)
    assert made["discriminator"](torch.randn(2, 1, 8, 8)).shape == (2,)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", PARTS_OF_KIND)
def test_every_part_of_a_conditional_model_takes_the_condition(network: str, kind: str) -> None:
    for name, part in built(network, kind=kind, condition="labels", condition_dim=2).items():
        given = torch.randn(2, 3) if name == "decoder" else torch.randn(2, 1, 8, 8)
        part(given, torch.randn(2, 2))
        with pytest.raises(RuntimeError):
            part(given)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("init", INITS)
def test_weights_depend_on_the_seed_alone(network: str, init: str) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        own = {**SETTINGS[network]["discriminator"], "spectral_norm": True}
        made = built(network, init=init, discriminator=own)
        return {f"{part}.{k}": v for part in made for k, v in made[part].state_dict().items()}

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert {name for name in first if name.endswith(("linear.weight", "conv.weight"))} <= differing


def test_spectral_norm_starts_from_the_initialised_weights() -> None:
    torch.manual_seed(0)
    discriminator = built(discriminator={"hidden": [64, 32], "norm": "none", "spectral_norm": True})["discriminator"]
    original = discriminator.dense1.linear.parametrizations.weight.original
    assert original.abs().max() <= (3 * 64) ** -0.5
    discriminator.eval()
    largest = torch.linalg.matrix_norm(discriminator.dense1.linear.weight, 2).item()
    assert largest == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("conv", {"encoder": {"channels": []}}, "model.encoder: channels is empty"),
        (
            "conv",
            {"decoder": {"channels": [8, 8, 8], "strides": [2, 2]}},
            "model.decoder: strides has 2 numbers, channels has 3",
        ),
        (
            "conv",
            {"discriminator": {"channels": [4] * 5}},
            "model.discriminator: strides 2,2,2,2,2 are too many for images of 8x8: number 4 meets a map of 1x1",
        ),
        ("mlp", {"encoder": {"channels": [8]}}, "model.encoder.channels is set, but the network is mlp"),
        ("mlp", {"decoder": {"strides": [2]}}, "model.decoder.strides is set, but the network is mlp"),
        ("mlp", {"condition": "labels"}, "model.condition labels cannot have 0 dimensions"),
        ("mlp", {"kind": "vegan"}, r"kind 'vegan' is unknown \(perhaps you meant 'vaegan'\)"),
        ("mlp", {"encoder": {"hidden": [8], "norm": "bath"}}, r"model.encoder: norm 'bath' is unknown \(perhaps"),
    ],
)
def test_settings_that_cannot_be(network: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        built(network, **changes)
    assert "\n" not in str(caught.value)
