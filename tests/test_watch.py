"""A line when a check's state changes, and none while it stays; after a resume as without one."""

from __future__ import annotations

import logging
from typing import Any

from vaegan.training.health import Watch


def train(images: int) -> dict[str, Any]:
    return {"images": images, "split": "train", "losses": {"encoder": {"kl": 1.0}}, "routes": {}}


def snapshot(images: int, kl: float) -> dict[str, Any]:
    return {"images": images, "split": "test", "losses": {}, "units": {"kl": kl, "dead": 0, "of": 10}}


def go(watch: Watch, images: int, kl: float) -> dict[str, Any]:
    watch.add(train(images))
    record = snapshot(images, kl)
    record["health"] = watch.look(record)
    watch.add(record)
    return record


def test_it_speaks_up_when_a_state_changes(caplog) -> None:
    caplog.set_level(logging.INFO, "vaegan")
    watch = Watch()
    kept: list[dict[str, Any]] = []
    lines = []
    for images, kl in ((2000, 9.0), (3000, 0.5), (4000, 0.4), (5000, 0.01), (6000, 9.0), (7000, 9.0)):
        kept += [train(images), go(watch, images, kl)]
        lines.append([(r.levelname, r.getMessage().split(":")[1].strip()) for r in caplog.records])
        caplog.clear()
        told = {0.5: "kl warn", 0.4: "kl warn", 0.01: "kl bad"}.get(kl, "")
        assert watch.worries == told
        assert Watch(kept).worries == told
    assert lines == [[], [("WARNING", "kl (warn)")], [], [("WARNING", "kl (bad)")], [("INFO", "kl is well again")], []]


def test_a_resumed_run_does_not_repeat_itself(caplog) -> None:
    watch = Watch()
    assert not watch.has_begun
    kept = [train(2000), go(watch, 2000, 0.5)]
    assert watch.has_begun
    caplog.clear()
    go(Watch(kept), 3000, 0.5)
    assert not caplog.records
