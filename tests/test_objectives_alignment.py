"""Alignment of codes with features: the formula, its weight, who descends it, and which features are taken."""

from __future__ import annotations

import contextlib
import copy
import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_objectives_equivariance import CODE, MAPS, OPTIONS, B, inputs, networks
from torch import Tensor

import vaegan
from vaegan.losses import alignment_loss
from vaegan.metrics.extractors import learned
from vaegan.objectives import Alignment, AutoencoderObjective, CodeLosses, GaussianPixels, Noise, VAEGANObjective
from vaegan.objectives.code_losses import features_at
from vaegan.pixels import ImageRange
from vaegan.recipes import config_for
from vaegan.training.factories import build_model, build_objective, build_phases, loop_settings

DIM = 7
KERNEL = torch.randn(DIM, 1, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def layers(x: Tensor) -> list[Tensor]:
    """Maps at twice and at half the resolution of a code, and at its own; the deepest no coarser one is the last."""
    fine = F.conv2d(x, KERNEL.to(x.dtype), padding=1)
    return [fine, F.avg_pool2d(fine, 2), F.avg_pool2d(fine, 4)]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def plain(z: Tensor, f: Tensor) -> Tensor:
    """Both losses of one image, place by place; codes and features (D, h, w)."""
    z, f = z.flatten(1), f.flatten(1)
    num = z.shape[1]
    total = sum(F.relu(1 - 0.5 - cosine(z[:, i], f[:, i])) for i in range(num)) / num
    for i in range(num):
        for j in range(num):
            difference = cosine(z[:, i], z[:, j]) - cosine(f[:, i], f[:, j])
            total = total + F.relu(difference.abs() - 0.25) / num**2
    return total


def test_the_formula():
    g = torch.Generator().manual_seed(1)
    z = torch.randn(3, DIM, 3, 2, generator=g, dtype=torch.float64).requires_grad_()
    f = torch.randn(3, DIM, 3, 2, generator=g, dtype=torch.float64)
    ours = alignment_loss(z, f)
    wanted = torch.stack([plain(each, features) for each, features in zip(z, f, strict=True)])
    torch.testing.assert_close(ours, wanted)
    gradients = [torch.autograd.grad(loss.sum(), z)[0] for loss in (ours, wanted)]
    torch.testing.assert_close(*gradients)
    assert alignment_loss(2 * f, f).tolist() == [0, 0, 0]  # directions alone count


@pytest.mark.parametrize("kind", ["ae", "vae", "vaegan"])
def test_encoder_and_projection_descend_it_and_no_other(kind):
    """The gradient at the codes is a tenth of that of L_llike, and the projection has its plain gradient."""
    x, noise = inputs()
    nets = networks(variational=kind != "ae")
    torch.manual_seed(4)
    alignment = Alignment(0.1, CODE, layers, DIM, ImageRange(-0.5, 1.5)).double()
    weights = {"encoder_llike_weight": 2.0, "kl_weight": 0.7, "gamma": 0.4, "likelihood": GaussianPixels()}

    def objective(code_losses):
        copies = copy.deepcopy(nets)
        made = VAEGANObjective if kind == "vaegan" else AutoencoderObjective
        return made(*copies[: 3 if kind == "vaegan" else 2], code_losses=code_losses, **weights)

    result, without = (objective(some).step(x, noise, record=True) for some in (CodeLosses(None, alignment), None))
    assert set(result.gradients) == {*without.gradients, "alignment"}
    for part in without.gradients.keys() - {"encoder"}:
        assert all(torch.equal(a, b) for a, b in zip(result.gradients[part], without.gradients[part], strict=True))

    encoder, decoder, _ = copy.deepcopy(nets)
    code = encoder(x)
    z, kl = code, torch.zeros(())
    if kind != "ae":
        z, kl = code[0] + (code[1] / 2).exp() * noise.eps, 0.5 * (code[0] ** 2 + code[1].exp() - 1 - code[1]).sum() / B
    torch.manual_seed(noise.seed)
    llike = 0.5 * (decoder(z) - x).square().sum() / B
    features = layers((x + 0.5) / 2)[1]
    projection = alignment.projection.weight.detach().clone().requires_grad_()
    projected = torch.einsum("dc,bchw->bdhw", projection[:, :, 0, 0], z.view(-1, *CODE))
    loss = torch.stack([plain(a, b) for a, b in zip(projected, features, strict=True)]).mean()
    of_llike, of_loss = (torch.autograd.grad(each, z, retain_graph=True)[0] for each in (llike, loss))
    weight = 0.1 * of_llike.norm() / of_loss.norm()
    own = list(encoder.parameters())
    wanted = torch.autograd.grad(0.7 * kl + 2.0 * (llike + weight * loss), own, retain_graph=True)
    for ours, reference in zip(result.gradients["encoder"], wanted, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-9)
    (wanted_projection,) = torch.autograd.grad(loss, projection)
    torch.testing.assert_close(result.gradients["alignment"][0], wanted_projection)
    torch.testing.assert_close(result.losses["encoder"]["alignment"], loss.detach())
    total = without.losses["encoder"]["total"] + 2.0 * weight * loss
    torch.testing.assert_close(result.losses["encoder"]["total"], total.detach())
    torch.testing.assert_close(result.routes["encoder/alignment"], 0.1 * result.routes["encoder/llike"])
    held_out = [objective(some).evaluate(x, noise) for some in (CodeLosses(None, alignment), None)]
    assert held_out[0] == held_out[1]


def test_its_small_gradient_may_be_scaled_up_a_lot():
    """It is a mean over places, where L_llike is a sum over the values of an image."""
    x, noise = inputs()
    alignment = Alignment(1e6, CODE, layers, DIM).double()
    routes = (
        AutoencoderObjective(*networks()[:2], code_losses=CodeLosses(None, alignment))
        .step(x, noise, record=True)
        .routes
    )
    torch.testing.assert_close(routes["encoder/alignment"], 1e6 * routes["encoder/llike"])


@pytest.mark.parametrize("variational", [False, True])
def test_codes_are_aligned_in_mixed_precision(variational):
    x, noise = inputs()
    nets = [network.float() for network in networks(variational)[:2]]
    alignment = Alignment(0.1, CODE, layers, DIM)
    noise = Noise(noise.eps.float(), noise.z_p.float(), noise.uniform.float(), seed=11, transform=noise.transform)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16)
    objective = AutoencoderObjective(*nets, code_losses=CodeLosses(None, alignment), autocast=autocast)
    gradients = objective.step(x.float(), noise).gradients
    assert gradients["alignment"][0].dtype == torch.float32
    assert all(gradient.isfinite().all() for part in gradients.values() for gradient in part)


def test_a_frozen_encoder_is_not_aligned():
    x, noise = inputs()
    nets = networks()
    nets[0].requires_grad_(False)
    alignment = Alignment(0.1, CODE, layers, DIM).double()
    result = AutoencoderObjective(*nets[:2], code_losses=CodeLosses(None, alignment)).step(x, noise)
    assert set(result.gradients) == {"decoder"}


@pytest.mark.parametrize(("size", "chosen"), [((3, 2), 2), ((4, 3), 1), ((6, 4), 1), ((7, 5), 0), ((24, 16), 0)])
def test_features_are_of_the_deepest_layer_that_is_no_coarser_than_the_code(size, chosen):
    x = inputs()[0]
    taken = features_at(size, layers, x)
    assert taken.shape == (B, DIM, *size)
    own = layers(x)[chosen]
    if own.shape[2:] == size:
        torch.testing.assert_close(taken, own)
    torch.testing.assert_close(taken.mean(), own.mean(), atol=0.05, rtol=0.1)


def test_of_a_transformer_the_last_patches_are_taken():
    tokens = [torch.rand(2, DIM, 1 + 9), torch.rand(2, DIM, 1 + 9)]
    taken = features_at((3, 3), lambda x: tokens, torch.rand(2, 1, 8, 8))
    torch.testing.assert_close(taken, tokens[1][:, :, 1:].reshape(2, DIM, 3, 3))


def test_codes_of_many_places_are_averaged_down():
    """Of 64 x 32 places 32 x 32 are left, the means of two rows."""
    z = torch.randn(2, 3 * 64 * 32)
    alignment = Alignment(0.1, (3, 64, 32), lambda x: [x], 3)
    x = torch.rand(2, 3, 64, 32)
    loss, of_z, _ = alignment.gradients(z.requires_grad_(), x)
    halved = [each.reshape(2, 3, 32, 2, 32).mean(3) for each in (z.view(2, 3, 64, 32), x)]
    wanted = alignment_loss(
        alignment.projection(halved[0]), F.interpolate(x, (32, 32), mode="bilinear", antialias=True)
    )
    torch.testing.assert_close(loss, wanted.mean().detach())
    assert of_z.shape == z.shape


def trained(command, images_file, out, *words, images=96):
    start = ["train", "digits", "--data", images_file, *MAPS.split(), *OPTIONS, "--train.images", images, "--out", out]
    assert command(*start, *words) == 0
    checkpoint = max((out / "checkpoints").glob("*.pt"))
    return torch.load(checkpoint, weights_only=True)["parts"], vaegan.load(out).state_dict()


@pytest.mark.slow
def test_a_training_resumes_exactly_with_its_projection(command, images_file, tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 300)
    words = ("--loss.alignment-weight", "0.5", "--loss.alignment", "rotations", "--data.cache", tmp_path / "cache")
    whole, model = trained(command, images_file, tmp_path / "whole", *words)
    for images in (48, 96):
        parts, _ = trained(command, images_file, tmp_path / "parts", *words, images=images)
    assert set(whole) == {"encoder", "decoder", "alignment"}
    for part, weights in whole.items():
        assert all(torch.equal(tensor, parts[part][name]) for name, tensor in weights.items())
    assert not any("projection" in name for name in model)  # it is of the training alone
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert any("alignment" in record["losses"]["encoder"] for record in records if record["split"] == "train")


def test_the_phase_before_the_adversarial_loss_trains_the_same_projection():
    narrow = {"channels": (4, 4, 8), "groups": 2, "blocks": 1}
    changes = {
        **{f"model.{part}.{name}": value for part in ("encoder", "decoder") for name, value in narrow.items()},
        "model.decoder.channels": (8, 4, 4), "model.discriminator.channels": (4, 8),
        "model.discriminator.strides": (2, 1), "model.discriminator.norm": "none", "loss.perceptual": "none",
        "loss.equivariance_weight": 1.0, "loss.alignment_weight": 0.1, "loss.adversarial_start": 0.5,
        "train.images": 64, "train.batch_size": 4,
    }  # fmt: skip
    config = config_for("kl-f4", changes)
    model = build_model(config, (1, 8, 8))
    weights = {"loss.equivariance_weight": 0.0, "loss.alignment_weight": 0.0}
    without = build_objective(config_for("kl-f4", {**changes, **weights}), model, contextlib.nullcontext)
    assert without.code_losses == CodeLosses()
    objective = build_objective(config, model, contextlib.nullcontext, alignment=layers)
    settings = loop_settings(config, model, 64)
    (phase,) = build_phases(config, model, contextlib.nullcontext, None, objective, settings)
    assert phase.objective.parts["alignment"] is objective.parts["alignment"]
    assert phase.objective.code_losses.equivariance.likelihood is objective.likelihood
    x, noise = torch.rand(4, 1, 8, 8), Noise.draw(4, model.latent_dim, seed=0, images=0)
    for each in (phase.objective, objective):
        result = each.step(x, noise)
        assert result.gradients["alignment"][0].abs().sum() > 0
        assert {"equivariance", "alignment"} < set(result.losses["encoder"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.latent": "vector"}, r"--loss\.alignment-weight needs codes that are maps, not --model\.latent vector"),
        ({"train.parts": ("decoder",), "init_from": "a"}, r"trains the encoder, which is frozen; add encoder"),
    ],
)
def test_vectors_and_frozen_encoders_are_refused(changes, message):
    with pytest.raises(vaegan.UserError, match=message):
        config_for("kl-f4", {"loss.alignment_weight": 0.1, **changes})
