"""Means of records, and held-out losses against the objective asked directly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vaegan.data import ImageSet
from vaegan.objectives import AutoencoderObjective, GaussianPixels
from vaegan.training import LoopSettings, Record, Trainer
from vaegan.training.recorder import RunningMeans
from vaegan.training.snapshots import held_out_losses


def record(kl: float, norm: float, route: float | None, skipped: set[str]) -> Record:
    return Record(
        images=0,
        steps=0,
        epoch=0.0,
        losses={"encoder": {"kl": torch.tensor(kl), "total": torch.tensor(2 * kl)}},
        gradients={"encoder": torch.tensor(norm)},
        routes={} if route is None else {"decoder/llike": torch.tensor(route)},
        skipped=frozenset(skipped),
    )


def test_means_over_the_steps_that_have_a_value() -> None:
    means = RunningMeans()
    for values in ((1.0, 3.0, None, {"decoder"}), (2.0, 5.0, 7.0, set()), (6.0, 1.0, 9.0, {"decoder"})):
        means.add(record(*values))
    assert means.means() == {
        "losses": {"encoder": {"kl": 3.0, "total": 6.0}},
        "gradients": {"encoder": 3.0},
        "routes": {"decoder/llike": 8.0},
        "skipped": {"decoder": pytest.approx(2 / 3)},
    }


def held_out(images: torch.Tensor) -> ImageSet:
    return ImageSet(images.numpy(), [str(i) for i in range(len(images))])


def trainer(accumulate: int = 1) -> Trainer:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.BatchNorm1d(3))
    decoder = nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    objective = AutoencoderObjective(encoder, decoder, likelihood=GaussianPixels((-1.0, 1.0)))
    optimisers = {name: torch.optim.SGD(part.parameters(), lr=0.1) for name, part in objective.parts.items()}
    settings = LoopSettings(4, 100, 10, 3, image_range=(-1.0, 1.0), accumulate=accumulate)
    return Trainer(objective, optimisers, lambda images: torch.rand(4, 1, 4, 4), settings)


@pytest.mark.parametrize(("num", "batch_size", "used"), [(12, 4, 12), (14, 4, 12), (3, 4, 3)])
def test_held_out_losses_are_means_over_whole_batches(num: int, batch_size: int, used: int) -> None:
    t = trainer()
    images = torch.randint(256, (num, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = held_out_losses(t, held_out(images), batch_size)
    # In evaluation no image knows of the others: all at once, by the formula.
    encoder, decoder = t.objective.parts.values()
    x = images[:used].permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        encoder.eval()
        x_tilde = (decoder(encoder(2 * x - 1)) + 1) / 2
        density = torch.distributions.Normal(x_tilde, 1.0).log_prob(x)
    assert found["decoder"]["llike"] == pytest.approx(-float(density.sum()) / used, rel=1e-5)
    encoder.train()
    assert held_out_losses(t, held_out(images), batch_size) == found


@pytest.mark.parametrize("num", [12, 3])
def test_held_out_losses_hold_no_more_images_at_a_time_than_a_micro_batch(num: int, monkeypatch) -> None:
    images = torch.randint(256, (num, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    t, sizes, evaluate = trainer(accumulate=3), [], AutoencoderObjective.evaluate

    def measured(self, x, *rest, **condition):
        sizes.append(len(x))
        return evaluate(self, x, *rest, **condition)

    whole = held_out_losses(trainer(), held_out(images), 4)
    monkeypatch.setattr(AutoencoderObjective, "evaluate", measured)
    found = held_out_losses(t, held_out(images), 4)
    assert (max(sizes), sum(sizes)) == (2, num)
    assert found["decoder"] == pytest.approx(whole["decoder"], rel=1e-6)
