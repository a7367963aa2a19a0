"""Schedules at points computed by hand; every entry of the two dictionaries must have its points here."""

from __future__ import annotations

import itertools
import math

import pytest

from vaegan.schedules import KL_SCHEDULES, LR_SCHEDULES, KLContext, kl_factor, lr_factor

LENGTH, BATCH_SIZE, LATENT_DIM = 4.0, 64, 20
# name -> (epoch, factor), with the numbers above.
KL_POINTS = {
    "constant": [(0, 1), (7.5, 1)],
    "inverse-batch": [(0, 1 / 64), (100, 1 / 64)],
    "inverse-latent": [(0, 1 / 20), (100, 1 / 20)],
    "linear": [(0, 0), (1, 0.25), (3, 0.75), (4, 1), (40, 1)],
    "sigmoid": [(0, 0.0066928509), (15, 0.5), (30, 0.9933071491), (3000, 1)],
    "cyclic": [(0, 0), (1, 0.5), (2, 1), (3.9, 1), (4, 0), (5, 0.5), (7, 1), (8, 0)],
    "exponential": [(0, 0.01), (4, 0.0271828183), (8, 0.0738905610)],
}
# name -> (share of the run, factor), for a final factor of 0.2.
LR_POINTS = {
    "constant": [(0, 1), (0.5, 1), (1, 1)],
    "linear": [(0, 1), (0.25, 0.8), (0.5, 0.6), (1, 0.2)],
    "cosine": [(0, 1), (1 / 3, 0.8), (0.5, 0.6), (2 / 3, 0.4), (1, 0.2)],
    "plateau": [(0, 1), (0.5, 1), (1, 1)],
    "anneal": [(0, 1), (1 / 16, 0.9), (16 / 81, 1 - 0.8 * 8 / 27), (1, 0.2)],
}
UNMOVED, RISING = {"constant", "inverse-batch", "inverse-latent"}, {"linear", "sigmoid", "exponential"}


def context(epoch: float) -> KLContext:
    return KLContext(epoch, LENGTH, BATCH_SIZE, LATENT_DIM)


def test_every_schedule_has_points_and_no_point_is_of_none() -> None:
    assert set(KL_POINTS) == set(KL_SCHEDULES)
    assert set(LR_POINTS) == set(LR_SCHEDULES)
    assert set(KL_SCHEDULES) >= UNMOVED | RISING


@pytest.mark.parametrize("name", KL_SCHEDULES)
def test_kl_factor_at_points(name: str) -> None:
    for epoch, wanted in KL_POINTS[name]:
        assert kl_factor(name, context(epoch)) == pytest.approx(wanted, rel=1e-8, abs=1e-12), epoch


@pytest.mark.parametrize("name", KL_SCHEDULES)
def test_kl_factor_over_time(name: str) -> None:
    factors = [kl_factor(name, context(epoch / 7)) for epoch in range(400)]
    assert all(math.isfinite(f) and f >= 0 for f in factors)
    steps = [b - a for a, b in itertools.pairwise(factors)]
    if name in UNMOVED:
        assert set(steps) == {0.0}
    elif name in RISING:
        assert min(steps) >= 0
        assert steps[0] > 0
    else:
        assert name == "cyclic", f"say of the new schedule {name} how it moves"
        assert max(factors) <= 1
    assert math.isfinite(kl_factor(name, context(1e9)))


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_lr_factor_at_points(name: str) -> None:
    total = 16 * 81 * 100
    for share, wanted in LR_POINTS[name]:
        assert lr_factor(name, round(share * total), total, final=0.2) == pytest.approx(wanted, rel=1e-6), share


@pytest.mark.parametrize("name", LR_SCHEDULES)
@pytest.mark.parametrize("final", [0.0, 0.3, 1.0])
def test_lr_factor_falls_to_the_final_one_and_stays(name: str, final: float) -> None:
    factors = [lr_factor(name, images, 1000, final=final) for images in range(0, 1300, 20)]
    assert factors[0] == 1
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(factors))
    end = 1.0 if name in ("constant", "plateau") else final
    assert factors[1000 // 20 :] == pytest.approx([end] * 15)


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_warmup_rises_from_next_to_nothing(name: str) -> None:
    def with_warmup(images: int) -> float:
        return lr_factor(name, images, 1000, final=0.2, warmup=100)

    assert with_warmup(0) == pytest.approx(0.01)
    assert with_warmup(49) == pytest.approx(0.5 * lr_factor(name, 49, 1000, final=0.2))
    for images in (99, 100, 700):
        assert with_warmup(images) == lr_factor(name, images, 1000, final=0.2)


def test_a_run_of_no_length_divides_by_nothing() -> None:
    assert lr_factor("linear", 0, 0) == 1
