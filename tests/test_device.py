"""Devices by name, and the choice of precision and layout by measuring (here with a clock of our own)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from vaegan.errors import UserError
from vaegan.training import device as device_module
from vaegan.training.device import FORMS, autocast_for, choose_form, computes_bf16, layout_of, pick_device

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
ABSENT = ["tpu9", "", "cpu and more", "meta", *[name for name, there in THERE.items() if not there]]


def test_cpu_and_auto() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    best = pick_device("auto").type
    if torch.cuda.is_available():
        assert best == "cuda"
    elif not torch.backends.mps.is_available():
        assert best == "cpu"


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError) as caught:
        pick_device(name)
    assert str(caught.value) == f"--device: {name!r} is not available; try cpu or auto"


@pytest.mark.parametrize(
    ("busy", "environment", "before", "after"),
    [
        (0.0, {}, 4, 4),
        (0.4, {}, 4, 4),
        (1.1, {}, 4, 3),
        (3.0, {}, 4, 1),
        (9.0, {}, 4, 1),  # there is always one
        (2.0, {"OMP_NUM_THREADS": "4"}, 4, 4),  # the user's choice
        (2.0, {}, 3, 3),  # also by torch.set_num_threads
    ],
)
def test_busy_cores_are_left_to_others(
    busy: float,
    environment: dict[str, str],
    before: int,
    after: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads = [before]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(device_module, "_busy_cores", lambda: busy)
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(device_module.os, "environ", environment)
    with caplog.at_level("INFO", logger="vaegan"):
        assert pick_device("cpu") == torch.device("cpu")
    assert threads[-1] == after
    line = f"other programs use {min(round(busy), 4)} of 4 cores: computing on {after}; set OMP_NUM_THREADS to choose"
    assert caplog.messages == ([line] if after < before else [])


def test_cores_of_others_are_counted_without_our_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """In half a second core 0 works for .3 s, .2 s of which are ours, and core 2 for .5 s; core 1 is not ours."""
    rows = [
        ("cpu0 10 0 5 100 7 0 0 0 0 0", "cpu1 0 0 0 0 0 0 0 0 0 0", "cpu2 1 1 1 9 9 1 1 1 0 0"),
        ("cpu0 30 0 15 120 7 0 0 0 0 0", "cpu1 50 0 0 0 0 0 0 0 0 0", "cpu2 21 1 11 9 9 11 6 6 9 9"),
    ]
    looks = iter("\n".join(("cpu 0 0 0 0 0 0 0 0 0 0", *cores, "ctxt 1", "")) for cores in rows)
    clock, own = iter((20.0, 20.5)), iter((1.0, 1.2))
    monkeypatch.setattr(device_module.Path, "read_text", lambda path: next(looks) if str(path) == "/proc/stat" else "")
    monkeypatch.setattr(device_module.time, "sleep", lambda _: None)
    monkeypatch.setattr(device_module.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(device_module.os, "times", lambda: SimpleNamespace(user=next(own), system=0.0))
    monkeypatch.setattr(device_module.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    assert device_module._busy_cores() == pytest.approx((0.3 - 0.2 + 0.5) / 0.5)

    def missing(path: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(device_module.Path, "read_text", missing)
    monkeypatch.setattr(device_module.os, "times", lambda: SimpleNamespace(user=0.0, system=0.0))
    assert device_module._busy_cores() == 0


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_of_a_machine_has_its_own_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: torch.ones(shape))
    found = []
    for local_rank in ("0", "1", "2"):
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        found.append(pick_device(name))
    assert found == [torch.device("cuda", i) for i in (0, 1, 0)]
    assert pick_device("cuda:1") == torch.device("cuda", 1)


class Workshop:
    """Steps that take as long as they are told to, on a clock that only they move."""

    def __init__(self, seconds: dict[tuple[str, str], float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.now = seconds, 0.0
        self.calls: list[tuple[str, str]] = []
        monkeypatch.setattr(device_module.time, "perf_counter", lambda: self.now)

    def make_step(self, precision: str, memory_format: str, num_images: int) -> Callable[[], object]:
        form = (precision, memory_format)
        calls: list[int] = []

        def step() -> None:
            # The first call warms up, and takes twice as long.
            self.now += self.seconds[form] * num_images / 32 * (1 if calls else 2)
            calls.append(num_images)
            self.calls.append(form)

        return step


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_maps", [False, True])
def test_fixed_choices_are_not_measured(
    form: tuple[str, str], has_maps: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vaegan")
    assert choose_form(*form, _refuse, has_maps=has_maps) == form
    assert caplog.messages == []


def _refuse(precision: str, memory_format: str, num_images: int) -> Callable[[], object]:
    raise AssertionError("there is nothing to choose")


@pytest.mark.parametrize("fastest", FORMS)
def test_the_fastest_form_is_chosen(fastest: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Workshop(dict.fromkeys(FORMS, 0.03) | {fastest: 0.02}, monkeypatch)
    assert choose_form("auto", "auto", shop.make_step, has_maps=True) == fastest
    assert set(shop.calls) == set(FORMS)


def test_a_little_faster_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Workshop(dict.fromkeys(FORMS, 0.03) | {("bf16", "contiguous"): 0.028}, monkeypatch)
    assert choose_form("auto", "auto", shop.make_step, has_maps=True) == ("fp32", "contiguous")


@pytest.mark.parametrize(
    ("precision", "memory_format", "has_maps", "measured"),
    [
        ("auto", "auto", False, {("fp32", "contiguous"), ("bf16", "contiguous")}),
        ("auto", "channels_last", True, {("fp32", "channels_last"), ("bf16", "channels_last")}),
        ("bf16", "auto", True, {("bf16", "contiguous"), ("bf16", "channels_last")}),
        ("fp32", "auto", False, set()),
    ],
)
def test_only_what_is_left_open_is_measured(
    precision: str,
    memory_format: str,
    has_maps: bool,
    measured: set[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Workshop(dict.fromkeys(FORMS, 0.03), monkeypatch)
    chosen = choose_form(precision, memory_format, shop.make_step, has_maps=has_maps)
    assert set(shop.calls) == measured
    assert chosen[0] == ("fp32" if precision == "auto" else precision)
    assert chosen[1] == ("contiguous" if memory_format == "auto" else memory_format)


@pytest.mark.parametrize(
    ("memory_format", "has_maps", "measured"),
    [("auto", True, 2), ("contiguous", True, 0), ("auto", False, 0), ("channels_last", False, 0)],
)
def test_bf16_is_not_tried_where_it_is_emulated(
    memory_format: str, has_maps: bool, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(dict.fromkeys(FORMS, 0.03), monkeypatch)
    assert choose_form("auto", memory_format, shop.make_step, has_maps=has_maps, has_bf16=False)[0] == "fp32"
    assert len(set(shop.calls)) == measured
    assert all(precision == "fp32" for precision, _ in shop.calls)


@pytest.mark.parametrize("step", [0.001, 0.02, 0.3, 4.0, 15.0, 60.0])
@pytest.mark.parametrize("num_steps", [10, 1000, 100_000])
def test_the_choice_costs_two_seconds_or_a_hundredth_of_the_run(
    step: float, num_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the two steps of two images that say how slow this machine is."""
    shop = Workshop(dict.fromkeys(FORMS, step), monkeypatch)
    choose_form("auto", "auto", shop.make_step, has_maps=True, num_steps=num_steps)
    assert shop.now <= max(2.0, 0.01 * num_steps * step) + 3 * step * 2 / 32


def test_a_slow_form_is_dropped_after_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {form: 0.3 if form[0] == "bf16" else 0.03 for form in FORMS}
    shop = Workshop(seconds, monkeypatch)
    assert choose_form("auto", "auto", shop.make_step, has_maps=True, num_steps=10**6)[0] == "fp32"
    assert shop.calls.count(("bf16", "contiguous")) == 2  # the first call warms up
    assert shop.calls.count(("fp32", "channels_last")) == 6


def test_the_log_says_what_is_done_before_and_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vaegan")
    shop = Workshop(dict.fromkeys(FORMS, 0.032), monkeypatch)
    assert caplog.messages == []
    choose_form("fp32", "auto", shop.make_step, has_maps=True)
    assert caplog.messages == [
        "timing steps to choose the number format; --train.precision and --train.memory-format skip this",
        "time per step of 32 images: fp32 contiguous 32 ms, fp32 channels_last 32 ms; using fp32 contiguous",
    ]
    caplog.clear()
    shop = Workshop(dict.fromkeys(FORMS, 320.0), monkeypatch)
    choose_form("auto", "auto", shop.make_step, has_maps=True)
    assert caplog.messages[1] == "time per step of 2 images: 20 s; using fp32 contiguous"


@pytest.mark.parametrize("answer", [False, True])
def test_the_machine_is_asked_for_bf16(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: answer, raising=False)
    assert computes_bf16(torch.device("cpu")) == (answer and torch.backends.mkldnn.is_available())
    assert computes_bf16(torch.device("cuda"))


def test_autocast_and_layout_by_their_names() -> None:
    x, w = torch.ones(2, 3), torch.ones(3, 4)
    with autocast_for("bf16", torch.device("cpu"))():
        assert (x @ w).dtype == torch.bfloat16
    with autocast_for("fp32", torch.device("cpu"))():
        assert (x @ w).dtype == torch.float32
    assert layout_of("channels_last") == torch.channels_last
    assert layout_of("contiguous") == torch.contiguous_format
