"""Residual networks: fast forms against plain ones, attention against its formula, maps as codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vaegan
from vaegan.errors import UserError
from vaegan.latent.code_paths import interpolate
from vaegan.models import Model
from vaegan.networks import build_parts, code_shape
from vaegan.networks.resample import DownConv2d, NearestConv2d, UpConv2d
from vaegan.networks.residual import ResidualBlock, ResidualDecoder, ResidualEncoder, SelfAttention
from vaegan.operations import OperationCounter
from vaegan.priors import fit_priors

NARROW = {"blocks": 1, "groups": 2}


def architecture(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "kind": "vaegan",
        "network": "residual",
        "image_shape": [3, 16, 12],
        "latent_dim": 2,
        "latent": "map",
        "output": "centred",
        "init": "torch",
        "encoder": {"channels": [4, 6, 8], **NARROW},
        "decoder": {"channels": [8, 6, 4], **NARROW},
        "discriminator": {"channels": [4, 6], "norm": "none", "patch": True},
    }
    return {**plain, **changes}


def model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.from_architecture(architecture(**changes)).eval()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("target", [(10, 12), (9, 12)])
def test_upsampling_equals_repeated_pixels_convolved(layout: torch.memory_format, target: tuple[int, int]) -> None:
    torch.manual_seed(0)
    up = UpConv2d(3, 5, target).double().to(memory_format=layout)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : target[0], : target[1]]
    wanted = F.conv2d(repeated, up.weight, up.bias, padding=1)
    found = up(x)
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found, wanted)
    weighed = torch.randn_like(wanted)
    for a, b in zip(*(torch.autograd.grad((y * weighed).sum(), [x, *up.parameters()]) for y in (found, wanted)),
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(NearestConv2d.forward(up, x), wanted)


@pytest.mark.parametrize(("size", "half"), [((8, 6), (4, 3)), ((7, 5), (4, 3))])
def test_downsampling_is_padded_behind(size: tuple[int, int], half: tuple[int, int]) -> None:
    down, x = DownConv2d(2, 3), torch.randn(1, 2, *size)
    found = down(x)
    assert found.shape == (1, 3, *half)
    padded = F.pad(x, (0, 3, 0, 3))
    by_hand = torch.stack(
        [
            torch.stack([(down.weight * padded[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]).sum((1, 2, 3)) + down.bias
                         for j in range(half[1])], 1)
            for i in range(half[0])
        ], 1,
    )  # fmt: skip
    torch.testing.assert_close(found[0], by_hand)


def test_attention_by_its_formula() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(6, 3).double(), torch.randn(2, 6, 3, 4, dtype=torch.float64)
    h = F.group_norm(x, 3, attention.norm.weight, attention.norm.bias, 1e-6).flatten(2)
    q, k, v = (torch.einsum("oc,bcn->bon", m.weight, h) + m.bias[:, None] for m in
               (attention.query, attention.key, attention.value))  # fmt: skip
    shares = torch.softmax(torch.einsum("bcn,bcm->bnm", q, k) / 6**0.5, 2)
    seen = torch.einsum("bnm,bcm->bcn", shares, v)
    wanted = x + (torch.einsum("oc,bcn->bon", attention.out.weight, seen) + attention.out.bias[:, None]).view_as(x)
    torch.testing.assert_close(attention(x), wanted)


def test_attention_makes_no_matrix_of_all_pairs_of_pixels() -> None:
    attention, x = SelfAttention(4, 2), torch.randn(1, 4, 32, 32, requires_grad=True)
    with OperationCounter() as counter:
        attention(x).sum().backward()
    assert 0 < counter.num_elements < 1024**2


def test_a_block_whose_last_convolution_is_silent_lets_its_input_through() -> None:
    same, wider, x = ResidualBlock(4, 4, 2), ResidualBlock(4, 6, 2), torch.randn(2, 4, 3, 3)
    for block in (same, wider):
        torch.nn.init.zeros_(block.conv2.weight)
        torch.nn.init.zeros_(block.conv2.bias)
    assert torch.equal(same(x), x)
    torch.testing.assert_close(wider(x), F.conv2d(x, wider.shortcut.weight, wider.shortcut.bias))


@pytest.mark.parametrize("size", [(16, 16), (33, 20)])
def test_codes_that_are_maps_go_as_vectors_in_the_order_of_the_map(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    own: dict[str, Any] = {"latent": "map", **NARROW}
    encoder = ResidualEncoder((1, *size), 3, channels=(4, 6, 8), **own).eval()
    decoder = ResidualDecoder((1, *size), 3, channels=(8, 6, 4), **own).eval()
    x = torch.randn(2, 1, *size)
    seen: list[Tensor] = []
    encoder.quant.register_forward_hook(lambda module, inputs, output: seen.append(output))
    mu, logvar = encoder(x)
    height, width = -(-size[0] // 4), -(-size[1] // 4)
    assert seen[0].shape == (2, 6, height, width)
    assert torch.equal(mu, seen[0][:, :3].flatten(1))
    assert torch.equal(logvar, seen[0][:, 3:].flatten(1))
    decoder.post_quant.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    assert decoder(mu).shape == x.shape
    assert torch.equal(seen[1], seen[0][:, :3])


def test_a_model_of_maps_does_with_vectors_what_others_do(tmp_path) -> None:
    plain = architecture()
    assert code_shape(plain) == (2, 4, 3)
    m, x = model(), torch.rand(3, 3, 16, 12)
    assert (m.latent_dim, m.code_shape, m.image_range) == (24, (2, 4, 3), (-1.0, 1.0))
    z = m.encode(x)
    assert z.shape == (3, 24)
    assert m.maps(z).shape == (3, 2, 4, 3)
    assert torch.equal(m.decode(m.maps(z)), m.decode(z))
    assert m.sample(2).shape == (2, 3, 16, 12)
    assert m.decode(interpolate(z[:1], z[1:2], 4, "spherical").flatten(0, 1)).shape == (4, 3, 16, 12)
    assert m.discriminate(x).shape == (3,)
    codes = m.encode(torch.rand(40, 3, 16, 12))
    m.priors = fit_priors(codes, names=["gaussian"], seed=0)
    m.save(tmp_path)
    again = vaegan.load(tmp_path)
    assert again.code_shape == (2, 4, 3)
    assert torch.equal(again.sample(2, prior="gaussian"), m.sample(2, prior="gaussian"))
    assert json.loads((tmp_path / "config.json").read_text())["code_shape"] == [2, 4, 3]


def test_a_discriminator_of_patches_judges_each_by_itself() -> None:
    torch.manual_seed(0)
    dis = build_parts(**architecture(image_shape=[1, 32, 32]))["discriminator"].eval()
    x = torch.randn(2, 1, 32, 32)
    other = x.clone()
    other[:, :, :6, :6] += 1.0
    with torch.no_grad():
        logits, changed = (dis(each, each_patch=True).view(2, 8, 8) for each in (x, other))
        torch.testing.assert_close(dis(x), logits.flatten(1).mean(1))
    moved = (logits != changed).any(0)
    assert moved[:2, :2].all()
    assert not moved[6:].any()
    assert not moved[:, 6:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "mlp"}, "model.latent map needs convolutions: the codes of mlp are vectors"),
        ({"network": "conv", "image_shape": [3, 16, 10]}, "16x10 do not fit .*; set data.size to multiples of 8"),
        ({"latent": "maps"}, r"latent 'maps' is unknown \(perhaps you meant 'map'\)"),
        ({"encoder": {"channels": [4, 8], **NARROW}}, "model.encoder makes images 2 times as small"),
        ({"encoder": {"channels": [4, 6, 9], **NARROW}}, "model.encoder: groups 2 does not divide 9 channels"),
        ({"encoder": {"channels": [4, 6, 8], "hidden": [9], **NARROW}}, "model.encoder: hidden is set, but a map code"),
        ({"condition": "labels", "condition_dim": 2}, "model.encoder: a map code has no dense layer to concatenate"),
        ({"encoder": {"channels": []}, "latent": "vector"}, "model.encoder: channels is empty, but a residual network"),
        ({"encoder": {"channels": [4, 6, 8], "strides": [2, 2, 2]}}, "model.encoder.strides is set, but the network"),
        ({"discriminator": {"channels": [4], "hidden": [8], "patch": True}}, "model.discriminator: hidden is set"),
        ({"network": "mlp", "latent": "vector", "encoder": {"hidden": [8]}, "decoder": {"hidden": [8]},
          "discriminator": {"patch": True}}, "model.discriminator.patch is set, but the network is mlp"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_parts(**architecture(**changes))
    assert "\n" not in str(caught.value)
