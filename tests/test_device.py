"""Devices by name, and the precision and memory layout that a device gets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vaegan.errors import UserError
from vaegan.training import device as device_module
from vaegan.training.device import autocast_for, computes_bf16, layout_of, number_format, pick_device

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


@pytest.mark.parametrize("has_bf16", [False, True])
@pytest.mark.parametrize(("device", "fast"), [("cpu", "bf16"), ("cuda", "bf16"), ("mps", "fp32")])
def test_the_device_decides_the_number_format(
    device: str, fast: str, has_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "computes_bf16", lambda _: has_bf16)
    expected = fast if has_bf16 else "fp32"
    assert number_format("auto", "contiguous", "conv", torch.device(device)) == (expected, "contiguous")
    for named in ("fp32", "bf16"):
        assert number_format(named, "contiguous", "conv", torch.device(device)) == (named, "contiguous")


@pytest.mark.parametrize(
    ("precision", "network", "layout"),
    [
        ("bf16", "conv", "channels_last"),
        ("bf16", "residual", "contiguous"),
        ("bf16", "mlp", "contiguous"),
        ("fp32", "conv", "contiguous"),
    ],
)
def test_the_number_format_decides_the_layout(precision: str, network: str, layout: str) -> None:
    assert number_format(precision, "auto", network, torch.device("cpu")) == (precision, layout)
    for named in ("contiguous", "channels_last"):
        assert number_format(precision, named, network, torch.device("cpu")) == (precision, named)


@pytest.mark.parametrize("answer", [False, True])
def test_the_machine_is_asked_for_bf16(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: answer, raising=False)
    assert computes_bf16(torch.device("cpu")) == (answer and torch.backends.mkldnn.is_available())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: answer and not including_emulation)
    assert computes_bf16(torch.device("cuda")) == answer


def test_autocast_and_layout_by_their_names() -> None:
    x, w = torch.ones(2, 3), torch.ones(3, 4)
    with autocast_for("bf16", torch.device("cpu"))():
        assert (x @ w).dtype == torch.bfloat16
    with autocast_for("fp32", torch.device("cpu"))():
        assert (x @ w).dtype == torch.float32
    assert layout_of("channels_last") == torch.channels_last
    assert layout_of("contiguous") == torch.contiguous_format
