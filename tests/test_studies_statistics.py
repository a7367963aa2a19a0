"""Intervals, answers and numbers of seeds of the studies, compared with scipy or with values drawn at random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats


@pytest.fixture(autouse=True)
def _scripts(study_script):
    """Import the studies as when they run as scripts."""


def test_the_interval_is_student_s():
    from common.statistics import interval

    values = [1.0, 2.0, 4.0, 4.5]
    computed = interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (computed.low, computed.high) == pytest.approx((low, high))
    assert interval([3.0, math.nan]).half == math.inf
    assert interval([]).n == 0


@pytest.mark.parametrize(
    ("mean", "half", "smallest", "kind"),
    [
        (1.0, 0.5, 0.0, "confirmed"),
        (1.0, 1.5, 0.0, "needs more seeds"),
        (-1.0, 0.5, 0.0, "refuted"),
        (0.02, 0.01, 0.05, "no difference"),
        (-0.02, 0.01, 0.05, "no difference"),
        (-0.03, 0.03, 0.05, "refuted"),
        (0.04, 0.05, 0.05, "needs more seeds"),
        (0.04, 0.03, 0.05, "no difference"),
        (0.06, 0.05, 0.05, "confirmed"),
        (1.0, math.inf, 0.0, "needs more seeds"),
        (math.nan, math.inf, 0.0, "needs more seeds"),
    ],
)
def test_a_difference_is_judged_by_its_whole_interval(mean, half, smallest, kind):
    from common.statistics import Interval, exceeds

    answer = exceeds(Interval(mean, half, 3 if math.isfinite(half) else 1), smallest, "it")
    assert answer.kind == kind
    assert bool(answer.seeds) == (kind == "needs more seeds")


@pytest.mark.parametrize(
    ("mean", "half", "kind"),
    [
        (0.56, 0.05, "confirmed"),
        (0.44, 0.05, "refuted"),
        (0.51, 0.05, "no difference"),
        (0.55, 0.09, "needs more seeds"),
    ],
)
def test_a_value_is_judged_against_a_bound_from_both_sides(mean, half, kind):
    from common.statistics import Interval, above

    assert above(Interval(mean, half, 3), 0.5, "it", 0.1).kind == kind
    swapped = {"confirmed": "refuted", "refuted": "confirmed"}
    assert above(Interval(mean, half, 3), 0.5, "it", 0.1, reverse=True).kind == swapped.get(kind, kind)


def test_verdicts_name_size_interval_and_seeds():
    from common.statistics import Answer, Interval, above, exceeds

    assert str(exceeds(Interval(0.001, 0.01, 4), 0.02, "recall")) == (
        "no difference larger than 0.02 in recall (0.001 ± 0.010)"
    )
    assert str(above(Interval(0.494, 0.062, 3), 0.5, "a flip rate", 0.1)) == (
        "no difference larger than 0.1 from a flip rate of 0.5 (-0.006 ± 0.062)"
    )
    assert str(exceeds(Interval(0.012, 0.006, 4), 0.02, "recall")) == (
        "no difference larger than 0.02 in recall (0.0120 ± 0.0060)"
    )
    assert str(exceeds(Interval(0.012, 0.009, 4), 0.02, "recall")) == (
        "no difference larger than 0.021 in recall (0.0120 ± 0.0090)"
    )
    answer = exceeds(Interval(0.014, 0.024, 3), 0.01, "recall")
    assert str(answer) == f"needs about {answer.seeds} seeds (difference in recall: 0.014 ± 0.024)"
    assert str(exceeds(Interval(0.001, 0.24, 3), 0.01, "recall")).startswith("needs more than 100 seeds (")
    assert str(exceeds(Interval(1.0, math.inf, 1), 0.1, "recall")).startswith("needs about 3 seeds (")
    assert str(Answer("confirmed").given(False, "none is lost")) == "premise not met: none is lost"
    assert str(Answer("confirmed").given(True, "none is lost")) == "confirmed"


@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_chance_to_tell_a_difference_from_0_is_that_of_the_noncentral_t(n):
    from common.statistics import chance_to_decide

    t, shift = stats.t.ppf(0.975, n - 1), 0.8 * math.sqrt(n)
    power = stats.nct.sf(t, n - 1, shift) + stats.nct.cdf(-t, n - 1, shift)
    assert chance_to_decide(n, 0.8, 1.0, 0.0, 0.0) == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize(
    ("truth", "smallest", "least"), [(0.3, 0.8, 0.8), (1.5, 0.8, 0.8), (0.45, 0.0, 0.0), (0.2, 1.2, 0.0)]
)
def test_the_chance_to_decide_is_that_of_runs_drawn_at_random(truth, smallest, least):
    from common.statistics import chance_to_decide

    draws = np.random.default_rng(0).normal(truth, 1.0, (20_000, 6))
    means, halves = draws.mean(1), stats.t.ppf(0.975, 5) * stats.sem(draws, axis=1)
    within = np.abs(means) + halves <= smallest
    decided = within | (means > halves) | (means + halves < least)
    assert chance_to_decide(6, truth, 1.0, smallest, least) == pytest.approx(decided.mean(), abs=0.015)


def test_the_seeds_named_are_the_fewest_that_decide():
    from common.statistics import CHANCE, chance_to_decide, exceeds, interval

    values = [0.02, -0.01, 0.03]
    answer = exceeds(interval(values), 0.01, "it")

    def chance(n):
        return min(chance_to_decide(n, truth, np.std(values, ddof=1), 0.01, 0.01) for truth in (0.0, np.mean(values)))

    assert 3 < answer.seeds <= 100
    assert chance(answer.seeds - 1) < CHANCE <= chance(answer.seeds)


def test_a_claim_of_several_parts_is_decided_by_one():
    from common.statistics import Answer, all_of, any_of

    yes, no, same = Answer("confirmed"), Answer("refuted"), Answer("no difference")
    few, many = (Answer("needs more seeds", "", seeds) for seeds in (5, 9))
    assert [all_of(*parts) for parts in ((yes, yes), (yes, few), (few, many), (many, same), (many, no))] == [
        yes, few, many, same, no,
    ]  # fmt: skip
    assert [any_of(*parts) for parts in ((yes, many), (no, few), (few, many), (same, no), (same, same))] == [
        yes, few, many, no, same,
    ]  # fmt: skip


def test_spreads_are_compared_by_the_interval_of_their_ratio():
    from common.statistics import CHANCE, MAX_SEEDS, varies_more

    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 9, 8), rng.normal(0, 1, 8)
    assert varies_more(a, b, 1.5, "spread").kind == "confirmed"
    assert varies_more(b, a, 1.5, "spread").kind == "refuted"
    same = np.linspace(-1, 1, 60)
    assert str(varies_more(same, same, 1.5, "spread")) == (
        "no difference larger than a factor of 1.5 in spread (ratio 1.00, interval 0.773 to 1.29)"
    )
    seeds = varies_more([0, 1, 4], [0, 1, 2], 1.5, "spread").seeds  # ratio 2.08
    truth = np.std([0, 1, 4], ddof=1)
    decided = []
    for n in (seeds - 1, seeds):
        f = truth**2 * stats.f(n - 1, n - 1).rvs(20_000, random_state=1)
        low, high = (np.sqrt(f / stats.f.ppf(share, n - 1, n - 1)) for share in (0.975, 0.025))
        decided.append(np.mean((low > 1) | (high < 1) | ((low >= 1 / 1.5) & (high <= 1.5))))
    assert 3 < seeds < MAX_SEEDS
    assert decided[0] - 0.01 < CHANCE < decided[1] + 0.01


def test_the_ratio_of_spreads_has_the_interval_of_the_f_distribution():
    from common.statistics import spread_ratio

    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        ratio, low, high = spread_ratio(rng.normal(0, 2, 5), rng.normal(0, 1, 4))
        assert low < ratio < high
        inside += low < 2 < high
    assert 0.92 < inside / 400 < 0.98


def test_numbers_show_what_counts():
    from common.statistics import Interval, number

    assert [number(value) for value in (12.345, 0.01234, 1234.5, math.nan)] == ["12.3", "0.0123", "1,234", "–"]
    assert str(Interval(12.3456, 0.0234, 3)) == "12.346 ± 0.023"
    assert str(Interval(12.3456, math.inf, 1)) == "12.3 (one run)"
