from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vaegan.evaluation.figures import figure
from vaegan.evaluation.seeds import combine, mean_over_seeds, spread_over_seeds
from vaegan.metrics.bootstrap import Interval


def test_three_runs_by_hand():
    found = combine([figure(Interval(value, value - 1, value + 1), 100, 0) for value in (2.0, 3.0, 7.0)])
    s = math.sqrt((4 + 1 + 9) / 2)
    assert found.value == 4.0
    assert found.low == pytest.approx(4 - 4.302653 * s / math.sqrt(3))
    assert found.high == pytest.approx(4 + 4.302653 * s / math.sqrt(3))
    assert found.spread is not None
    assert found.spread.value == pytest.approx(s)
    # chi-squared with two degrees of freedom is exponential with mean 2: its quantiles are -2 log(1 - p)
    assert found.spread.low == pytest.approx(s * math.sqrt(2 / (-2 * math.log(0.025))))
    assert found.spread.high == pytest.approx(s * math.sqrt(2 / (-2 * math.log(0.975))))
    assert (found.values, found.num_runs) == ((2.0, 3.0, 7.0), 3)


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
    one = figure(Interval(2.0, 1.5, 2.2), 100, 0)
    assert vars(combine([one])) == {"value": 2.0, "low": 1.5, "high": 2.2, "values": (2.0,), "spread": None}
    found = combine([None, one, figure(math.nan, 0, 0)])
    assert (found.value, found.low, found.values, found.num_runs) == (2.0, 1.5, (None, 2.0, None), 1)
    assert combine([None]).value is None
