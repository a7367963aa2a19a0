"""When something is due: by hand, and the same wherever a run resumes."""

from __future__ import annotations

import pytest

from vaegan.schedules import Cadence


def counts(cadence: Cadence, start: int, end: int) -> list[int]:
    return [count for count in range(start + cadence.step, end + 1, cadence.step) if cadence.due(count)]


@pytest.mark.parametrize(
    ("every", "step", "wanted"),
    [
        (48, 16, [48, 96, 112]),
        (32, 16, [32, 64, 96, 112]),
        (40, 16, [48, 80, 112]),  # not a multiple of the step: the step that passes it
        (56, 16, [64, 112]),
        (8, 16, [16, 32, 48, 64, 80, 96, 112]),  # several in one step are one
        (1000, 16, [112]),
        (10, 1, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 112]),
    ],
)
def test_the_steps_that_reach_or_pass_a_multiple_and_the_last(every: int, step: int, wanted: list[int]) -> None:
    cadence = Cadence(every, step, end=112)
    assert counts(cadence, 0, 112) == wanted
    for start in range(0, 112, step):  # resumed there
        assert counts(cadence, start, 112) == [count for count in wanted if count > start]


def test_without_an_end_there_are_only_multiples() -> None:
    assert counts(Cadence(40, 16), 0, 112) == [48, 80]
    assert Cadence(16).due(0)  # such as the R1 penalty, which begins with the first step
    assert [count for count in range(40) if Cadence(16).due(count)] == [0, 16, 32]


def test_a_later_end_changes_the_last_step_alone() -> None:
    short, long = Cadence(48, 16, end=112), Cadence(48, 16, end=208)
    assert counts(short, 0, 112) == [48, 96, 112]
    assert counts(long, 0, 208) == [48, 96, 144, 192, 208]
    assert [short.passes_multiple(count) for count in (96, 112)] == [True, False]
