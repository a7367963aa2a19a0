"""Equivariance of codes that are maps: the formula, who descends it, its randomness, and what is refused."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext

import pytest
import torch
from test_cli_maps import NARROW
from torch import Tensor, nn

import vaegan
from vaegan.objectives import (
    AdversarialLoss,
    AutoencoderObjective,
    CodeLosses,
    Equivariance,
    GaussianPixels,
    Noise,
    VAEGANObjective,
)
from vaegan.objectives.code_losses import transformed
from vaegan.objectives.micro_batches import accumulated_step
from vaegan.recipes import config_for
from vaegan.training.factories import build_model, build_objective

B, H, W = 4, 12, 8
CODE = (2, 6, 4)
TRANSFORM = (0.9, 0.4)  # 2 + int(0.9 * 4) = 5 rows and round(5 * 4 / 6) = 3 columns of a code, two quarter turns


def gentle(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, 5, 3, stride, 1), nn.SiLU(), nn.Conv2d(5, outputs, 3, 1, 1))


class Encoder(nn.Module):
    def __init__(self, variational: bool) -> None:
        super().__init__()
        self.body, self.variational = gentle(1, 4 if variational else 2, 2), variational

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        code = self.body(x).flatten(1)
        return tuple(code.chunk(2, 1)) if self.variational else code


class Decoder(nn.Module):
    """With batch norm and dropout, so that statistics and masks show."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(2), nn.Dropout(0.3)
        self.body = nn.Sequential(gentle(2, 4), nn.PixelShuffle(2))

    def forward(self, z: Tensor) -> Tensor:
        z = z if z.dim() == 4 else z.view(-1, *CODE)
        return self.body(self.dropout(self.norm(z)))


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = gentle(1, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((1, 2, 3))


def networks(variational: bool = True) -> tuple[nn.Module, nn.Module, nn.Module]:
    torch.manual_seed(3)
    return Encoder(variational).double(), Decoder().double(), Discriminator().double()


def inputs() -> tuple[Tensor, Noise]:
    g = torch.Generator().manual_seed(5)
    x = torch.rand(B, 1, H, W, generator=g, dtype=torch.float64)
    eps, z_p = torch.randn(2, B, math.prod(CODE), generator=g, dtype=torch.float64)
    uniform = torch.rand(3, 2, B, generator=g, dtype=torch.float64)
    return x, Noise(eps, z_p, uniform, seed=11, transform=TRANSFORM)


def resizing(before: int, after: int) -> Tensor:
    """Bilinear interpolation of one side as a matrix (after, before)."""
    matrix = torch.zeros(after, before, dtype=torch.float64)
    for i in range(after):
        place = max((i + 0.5) * before / after - 0.5, 0.0)
        low = math.floor(place)
        matrix[i, low] += 1 - (place - low)
        matrix[i, min(low + 1, before - 1)] += place - low
    return matrix


def upside_down(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps resized and turned by 180 degrees."""
    small = resizing(maps.shape[2], height) @ maps @ resizing(maps.shape[3], width).T
    return small[:, :, range(height - 1, -1, -1)][:, :, :, range(width - 1, -1, -1)]


def plain(nets, x, noise, variance, weight):
    """L_prior and L_llike + weight L_eq, written as one graph."""
    encoder, decoder, _ = nets

    def decoded(z):
        torch.manual_seed(noise.seed)
        return decoder(z)

    code = encoder(x)
    kl, z = torch.zeros(()), code
    if not isinstance(code, Tensor):
        mu, logvar = code
        z, kl = mu + (logvar / 2).exp() * noise.eps, 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum() / B

    def nats(image, target):
        return -torch.distributions.Normal(image, variance.sqrt()).log_prob(target).sum() / B

    llike = nats(decoded(z), x)
    equivariance = nats(decoded(upside_down(z.view(-1, *CODE), 5, 3)), upside_down(x, 10, 6))
    return kl, llike, equivariance, llike + weight * equivariance


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_maps_are_resized_and_rotated(turns):
    maps = torch.rand(2, 3, 6, 4, dtype=torch.float64)
    small = resizing(6, 5) @ maps @ resizing(4, 3).T
    rotated = transformed(maps, (5, 3), turns)
    assert rotated.shape[2:] == ((5, 3) if turns == 2 else (3, 5))
    for i in range(5):
        for j in range(3):
            place = {1: (2 - j, i), 2: (4 - i, 2 - j), 3: (j, 4 - i)}[turns]
            torch.testing.assert_close(rotated[:, :, place[0], place[1]], small[:, :, i, j])


@pytest.mark.parametrize("kind", ["ae", "vae", "vaegan"])
@pytest.mark.parametrize("trained", ["encoder decoder", "decoder", "encoder"])
def test_encoder_decoder_and_variance_descend_it_and_no_other(kind, trained):
    x, noise = inputs()
    nets = networks(variational=kind != "ae")
    for name, part in zip(("encoder", "decoder"), nets, strict=False):
        part.requires_grad_(name in trained)
    likelihood = GaussianPixels(variance=0.3, learned=True).double()
    weights = {"gamma": 0.4, "encoder_llike_weight": 2.0, "kl_weight": 0.7}

    def objective(weight):
        of = {"likelihood": likelihood, **weights}
        if weight:
            of["code_losses"] = CodeLosses(Equivariance(weight, CODE, likelihood))
        copies = copy.deepcopy(nets)
        if kind == "vaegan":
            return VAEGANObjective(*copies, adversarial=AdversarialLoss("non-saturating"), balance=0.5, **of)
        return AutoencoderObjective(*copies[:2], **of)

    result, without = (objective(weight).step(x, noise, record=True) for weight in (1.5, 0.0))
    log_variance = likelihood.log_variance.detach().clone().requires_grad_()
    copies = copy.deepcopy(nets)
    kl, llike, equivariance, both = plain(copies, x, noise, log_variance.exp(), 1.5)
    descended = {"encoder": 0.7 * kl + 2.0 * both, "decoder": 0.4 * both}
    for part, network in zip(("encoder", "decoder"), copies, strict=False):
        assert (part in result.gradients) == (part in trained)
        if part not in trained:
            continue
        wanted = torch.autograd.grad(descended[part], list(network.parameters()), retain_graph=True)
        if kind == "vaegan" and part == "decoder":  # and the adversarial loss, as it was
            more = torch.autograd.grad(0.4 * llike, list(network.parameters()), retain_graph=True)
            wanted = [a - b + c for a, b, c in zip(wanted, more, without.gradients[part], strict=True)]
        for ours, reference in zip(result.gradients[part], wanted, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-9)
        assert any(
            not torch.allclose(a, b) for a, b in zip(result.gradients[part], without.gradients[part], strict=True)
        )
        torch.testing.assert_close(result.losses[part]["equivariance"], equivariance.detach())
        factor = {"encoder": 2.0, "decoder": 0.4}[part]
        change = result.losses[part]["total"] - without.losses[part]["total"]
        torch.testing.assert_close(change, factor * 1.5 * equivariance.detach())
        assert list(result.losses[part])[-1] == "total"
    (wanted,) = torch.autograd.grad(both, log_variance)
    torch.testing.assert_close(result.gradients["likelihood"][0], wanted)
    if kind == "vaegan":
        pairs = zip(result.gradients["discriminator"], without.gradients["discriminator"], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    if "encoder" in trained:
        assert torch.equal(result.routes["encoder/llike"], without.routes["encoder/llike"])
        assert result.routes["encoder/equivariance"] > 0


def test_held_out_losses_and_running_statistics_are_those_without():
    x, noise = inputs()
    likelihood = GaussianPixels()
    made = []
    for equivariance in (None, Equivariance(2.0, CODE, likelihood)):
        losses = CodeLosses(equivariance)
        objective = AutoencoderObjective(*networks()[:2], likelihood=likelihood, code_losses=losses)
        objective.step(x, noise)
        made.append((objective.evaluate(x, noise), objective.parts["decoder"].norm.state_dict()))
    (losses, statistics), (others, more) = made
    assert losses == others
    assert all(torch.equal(statistics[name], more[name]) for name in ("running_mean", "running_var"))


def test_micro_batches_share_the_transform():
    x, noise = inputs()
    encoder, decoder, _ = networks()
    likelihood = GaussianPixels()
    objective = AutoencoderObjective(
        encoder, decoder.eval(), likelihood=likelihood, code_losses=CodeLosses(Equivariance(1.0, CODE, likelihood))
    )
    whole, parts = (accumulated_step(objective, num, x, noise, 1.0, record=False) for num in (1, 2))
    for part, gradients in whole.gradients.items():
        torch.testing.assert_close(parts.gradients[part], gradients)
    torch.testing.assert_close(parts.losses, whole.losses)


def test_transforms_are_of_the_seed_and_the_images_seen_alone():
    whole = Noise.draw(8, 3, seed=1, images=64)
    shares = [Noise.draw(8, 3, seed=1, images=64, rank=rank, world_size=2) for rank in (0, 1)]
    assert whole.transform == shares[0].transform == shares[1].transform
    others = [Noise.draw(8, 3, seed=seed, images=images).transform for seed, images in ((1, 72), (2, 64))]
    assert len({whole.transform, *others}) == 3


def test_scales_and_angles_are_those_of_the_paper():
    """Codes of 32 rows have 8 to 31, as in the published code; each as often as the others."""
    equivariance = Equivariance(1.0, (4, 32, 48), GaussianPixels())
    grid = [(i + 0.5) / 72 for i in range(72)]
    found = [equivariance.transform(Noise(*[torch.empty(0)] * 3, 0, transform=(u, v))) for u in grid for v in grid]
    counts = {size: sum(each[0] == size for each in found) for size in {size for size, _ in found}}
    assert counts == {(rows, round(1.5 * rows)): 3 * 72 for rows in range(8, 32)}
    assert {turns: sum(each[1] == turns for each in found) for turns in (1, 2, 3)} == dict.fromkeys((1, 2, 3), 24 * 72)
    assert Equivariance(1.0, (4, 1, 1), GaussianPixels()).transform(inputs()[1])[0] == (1, 1)


OPTIONS = ["--model.kind", "vae", "--loss.likelihood", "laplace", "--loss.gamma", "1", "--train.priors", "none"]
MAPS = NARROW[: NARROW.index("--model.discriminator")] + NARROW[NARROW.index("--device") :]


def trained(command, images_file, out, *words, images=96):
    start = ["train", "digits", "--data", images_file, *MAPS.split(), *OPTIONS, "--train.images", images, "--out", out]
    assert command(*start, *words) == 0
    return vaegan.load(out).state_dict()


def test_a_training_resumes_exactly(command, images_file, tmp_path):
    weight = ("--loss.equivariance-weight", "0.5")
    whole = trained(command, images_file, tmp_path / "whole", *weight)
    for images in (48, 96):
        parts = trained(command, images_file, tmp_path / "parts", *weight, images=images)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    without = trained(command, images_file, tmp_path / "without")
    for part in ("encoder", "decoder"):
        assert any(not torch.equal(whole[name], without[name]) for name in whole if name.startswith(part))
    assert '"equivariance"' in (tmp_path / "whole" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    "changes", [{"model.latent": "vector"}, {"loss.likelihood": "feature", "loss.perceptual": "none"}]
)
def test_vectors_and_features_are_refused(changes):
    with pytest.raises(vaegan.UserError, match=r"--loss\.equivariance-weight needs codes that are maps and"):
        config_for("kl-f4", {"loss.equivariance_weight": 1.0, **changes})


def test_quarters_too_small_for_lpips_are_refused():
    own = {"channels": (2, 2, 2), "groups": 1, "blocks": 1}
    changes = {f"model.{part}.{name}": value for part in ("encoder", "decoder") for name, value in own.items()}
    changes |= {"model.kind": "vae", "loss.perceptual": "lpips", "loss.equivariance_weight": 1.0}
    config = config_for("kl-f4", changes)
    for size in (64, 60):
        model = build_model(config, (3, size, size))
        with pytest.raises(vaegan.UserError, match="and LPIPS needs 16 pixels") if size < 64 else nullcontext():
            build_objective(config, model, nullcontext, perceptual=lambda x: [x])


def test_sides_that_halve_unevenly_are_refused(command, images_file, tmp_path, capsys):
    words = [*MAPS.split(), *OPTIONS, "--loss.equivariance-weight", "1", "--data.size", "7x8", "--out", tmp_path / "a"]
    assert command("train", "digits", "--data", images_file, *words) == 2
    error = capsys.readouterr().err
    assert "needs images whose sides are multiples of 2, not 7x8; set --data.size, or the weight to 0" in error
    assert error.count("\n") == 1
