"""The training loop used alone: custom networks, plain tensors, no run folder."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaegan.errors import UserError
from vaegan.objectives import AutoencoderObjective, GANObjective, GaussianPixels, Noise, VAEGANObjective
from vaegan.objectives.balance import BalanceGate
from vaegan.training import LoopSettings, NotFiniteError, Record, Trainer
from vaegan.training.optimisers import Averages, make_optimiser

N, B, Z = 20, 4, 3


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 2 * Z))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.body(x).chunk(2, 1)


def networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(Z, 16), nn.Dropout(0.2), nn.Tanh(), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 1))
    return Encoder(), decoder, discriminator


def pictures() -> Tensor:
    return torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def batches(images_seen: int) -> Tensor:
    return pictures()[torch.arange(images_seen, images_seen + B) % N]


def settings(**changes: Any) -> LoopSettings:
    return LoopSettings(**{"batch_size": B, "total_images": 40, "epoch_images": N, "latent_dim": Z, **changes})


def vaegan(**changes: Any) -> Trainer:
    objective = VAEGANObjective(*networks(), feature_layer="1")
    return trainer_of(objective, **changes)


def trainer_of(objective: Any, given: Callable[[int], Tensor] = batches, **changes: Any) -> Trainer:
    own = {name: changes.pop(name) for name in ("averages", "gate", "device") if name in changes}
    optimisers = {
        name: make_optimiser("adam", list(part.parameters()), lr=1e-3) for name, part in objective.parts.items()
    }
    return Trainer(objective, optimisers, given, settings(**changes), **own)


def weights_of(trainer: Trainer) -> dict[str, list[Tensor]]:
    parts = trainer.objective.parts
    return {name: [t.detach().clone() for t in part.state_dict().values()] for name, part in parts.items()}


def assert_equal(a: dict[str, list[Tensor]], b: dict[str, list[Tensor]]) -> None:
    assert a.keys() == b.keys()
    for part, tensors in a.items():
        assert all(torch.equal(t, u) for t, u in zip(tensors, b[part], strict=True)), part


def test_gradients_are_handed_out_in_the_steps_that_ask() -> None:
    trainer = vaegan(clip=0.01)
    for record in trainer.run(keep_when=lambda images: images == 4 * B):
        assert bool(record.applied) == (record.images == 4 * B)
        for part, gradients in record.applied.items():
            assert [g.shape for g in gradients] == [p.shape for p in trainer.objective.parts[part].parameters()]
            length = torch.stack([g.norm() for g in gradients]).norm()
            torch.testing.assert_close(length, record.gradients[part].clamp(max=0.01))


def test_a_few_lines_train() -> None:
    encoder, decoder, _ = networks()
    objective = AutoencoderObjective(encoder, decoder)
    optimisers = {name: torch.optim.Adam(part.parameters(), lr=1e-2) for name, part in objective.parts.items()}
    trainer = Trainer(objective, optimisers, batches, settings(total_images=1200))
    llikes = [float(record.losses["encoder"]["llike"]) for record in trainer.run()]
    errors = [llike - 32 * math.log(2 * math.pi) for llike in llikes]  # half the squared error: less the constant
    assert sum(errors[-10:]) / 10 < 0.5 * errors[0]


def test_a_record_per_step_counted_in_images() -> None:
    records: list[Record] = list(vaegan().run())
    assert [r.images for r in records] == list(range(B, 41, B))
    assert [r.steps for r in records] == list(range(1, 11))
    assert [r.epoch for r in records] == pytest.approx([i / N for i in range(B, 41, B)])
    for record in records:
        assert set(record.losses) == set(record.gradients) == {"encoder", "decoder", "discriminator"}
        assert record.skipped == frozenset()
        assert all(float(norm) > 0 for norm in record.gradients.values())


def test_routes_are_recorded_when_asked_for() -> None:
    asked: list[int] = []

    def when(images: int) -> bool:
        asked.append(images)
        return images == 3 * B

    records = list(vaegan().run(record_when=when))
    assert asked == [r.images for r in records]
    assert [bool(r.routes) for r in records] == [images == 3 * B for images in asked]
    assert "decoder/llike" in records[2].routes


def test_bytes_and_floats_are_the_same_images() -> None:
    as_bytes = (pictures() * 255).round().to(torch.uint8)
    for image_range in ((0.0, 1.0), (-1.0, 1.0)):
        trainer = vaegan(image_range=image_range)
        low, high = image_range
        wanted = low + (high - low) * as_bytes.float() / 255
        torch.testing.assert_close(trainer.network_range(as_bytes.permute(0, 2, 3, 1)), wanted)
        torch.testing.assert_close(trainer.network_range(as_bytes.float() / 255), wanted)


def test_images_given_as_floats_are_left_alone() -> None:
    given = pictures()
    trainer_of(VAEGANObjective(*networks()), lambda images: given[:B], image_range=(-1.0, 1.0)).step()
    assert torch.equal(given, pictures())


def test_a_part_without_an_optimiser_is_named() -> None:
    encoder, decoder, _ = networks()
    objective = AutoencoderObjective(encoder, decoder, likelihood=GaussianPixels(learned=True))
    optimisers = {"encoder": torch.optim.SGD(encoder.parameters(), lr=0.1)}
    with pytest.raises(UserError, match="no optimiser for the decoder and the likelihood; give each part its own"):
        Trainer(objective, optimisers, batches, settings())


def test_batches_of_another_size_are_refused() -> None:
    with pytest.raises(UserError, match="the batch has 4 images, not 8: batch_size is 8; change one of them"):
        vaegan(batch_size=8).step()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lr_schedule": "cosin"}, r"lr_schedule 'cosin' is unknown \(perhaps you meant 'cosine'\)"),
        ({"kl_schedule": "ramp"}, "kl_schedule 'ramp' is unknown"),
        ({"accumulate": 0}, "accumulate must be at least 1, not 0"),
        ({"accumulate": 5}, "a batch of 4 images cannot be cut into 5 micro-batches"),
        ({"r1_every": 0}, "r1_every must be at least 1"),
        ({"kl_epochs": 0.0}, "kl_epochs must be above 0"),
        ({"epoch_images": 0}, "epoch_images must be at least 1"),
    ],
)
def test_settings_without_a_meaning_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings(**changes)


def test_state_and_restore_continue_bit_for_bit() -> None:
    def with_averages() -> Trainer:
        objective = VAEGANObjective(*networks(), feature_layer="1")
        averages = Averages({"decoder": objective.parts["decoder"]}, 0.9)
        return trainer_of(
            objective, averages=averages, lr_schedule="cosine", kl_schedule="linear", r1_weight=0.1, r1_every=3
        )

    whole = with_averages()
    run = whole.run()
    for _ in range(5):
        next(run)
    state = whole.state()
    rest = [float(record.losses["decoder"]["total"]) for record in run]
    final = weights_of(whole)
    averaged = whole.averages
    assert averaged is not None

    # Another trainer with other first weights, twice from the same state; and the same one, gone back.
    for _ in range(2):
        other = with_averages()
        other.step()
        other.restore(state)
        assert (other.images, other.steps) == (20, 5)
        assert [float(record.losses["decoder"]["total"]) for record in other.run()] == rest
        assert_equal(weights_of(other), final)
        assert other.averages is not None
        assert_equal(
            {"decoder": list(other.averages.parts["decoder"].state_dict().values())},
            {"decoder": list(averaged.parts["decoder"].state_dict().values())},
        )
    whole.restore(state)
    assert [float(record.losses["decoder"]["total"]) for record in whole.run()] == rest
    assert_equal(weights_of(whole), final)


def test_state_keeps_the_scale_of_the_learning_rate() -> None:
    trainer, other = vaegan(), vaegan()
    trainer.lr_scale = 0.25
    other.restore(trainer.state())
    assert other.lr_scale == 0.25


class Poison(torch.autograd.Function):
    """The identity, whose gradient is not a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("nan")


def gan(given: Callable[[int], Tensor] = batches) -> Trainer:
    _, decoder, discriminator = networks()
    return trainer_of(GANObjective(decoder, discriminator), given)


def test_a_poisoned_weight_is_named_before_it_spreads() -> None:
    trainer = gan()
    run = trainer.run()
    next(run)
    before = weights_of(trainer)["discriminator"]
    with torch.no_grad():
        trainer.objective.parts["decoder"][0].weight[0, 0] = float("nan")
    with pytest.raises(NotFiniteError, match="the loss of the decoder is not finite at step 2") as caught:
        next(run)
    assert (caught.value.step, caught.value.part, caught.value.what) == (2, "decoder", "loss")
    assert_equal({"discriminator": weights_of(trainer)["discriminator"]}, {"discriminator": before})
    assert trainer.images == B


def test_a_poisoned_image_is_named() -> None:
    def given(images: int) -> Tensor:
        x = batches(images)
        if images == 8:
            x[1, 0, 2, 2] = float("nan")
        return x

    with pytest.raises(NotFiniteError) as caught:
        list(gan(given).run())
    # Dec never sees a real image.
    assert (caught.value.step, caught.value.part, caught.value.what) == (3, "discriminator", "loss")


def test_a_poisoned_gradient_is_named() -> None:
    class Poisoned(nn.Sequential):
        def forward(self, z: Tensor) -> Tensor:
            return Poison.apply(super().forward(z))

    _, decoder, discriminator = networks()
    with pytest.raises(NotFiniteError) as caught:
        trainer_of(GANObjective(Poisoned(decoder), discriminator)).step()
    assert (caught.value.step, caught.value.part, caught.value.what) == (1, "decoder", "gradient")


@pytest.mark.parametrize(
    ("gate", "still"),
    [
        (BalanceGate(equilibrium=50.0, margin=1.0), "discriminator"),
        (BalanceGate(equilibrium=0.0, margin=0.01), "decoder"),
    ],
)
def test_a_closed_gate_holds_its_part(gate: BalanceGate, still: str) -> None:
    trainer = vaegan(gate=gate)
    before = weights_of(trainer)
    records = list(trainer.run())
    assert all(record.skipped == {still} for record in records)
    for part, tensors in weights_of(trainer).items():
        moved = not all(torch.equal(t, u) for t, u in zip(tensors, before[part], strict=True))
        assert moved == (part != still), part
    assert not trainer.optimisers[still].state


def sgd_steps(r1_weight: float, every: int) -> list[list[Tensor]]:
    """Dis's weights after each step of plain descent at rate 1, so that their differences are its gradients."""
    _, decoder, discriminator = networks()
    objective = GANObjective(decoder, discriminator)
    optimisers = {name: torch.optim.SGD(part.parameters(), lr=1.0) for name, part in objective.parts.items()}
    trainer = Trainer(objective, optimisers, batches, settings(r1_weight=r1_weight, r1_every=every))
    after = [[p.detach().clone() for p in discriminator.parameters()]]
    for record in trainer.run():
        assert ("discriminator/r1" in record.routes) == bool(r1_weight and (record.steps - 1) % every == 0)
        after.append([p.detach().clone() for p in discriminator.parameters()])
    return after


def test_r1_comes_every_so_many_steps_with_a_weight_to_match() -> None:
    weight, every = 0.05, 3
    with_r1, without = sgd_steps(weight, every), sgd_steps(0.0, every)
    # The penalty's gradient by itself: finite differences of it along each weight, at the weights of step 0.
    _, _, discriminator = networks()
    discriminator.double()
    x = batches(0).double()

    def penalty() -> float:
        inputs = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(inputs).sum(), inputs)
        return 0.5 * float(slope.square().sum()) / B

    h, layer = 1e-5, discriminator[1].weight
    wanted = torch.zeros_like(layer)
    with torch.no_grad():
        places = [(i, j) for i in range(4) for j in range(0, 64, 9)]
    for i, j in places:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                layer[i, j] += sign * h
            values.append(penalty())
            with torch.no_grad():
                layer[i, j] -= sign * h
        wanted[i, j] = weight * every * (values[0] - values[1]) / (2 * h)
    found = without[1][0] - with_r1[1][0]
    for i, j in places:
        assert float(found[i, j]) == pytest.approx(float(wanted[i, j]), rel=2e-3, abs=2e-6)
    assert float(wanted.abs().max()) > 1e-4


def test_r1_leaves_nothing_in_the_discriminator() -> None:
    statistics = []
    for weight in (0.0, 0.1):
        encoder, decoder, _ = networks()
        discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 1))
        trainer = trainer_of(
            VAEGANObjective(encoder, decoder, discriminator, feature_layer="1"), r1_weight=weight, r1_every=1
        )
        torch.manual_seed(0)
        nn.init.normal_(discriminator[1].weight)
        trainer.step()
        statistics.append(discriminator[2].running_mean)
        copy.deepcopy(discriminator)  # refused while a graph hangs on it
    assert torch.equal(*statistics)


def test_kl_schedule_moves_the_encoder_alone() -> None:
    trainer = vaegan(kl_schedule="linear", kl_epochs=4.0)
    factors, totals, kls, llikes = [trainer.kl_factor()], [], [], []
    for record in trainer.run():
        factors.append(trainer.kl_factor())
        encoder = record.losses["encoder"]
        totals.append(float(encoder["total"]))
        kls.append(float(encoder["kl"]))
        llikes.append(float(encoder["llike"]))
    assert factors == pytest.approx([images / N / 4 for images in range(0, 41, B)])
    # A step uses the factor of the images seen before it.
    wanted = [f * kl + llike for f, kl, llike in zip(factors, kls, llikes, strict=False)]
    assert totals == pytest.approx(wanted, rel=1e-5)


def test_learning_rates_by_part_schedule_and_warmup() -> None:
    trainer = vaegan(lr={"encoder": 0.1, "decoder": 0.02}, lr_schedule="linear", final_lr_factor=0.5, warmup_images=10)
    trainer.lr_scale = 0.5
    seen: list[dict[str, float]] = []
    for _ in trainer.run():
        seen.append({part: o.param_groups[0]["lr"] for part, o in trainer.optimisers.items()})
    for step, rates in enumerate(seen):
        images = step * B
        factor = 0.5 * (1 - 0.5 * images / 40) * min(1.0, (images + 1) / 10)
        # A part that the settings do not name keeps the rate of its optimiser, 1e-3.
        wanted = {"encoder": 0.1 * factor, "decoder": 0.02 * factor, "discriminator": 1e-3 * factor}
        assert rates == pytest.approx(wanted)


def test_clipping_is_by_part_and_recorded_before() -> None:
    free, clipped = vaegan(), vaegan(clip=1e-3)
    a, b = free.step(), clipped.step()
    for part, norm in a.gradients.items():
        assert float(norm) > 1e-3
        torch.testing.assert_close(b.gradients[part], norm)
    # One step of Adam from rest has its moment (1 - beta1) g.
    for part, optimiser in clipped.optimisers.items():
        moments = torch.cat([s["exp_avg"].flatten() for s in optimiser.state.values()])
        assert float(moments.norm() / 0.1) == pytest.approx(1e-3, rel=1e-3), part


def test_parameters_that_are_summed_are_clipped_and_averaged() -> None:
    """Autograd gives them expanded and shared gradients, which cannot be written to one by one."""

    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(Z, 64)
            self.a, self.b = (nn.Parameter(torch.zeros(64)) for _ in range(2))

        def forward(self, z: Tensor) -> Tensor:
            return (self.body(z) + (self.a + self.b).sum()).view(-1, 1, 8, 8)

    _, _, discriminator = networks()
    decoder = Shift()
    objective = GANObjective(decoder, discriminator)
    optimisers = {name: torch.optim.SGD(part.parameters(), lr=1.0) for name, part in objective.parts.items()}
    before = [p.detach().clone() for p in decoder.parameters()]
    Trainer(objective, optimisers, batches, settings(clip=1e-3)).step()
    moved = [p.detach() - was for p, was in zip(decoder.parameters(), before, strict=True)]
    assert float(torch.cat([m.flatten() for m in moved]).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_noise_is_of_the_seed_and_the_images_seen() -> None:
    def draw(seed: int, images: int) -> Noise:
        return Noise.draw(B, Z, seed=seed, images=images)

    a, b = draw(3, 8), draw(3, 8)
    assert torch.equal(a.eps, b.eps)
    assert torch.equal(a.z_p, b.z_p)
    assert torch.equal(a.uniform, b.uniform)
    assert a.seed == b.seed
    for other in (draw(4, 8), draw(3, 12)):
        assert not torch.equal(a.eps, other.eps)
        assert not torch.equal(a.z_p, other.z_p)
        assert a.seed != other.seed
    assert not torch.equal(a.eps, a.z_p)


def test_two_runs_of_one_seed_are_equal_whatever_else_draws() -> None:
    first, second, third = vaegan(seed=5), vaegan(seed=5), vaegan(seed=6)
    list(first.run())
    for _ in second.run():
        torch.rand(3)
        np.random.default_rng().random()
    list(third.run())
    assert_equal(weights_of(first), weights_of(second))
    assert not torch.equal(weights_of(first)["decoder"][0], weights_of(third)["decoder"][0])
