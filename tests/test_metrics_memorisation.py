"""Distances of samples against those of held-out images: by scipy, scikit-learn and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from vaegan.metrics.memorisation import copying_score, find_nearest, in_words, memorisation, placements


def distances(num: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (shift + torch.randn(num, generator=generator, dtype=torch.float64)).exp()


def scipy_score(samples: torch.Tensor, held_out: torch.Tensor) -> float:
    p = mannwhitneyu(samples, held_out, use_continuity=False, method="asymptotic", alternative="less").pvalue
    return float(norm.ppf(p))


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.3])
def test_score_and_probability_against_scipy_and_scikit_learn(shift: float) -> None:
    samples, held_out = distances(150, 0, shift), distances(90, 1)
    assert copying_score(samples, held_out) == pytest.approx(scipy_score(samples, held_out), abs=1e-9)
    is_sample = [1] * 150 + [0] * 90
    found = memorisation(samples, held_out)
    assert found["farther"] == pytest.approx(roc_auc_score(is_sample, torch.cat([samples, held_out])))
    assert found["c_t"] == copying_score(samples, held_out)


def test_ties_count_half() -> None:
    samples, held_out = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([2.0, 2.0, 1.0, 3.0])
    assert placements(samples, held_out).tolist() == [0.125, 0.5, 1.0]
    auc = roc_auc_score([1] * 3 + [0] * 4, torch.cat([samples, held_out]))
    assert memorisation(samples, held_out)["farther"] == pytest.approx(auc)


def test_copies_new_images_and_noise_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    train, held_out, new = torch.randn(3, 400, 4, generator=generator)
    copies = train[:100] + 0.01 * torch.randn(100, 4, generator=generator)
    far = 3 * torch.randn(100, 4, generator=generator)
    d = [find_nearest(x, [train], 1)[0][:, 0] for x in (held_out, new, copies, far)]
    alike, copied, noise = (memorisation(samples, d[0]) for samples in d[1:])
    assert alike["nearer"] == pytest.approx(0.05, abs=0.04)
    assert alike["farther"] == pytest.approx(0.5, abs=0.06)
    assert abs(alike["c_t"]) < 3
    assert copied["nearer"] == 1.0
    assert copied["farther"] < 0.01
    assert copied["c_t"] < -10
    assert noise["nearer"] < 0.05
    assert noise["c_t"] > 8
    said = [in_words(each["nearer"], each["c_t"], 100, 400) for each in (alike, copied, noise)]
    assert said[0] == "no sign of memorisation"
    assert said[1] == "samples lie nearer to training images than held-out images do, a sign of memorisation"
    blurred = in_words(copied["nearer"], copied["c_t"], 100, 400, blurred=True)
    assert blurred.endswith("than held-out images do, as blurred samples do even without memorisation")
    assert said[2] == "no sign of memorisation: samples lie farther from training images than held-out images do"


@pytest.mark.parametrize("num_held_out", [3, 20, 60, 500])
def test_chance_alone_is_seldom_a_sign_of_memorisation(num_held_out: int) -> None:
    trials = [memorisation(distances(100, 2 * i), distances(num_held_out, 2 * i + 1)) for i in range(400)]
    said = [in_words(each["nearer"], each["c_t"], 100, num_held_out) for each in trials]
    assert sum("a sign" in words for words in said) <= 3


def test_the_rate_that_is_a_sign_of_memorisation_by_a_count_of_orders() -> None:
    # Two samples and one held-out image: both are nearer in a third of all orders, so that nothing follows from it.
    assert in_words(1.0, 0.0, 2, 1).startswith("too few images to tell")
    # 40 held-out images, the quantile below the third nearest: k of 3 samples below it in C(k + 2, 2) C(40 - k, 37)
    # of C(43, 3) orders.
    orders = [math.comb(k + 2, 2) * math.comb(40 - k, 37) for k in range(4)]
    assert sum(orders) == math.comb(43, 3)
    assert orders[3] / sum(orders) < 0.00135 < (orders[2] + orders[3]) / sum(orders)
    assert in_words(2 / 3, 0.0, 3, 40) == "no sign of memorisation"
    assert in_words(1.0, 0.0, 3, 40).endswith("a sign of memorisation")


@pytest.mark.parametrize(
    ("num", "num_held_out", "tells"),
    [(64, 1, False), (64, 3, False), (64, 4, True), (1, 24, False), (3, 24, False), (4, 24, True), (3, 40, True)],
)
def test_where_even_copies_would_be_no_sign_there_are_too_few_images(num: int, num_held_out: int, tells: bool) -> None:
    copies, alike = (memorisation(d, distances(num_held_out, 1)) for d in (torch.zeros(num), distances(num, 0)))
    said = [in_words(each["nearer"], each["c_t"], num, num_held_out) for each in (copies, alike)]
    few = "too few images to tell whether samples are copies"
    sign = "samples lie nearer to training images than held-out images do, a sign of memorisation"
    assert said == ([sign, "no sign of memorisation"] if tells else [few, few])


def test_figures_by_hand() -> None:
    found = memorisation(torch.tensor([0.0, 1.0, 2.0, 9.0]), torch.arange(1.0, 22.0))
    assert found["samples"] == 1.5
    assert found["held_out"] == 11.0
    assert found["nearer"] == 0.5  # below 2, the 5 % quantile
    assert found["farther"] == pytest.approx((0 + 0.5 + 1.5 + 8.5) / 84)


def test_one_of_each_and_all_the_same() -> None:
    found = memorisation(torch.tensor([2.0]), torch.tensor([1.0]))
    assert (found["farther"], found["nearer"]) == (1.0, 0.0)
    assert found["c_t"] == pytest.approx(0.5 / math.sqrt(3 / 12))
    zeros = memorisation(torch.zeros(7), torch.zeros(5))
    assert (zeros["farther"], zeros["nearer"], zeros["c_t"]) == (0.5, 0.0, 0.0)
