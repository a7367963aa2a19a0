"""A batch in micro-batches: losses and gradients are the whole batch's, and what cannot be split is as documented."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from vaegan.distributed import World
from vaegan.networks import build_parts
from vaegan.objectives import AdversarialLoss, GANObjective, GaussianPixels, Noise, StepResult, VAEGANObjective
from vaegan.objectives.diff_augment import DiscriminatorAugment
from vaegan.objectives.interface import NUM_DRAWS
from vaegan.objectives.micro_batches import accumulated_step, micro_batches
from vaegan.training import LoopSettings, Trainer

B, Z, SIDE, GAMMA = 6, 3, 8, 0.3
NETWORKS: dict[str, dict[str, Any]] = {
    "conv": {"channels": [4, 6], "hidden": [8]},
    "residual": {"channels": [4, 6], "hidden": [8], "blocks": 1, "groups": 2},
}


def build(network: str, norm: str = "group", condition_dim: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    part, dis = {**NETWORKS[network], "norm": norm}, {**NETWORKS["conv"], "norm": norm}
    condition = {"condition": "attributes", "condition_dim": condition_dim} if condition_dim else {}
    parts = build_parts(
        kind="vaegan", network=network, image_shape=(1, SIDE, SIDE), latent_dim=Z, output="tanh", init="torch",
        encoder=part, decoder=part, discriminator=dis, **condition,
    )  # fmt: skip
    return {name: part.double() for name, part in parts.items()}


def objective_of(parts: dict[str, nn.Module], **changes: Any) -> VAEGANObjective:
    pixels = GaussianPixels((-1.0, 1.0))
    adversarial = AdversarialLoss("non-saturating")
    return VAEGANObjective(*parts.values(), likelihood=pixels, adversarial=adversarial, gamma=GAMMA, **changes)


def inputs(condition_dim: int = 0) -> tuple[Tensor, Noise, Tensor | None]:
    x = 2 * torch.rand(B, 1, SIDE, SIDE, dtype=torch.float64) - 1
    eps, z_p = torch.randn(2, B, Z, dtype=torch.float64)
    uniform, augment = torch.rand(3, 2, B, dtype=torch.float64), torch.rand(NUM_DRAWS, B, dtype=torch.float64)
    c = torch.randn(B, condition_dim, dtype=torch.float64) if condition_dim else None
    return x, Noise(eps, z_p, uniform, 11, augment), c


def plain(parts: dict[str, nn.Module], x: Tensor, noise: Noise, c: Tensor | None) -> dict[str, Any]:
    """The three losses of a whole batch, written down plainly, and the gradient of each for its own part."""
    condition = () if c is None else (c,)
    encoder, decoder, discriminator = parts.values()
    mu, logvar = encoder(x, *condition)
    x_tilde, x_p = decoder(mu + (logvar / 2).exp() * noise.eps, *condition), decoder(noise.z_p, *condition)
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    squared = ((x_tilde - x) / 2).square().flatten(1)
    llike = 0.5 * (squared.sum(1) + squared.shape[1] * math.log(2 * math.pi)).mean()
    real, *fakes = (discriminator(image, *condition) for image in (x, x_tilde, x_p))
    losses = {
        "encoder": kl + llike,
        "decoder": GAMMA * llike + sum(F.softplus(-a).mean() for a in fakes),
        "discriminator": F.softplus(-real).mean() + sum(F.softplus(a).mean() for a in fakes),
    }
    return {
        name: (loss, torch.autograd.grad(loss, list(parts[name].parameters()), retain_graph=True))
        for name, loss in losses.items()
    }


def assert_close(got: dict[str, list[Tensor]], wanted: dict[str, list[Tensor]]) -> None:
    assert got.keys() == wanted.keys()
    for part, gradients in wanted.items():
        scale = max(float(g.abs().max()) for g in gradients)
        assert scale > 1e-4, part
        for ours, reference in zip(got[part], gradients, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-7, atol=1e-10 * scale)


@pytest.mark.parametrize("num", [1, 2, 4])
@pytest.mark.parametrize(("network", "condition_dim"), [("conv", 0), ("conv", 2), ("residual", 0)])
def test_the_gradient_is_that_of_the_whole_batch(network: str, condition_dim: int, num: int) -> None:
    parts = build(network, condition_dim=condition_dim)
    x, noise, c = inputs(condition_dim)
    result = accumulated_step(objective_of(parts), num, x, noise, 1.0, c, record=False)
    reference = plain(parts, x, noise, c)
    assert_close(result.gradients, {name: list(gradients) for name, (_, gradients) in reference.items()})
    for name, (loss, _) in reference.items():
        torch.testing.assert_close(result.losses[name]["total"], loss.detach())


def test_losses_and_routes_are_those_of_the_whole_batch() -> None:
    x, noise, _ = inputs()
    objective = objective_of(build("conv"), augment=DiscriminatorAugment(["colour", "cutout"], (-1.0, 1.0)))
    whole = objective.step(x, noise, record=True)
    result = accumulated_step(objective, 4, x, noise, 1.0, record=True)
    assert_close(result.gradients, whole.gradients)
    torch.testing.assert_close(result.losses, whole.losses)
    torch.testing.assert_close(result.real_sign, whole.real_sign)
    assert result.routes.keys() == whole.routes.keys()
    for name, value in whole.routes.items():
        if "accuracy" not in name:  # of pairs within a micro-batch
            torch.testing.assert_close(result.routes[name], value, rtol=1e-5, atol=0.0)


def test_one_micro_batch_is_the_step_itself() -> None:
    x, noise, _ = inputs()
    objective = objective_of(build("conv"))
    whole, result = objective.step(x, noise), accumulated_step(objective, 1, x, noise, 1.0, record=False)
    assert all(torch.equal(a, b) for part in whole.gradients for a, b in
               zip(whole.gradients[part], result.gradients[part], strict=True))  # fmt: skip


def mean_of(first: StepResult, second: StepResult) -> dict[str, list[Tensor]]:
    pairs = {part: zip(first.gradients[part], second.gradients[part], strict=True) for part in first.gradients}
    return {part: [(a + b) / 2 for a, b in pair] for part, pair in pairs.items()}


@pytest.mark.parametrize(("norm", "changes"), [
    ("batch", {}), ("group", {"balance": 0.5}), ("group", {"balance": 0.5, "balance_at": "last-layer"}),
])  # fmt: skip
def test_what_takes_a_micro_batch_alone(norm: str, changes: dict[str, Any]) -> None:
    """Batch norms and the adaptive weight: the mean of two steps, which is not the step of both."""
    x, noise, _ = inputs()
    objective = objective_of(build("conv", norm), **changes)
    half = B // 2
    first = objective.step(x[:half], noise.cut(slice(0, half)))
    second = objective.step(x[half:], noise.cut(slice(half, B)))
    result = accumulated_step(objective, 2, x, noise, 1.0, record=False)
    assert_close(result.gradients, mean_of(first, second))
    whole = objective.step(x, noise).gradients["decoder"]
    assert not torch.allclose(result.gradients["decoder"][0], whole[0], rtol=1e-3)


def test_running_statistics_move_once_for_each_micro_batch() -> None:
    x, noise, _ = inputs()
    parts = build("conv", "batch")
    encoder = parts["encoder"]
    means = [encoder.get_submodule("conv1.conv")(part).mean((0, 2, 3)) for part in x.split(B // 2)]
    accumulated_step(objective_of(parts), 2, x, noise, 1.0, record=False)
    norm = encoder.get_submodule("conv1.norm")
    torch.testing.assert_close(norm.running_mean, 0.9 * 0.1 * means[0] + 0.1 * means[1])
    assert int(norm.num_batches_tracked) == 2


def test_noise_is_cut_and_masks_are_each_micro_batch_s_own() -> None:
    x, noise, c = inputs(2)
    pieces = list(micro_batches(4, x, noise, c))
    assert [len(piece[1]) for piece in pieces] == [2, 2, 1, 1]
    assert [share for share, *_ in pieces] == [2 / 6, 2 / 6, 1 / 6, 1 / 6]
    noises = [of_noise for _, _, of_noise, _ in pieces]
    for name, dim in {"eps": 0, "z_p": 0, "uniform": 2, "augment": 1}.items():
        assert torch.equal(torch.cat([getattr(n, name) for n in noises], dim), getattr(noise, name))
    assert torch.equal(torch.cat([piece[1] for piece in pieces]), x)
    assert torch.equal(torch.cat([of_c for *_, of_c in pieces if of_c is not None]), c)
    assert noises[0].seed == noise.seed
    assert len({n.seed for n in noises}) == 4


class Counting(World):
    """One process that counts its all-reduces."""

    calls: ClassVar[list[int]] = []

    def average_(self, tensors: Any) -> None:
        self.calls.append(len(tensors))


def gan(**changes: Any) -> Trainer:
    parts = build("conv")
    augment = DiscriminatorAugment(["colour", "translation"], (-1.0, 1.0))
    objective = GANObjective(parts["decoder"], parts["discriminator"], augment=augment)
    images = torch.rand(20, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    optimisers = {name: torch.optim.Adam(part.parameters(), lr=1e-3) for name, part in objective.parts.items()}
    settings = LoopSettings(
        batch_size=B, total_images=4 * B, epoch_images=20, latent_dim=Z, image_range=(-1.0, 1.0), r1_weight=5.0,
        r1_every=2, **changes,
    )  # fmt: skip

    def batches(seen: int) -> Tensor:
        return images[torch.arange(seen, seen + B) % 20]

    return Trainer(objective, optimisers, batches, settings, augment=augment, world=Counting())


def test_the_penalty_is_of_the_whole_batch_and_processes_meet_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Noise.draw

    def drawn(*args: Any, **named: Any) -> Noise:
        noise = draw(*args, **named)  # float32, and the networks are float64
        return Noise(noise.eps.double(), noise.z_p.double(), noise.uniform.double(), noise.seed, noise.augment)

    monkeypatch.setattr(Noise, "draw", drawn)
    records = {}
    for num in (1, 3):
        Counting.calls.clear()
        records[num] = gan(accumulate=num).step(keep=True)
        assert len(Counting.calls) == 2  # decoder and discriminator
    assert_close(records[3].applied, records[1].applied)
    torch.testing.assert_close(records[3].routes["discriminator/r1"], records[1].routes["discriminator/r1"])
    assert float(records[1].routes["discriminator/r1"]) > 1e-5


def test_a_run_in_micro_batches_resumes_bit_for_bit(command, tiny, tmp_path) -> None:
    """Dropout and batch norm among them; activations may be computed again from then on, which changes nothing."""
    words = ["train", *tiny, "--train.accumulate", "2", "--model.encoder.dropout", "0.2"]
    assert command(*words, "--train.images", "64", "--out", tmp_path / "whole") == 0
    assert command(*words, "--train.images", "32", "--out", tmp_path / "cut") == 0
    assert command(*words, "--train.images", "64", "--train.checkpoint-activations", "--out", tmp_path / "cut") == 0
    whole, cut = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, cut[name]), name  # though the run that was cut was evaluated once more


@pytest.mark.parametrize(("number", "line"), [
    ("32", "--train.accumulate 32 is more than the 16 images of a process; lower it"),
    ("16", "batch norm in the encoder needs at least 2 images in each micro-batch"),
])  # fmt: skip
def test_too_many_micro_batches_are_refused(number, line, command, tiny, tmp_path, capsys) -> None:
    assert command("train", *tiny, "--train.accumulate", number, "--out", tmp_path / "run") == 2
    assert line in capsys.readouterr().err
