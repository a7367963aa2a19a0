"""A model whose codes are maps takes images of other sizes than its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vaegan.errors import UserError
from vaegan.models import Model

RESIDUAL: dict[str, object] = {"blocks": 1, "groups": 2, "attention": True}
CONV: dict[str, object] = {"kernel": 3, "strides": (2, 1, 2), "norm": "group"}


def build(shape=(2, 16, 24), channels=(4, 6, 8), **changes):
    own = CONV if changes.get("network") == "conv" else RESIDUAL
    architecture = {
        "kind": "vae", "network": "residual", "image_shape": shape, "latent_dim": 3, "latent": "map",
        "output": "centred", "init": "torch", "discriminator": {},
        "encoder": {"channels": channels, **own}, "decoder": {"channels": channels[::-1], **own}, **changes,
    }  # fmt: skip
    torch.manual_seed(0)
    return Model.from_architecture(architecture, {"scale_factor": 0.5}).eval()


@pytest.mark.parametrize(
    ("own", "changes"),
    [
        ((16, 24), {}),
        ((14, 23), {}),
        ((16, 24), {"network": "conv"}),
        ((16, 24), {"network": "conv", "output": "tanh"}),
    ],
)
def test_the_same_weights_take_other_sizes_as_a_model_made_for_them(own, changes):
    model, other = build((2, *own), **changes), build((2, 32, 20), **changes)
    other.load_state_dict(model.state_dict())
    x = torch.rand(2, 2, 32, 20)
    z = model.encode(x)
    assert z.shape == (2, 3, 8, 5)
    torch.testing.assert_close(z.flatten(1), other.encode(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.decode(z), other.decode(z), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.reconstruct(x), other.reconstruct(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.latents(x), other.latents(x), atol=1e-6, rtol=1e-5)
    assert torch.equal(model.decode_latents(model.latents(x)), model.decode(model.latents(x) / 0.5))
    drawn = model.encode(x, sample=True, seed=1)
    assert drawn.shape == z.shape
    assert not torch.equal(drawn, z)
    own_x = torch.rand(2, 2, *own)
    assert model.encode(own_x).shape == (2, model.latent_dim)
    assert model.reconstruct(own_x).shape == own_x.shape


def test_many_images_of_another_size_are_encoded_some_at_a_time(monkeypatch):
    model, sizes = build(), []
    monkeypatch.setattr("vaegan.models.inference.MOST_PIXELS", 3 * 32 * 32)
    for part in model.parts.values():
        part.register_forward_pre_hook(lambda part, inputs: sizes.append(len(inputs[0])))
    model.reconstruct(torch.rand(5, 2, 32, 32))
    assert sizes == [3, 2, 3, 2]


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        (lambda: build(), (16, 30), r"images of 16x30 .* do not fit .* it takes 16x24, or .* multiples of 4$"),
        (lambda: build((2, 14, 23)), (16, 24), r"images of 16x24 .* it takes 14x23, or .* multiples of 4$"),
        (lambda: build(latent="vector"), (16, 32), "images of 16x32 .* it takes 16x24 only, as its codes are vectors"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(model, size, words):
    model = model()
    with pytest.raises(UserError, match=words):
        model.check_size(size)
    with pytest.raises(UserError, match=words if model.factor else r"images must be float \(B, 2, "):
        model.encode(torch.rand(1, 2, *size))


def test_networks_of_the_user_take_their_own_size_only():
    model = Model(encoder=nn.Flatten(), kind="ae", image_shape=(1, 4, 4), latent_dim=16, code_shape=(1, 4, 4))
    assert model.factor is None
    with pytest.raises(UserError):
        model.encode(torch.rand(1, 1, 8, 8))


def test_maps_of_other_channels_are_refused():
    with pytest.raises(UserError, match=r"codes must be float \(B, 72\)"):
        build().decode(torch.zeros(1, 2, 4, 4))


def test_a_place_of_a_map_of_convolutions_is_made_of_pixels_near_it():
    model = build((2, 32, 32), network="conv", encoder={**CONV, "channels": (4, 6, 8), "norm": "none"})
    x = torch.rand(1, 2, 32, 32)
    other = x.clone()
    other[:, :, :8, :8] = 1 - x[:, :, :8, :8]
    changed = (model.maps(model.encode(x)) != model.maps(model.encode(other)))[0].any(0)
    assert changed[:2, :2].all()
    assert not changed[5:].any()
    assert not changed[:, 5:].any()
    assert model.encoder.head.out_channels == 2 * 3
