"""Figures over seeds, and which of several models is best."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vaegan.evaluation.seed_groups import NO_FIGURE, Verdict, mean_over_seeds, over_seeds, rank, spread_over_seeds
from vaegan.metrics.figures import Figure


def test_three_runs_by_hand():
    found = over_seeds([Figure(value, value - 1, value + 1, 100, 0) for value in (2.0, 3.0, 7.0)])
    s = math.sqrt((4 + 1 + 9) / 2)
    assert found.mean.value == 4.0
    assert found.mean.low == pytest.approx(4 - 4.302653 * s / math.sqrt(3))
    assert found.mean.high == pytest.approx(4 + 4.302653 * s / math.sqrt(3))
    assert found.spread.value == pytest.approx(s)
    # chi-squared with two degrees of freedom is exponential with mean 2: its quantiles are -2 log(1 - p)
    assert found.spread.low == pytest.approx(s * math.sqrt(2 / (-2 * math.log(0.025))))
    assert found.spread.high == pytest.approx(s * math.sqrt(2 / (-2 * math.log(0.975))))
    assert found.values == (2.0, 3.0, 7.0)


def test_the_interval_of_the_mean_is_that_of_scipy():
    values = np.random.default_rng(0).normal(size=6)
    found = mean_over_seeds(values.tolist())
    wanted = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_intervals_hold_the_truth_as_often_as_they_say():
    draws = np.random.default_rng(1).normal(5, 2, (2000, 3)).tolist()
    means = [mean_over_seeds(values) for values in draws]
    spreads = [spread_over_seeds(values) for values in draws]
    for found, truth in ((means, 5), (spreads, 2)):
        assert np.mean([one.low <= truth <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)


def test_one_run_keeps_its_own_interval():
    one = Figure(2.0, 1.5, 2.2, 100, 0)
    assert over_seeds([one]).as_json() == {"value": 2.0, "low": 1.5, "high": 2.2, "values": [2.0], "spread": None}
    found = over_seeds([None, one, Figure(math.nan, num=0)])
    assert found.mean == one
    assert found.as_json()["values"] == [None, 2.0, None]
    assert over_seeds([None]).as_json()["value"] is None


def around(value: float, half: float | None = 1.0) -> Figure:
    return Figure(value) if half is None else Figure(value, value - half, value + half)


@pytest.mark.parametrize(
    ("figures", "better", "real", "verdict"),
    [
        ([around(5), around(2), around(9)], "low", math.nan, Verdict(best=1)),
        ([around(5), around(2), around(9)], "high", math.nan, Verdict(best=2)),
        ([around(5), around(2), around(9)], "real", 5.5, Verdict(best=0)),  # distances 0..1.5, 2.5..4.5, 2.5..4.5
        ([around(5), around(3.5), around(9)], "low", math.nan, Verdict(overlapping=(1, 0))),
        ([around(5), around(4.5), around(4)], "high", math.nan, Verdict(overlapping=(0, 1, 2))),
        ([around(4), around(6)], "real", 5.2, Verdict(overlapping=(1, 0))),  # distances 0.2..2.2 and 0..1.8
        ([NO_FIGURE, around(2), around(9)], "low", math.nan, Verdict(best=1)),
        ([NO_FIGURE, around(2)], "low", math.nan, Verdict()),  # nobody to be better than
        ([around(1), around(9)], None, math.nan, Verdict()),
        ([around(1), around(9)], "real", math.nan, Verdict()),
        ([around(1, None), around(9)], "low", math.nan, Verdict(overlapping=(0, 1))),  # of one it is not known how sure
        ([around(1, 0.0), around(9)], "low", math.nan, Verdict(overlapping=(0, 1))),  # nor of this
        ([around(1, None), around(9, None)], "low", math.nan, Verdict()),
    ],
)
def test_the_best_is_named_only_where_intervals_lie_apart(figures, better, real, verdict):
    assert rank(figures, better, real) == verdict
