"""Timing: images/s over the run and what follows from it.

Records hold means over windows of images: a window of n images at v images/s took n / v seconds. Snapshots are not
in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import Config
from ..curves import Line
from .blocks import Block, Facts, Note, Section
from .chart import draw_chart


def timing_section(records: Sequence[Mapping[str, Any]], config: Config | None, device: str | None = None) -> Section:
    """Return speed over the run, time in all and per epoch, device and precision.

    Args:
        records: of `metrics.jsonl`.
        config: the run's settings, if it is known.
        device: that it trained on last, where the settings say 'auto'.
    """
    pairs = [] if config is None else _settings(config, device or config.device)
    line = speeds(records)
    if line is None:
        blocks: list[Block] = [Note("No speed is recorded yet.")]
        return Section("Timing", blocks + ([Facts(pairs)] if pairs else []))
    seconds = float(window_seconds(line).sum())
    per_image = seconds / line[0][-1]
    times = [("training", duration(seconds)), ("mean", f"{1 / per_image:,.0f} images/s")]
    epochs = [record["epoch"] for record in records if "epoch" in record]
    if epochs:
        times.insert(1, ("per epoch", duration(seconds / epochs[-1])))
    chart = draw_chart(
        "speed", "Images per second of training, means between records.", [("images/s", 0, False, line)], from_zero=True
    )
    assert chart is not None
    return Section("Timing", [Facts([*times, *pairs]), chart], "Training alone, without the time that snapshots take.")


def speeds(records: Sequence[Mapping[str, Any]]) -> Line | None:
    """Return images seen and images/s of each record that tells them, or None; of repeated ones the last counts."""
    found = {
        record["images"]: record["images_per_second"]
        for record in records
        if isinstance(record.get("images"), int) and (record.get("images_per_second") or 0) > 0
    }
    images = sorted(found)
    return (np.array(images, float), np.array([found[i] for i in images], float)) if found else None


def window_seconds(line: Line) -> NDArray[np.float64]:
    """Return the seconds that each record's window took."""
    images, speed = line
    return np.asarray(np.diff(images, prepend=0.0) / speed)


def duration(seconds: float) -> str:
    """Return a time in words: 0.35 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _settings(config: Config, device: str) -> list[tuple[str, str]]:
    t = config.train
    return [
        ("device", device),
        ("precision", t.precision),
        ("memory format", t.memory_format.replace("_", " ")),
        ("batch", f"{t.batch_size} images"),
    ]
