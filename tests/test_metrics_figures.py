"""The shape of a number with bounds, and the registry of what figures are called."""

from __future__ import annotations

import json
import math

from vaegan.metrics.figures import GROUPS, Figure, info_of, shown_in


def test_a_figure_comes_back_from_json_and_what_is_no_number_is_null():
    one = Figure(2.0, 1.0, 4.0, 100, 7)
    assert one.as_json() == {"value": 2.0, "low": 1.0, "high": 4.0, "num": 100, "seed": 7}
    assert Figure.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert one / 2 == Figure(1.0, 0.5, 2.0, 100, 7)
    assert Figure(math.inf, num=3).as_json() == {"value": None, "low": None, "high": None, "num": 3, "seed": None}
    assert math.isnan(Figure.from_json(Figure(math.inf).as_json()).value)


def test_each_figure_is_called_one_thing_in_a_group():
    assert info_of("mse").title == "per-pixel MSE"
    assert info_of("mse", "attributes").title != info_of("mse").title
    assert (info_of("something_new").title, info_of("something_new").better) == ("something new", None)
    assert shown_in("summary", "cost") == ["training_seconds", "training_operations"]
    for group in GROUPS:
        titles = [info_of(name).title for name in (*shown_in("summary", group), *shown_in("card", group))]
        assert len(set(titles)) == len({*shown_in("summary", group), *shown_in("card", group)})
