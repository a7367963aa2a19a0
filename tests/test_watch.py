"""A line when a check's state changes, and none while it stays; after a resume as without one."""

from __future__ import annotations

import logging
from typing import Any

from vaegan.training.health import HealthMonitor


def train(images: int) -> dict[str, Any]:
    return {"images": images, "split": "train", "losses": {"encoder": {"kl": 1.0}}, "routes": {}}


def snapshot(images: int, kl: float) -> dict[str, Any]:
    return {"images": images, "split": "test", "losses": {}, "units": {"kl": kl, "dead": 0, "of": 10}}


def go(monitor: HealthMonitor, images: int, kl: float) -> dict[str, Any]:
    monitor.add(train(images))
    record = snapshot(images, kl)
    record["health"] = monitor.check(record)
    monitor.add(record)
    return record


def test_it_speaks_up_when_a_state_changes(caplog) -> None:
    caplog.set_level(logging.INFO, "vaegan")
    monitor = HealthMonitor()
    records: list[dict[str, Any]] = []
    lines = []
    for images, kl in ((2000, 9.0), (3000, 0.5), (4000, 0.4), (5000, 0.01), (6000, 9.0), (7000, 9.0)):
        records += [train(images), go(monitor, images, kl)]
        lines.append([(r.levelname, r.getMessage().split(": ")[1:3]) for r in caplog.records])
        caplog.clear()
        words = {0.5: "KL warning", 0.4: "KL warning", 0.01: "KL unhealthy"}.get(kl, "")
        assert monitor.warnings == words
        assert HealthMonitor(records).warnings == words
    assert lines == [
        [],
        [("WARNING", ["KL", "warning"])],
        [],
        [("WARNING", ["KL", "unhealthy"])],
        [("INFO", ["KL", "ok again"])],
        [],
    ]


def test_a_resumed_run_does_not_repeat_itself(caplog) -> None:
    monitor = HealthMonitor()
    assert not monitor.has_begun
    records = [train(2000), go(monitor, 2000, 0.5)]
    assert monitor.has_begun
    caplog.clear()
    go(HealthMonitor(records), 3000, 0.5)
    assert not caplog.records
