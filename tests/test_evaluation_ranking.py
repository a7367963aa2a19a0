from __future__ import annotations

import pytest

from vaegan.evaluation.ranking import Verdict, rank
from vaegan.evaluation.seeds import Combined

NONE = Combined(None, None, None, (None,))


def around(value: float, half: float | None = 1.0) -> Combined:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Combined(value, low, high, (value,))


@pytest.mark.parametrize(
    ("figures", "better", "real", "verdict"),
    [
        ([around(5), around(2), around(9)], "low", None, Verdict(best=1)),
        ([around(5), around(2), around(9)], "high", None, Verdict(best=2)),
        ([around(5), around(2), around(9)], "real", 5.5, Verdict(best=0)),  # distances 0..1.5, 2.5..4.5, 2.5..4.5
        ([around(5), around(3.5), around(9)], "low", None, Verdict(overlapping=(1, 0))),
        ([around(5), around(4.5), around(4)], "high", None, Verdict(overlapping=(0, 1, 2))),
        ([around(4), around(6)], "real", 5.2, Verdict(overlapping=(1, 0))),  # distances 0.2..2.2 and 0..1.8
        ([NONE, around(2), around(9)], "low", None, Verdict(best=1)),
        ([NONE, around(2)], "low", None, Verdict()),  # nobody to be better than
        ([around(1), around(9)], None, None, Verdict()),
        ([around(1), around(9)], "real", None, Verdict()),
        ([around(1, None), around(9)], "low", None, Verdict(overlapping=(0, 1))),  # of one it is not known how sure
        ([around(1, 0.0), around(9)], "low", None, Verdict(overlapping=(0, 1))),  # nor of this
        ([around(1, None), around(9, None)], "low", None, Verdict()),
    ],
)
def test_the_best_is_named_only_where_intervals_lie_apart(figures, better, real, verdict):
    assert rank(figures, better, real) == verdict
