"""Runs that differ in their seed alone: they are one model, trained several times."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError
from ..runs.files import RunFolder
from .run_folder import FREE, OF_PLATEAUS

# What makes no other model of a run: chosen by the machine, or where files are. How long it trained does.
_IRRELEVANT = (FREE - {"train.epochs", "train.images"}) | {"format", "seed", "train.memory_format"}


def group_siblings(runs: Sequence[tuple[Config | None, int | str | None]]) -> list[list[int]]:
    """Put runs into groups of equal settings, but for the seed.

    A run whose settings are not known stays alone, and so does one of a seed that its group has already.

    Args:
        runs: settings of each, and images seen or another word for how far it is.

    Returns:
        Positions of the runs of each group, in order.
    """
    groups: list[tuple[Any, list[int]]] = []
    for i, (config, images) in enumerate(runs):
        key = None if config is None else (_settings(config), images)
        for other, members in groups:
            if key is not None and other == key and _seed(runs, i) not in [_seed(runs, j) for j in members]:
                members.append(i)
                break
        else:
            groups.append((key, [i]))
    return [members for _, members in groups]


def _seed(runs: Sequence[tuple[Config | None, int | str | None]], i: int) -> int | None:
    config = runs[i][0]
    return None if config is None else config.seed


def _settings(config: Config) -> dict[str, Any]:
    """Return what makes the model, name by name; another run that it builds on by the settings of that one."""
    irrelevant = _IRRELEVANT - (OF_PLATEAUS if config.optim.schedule == "plateau" else set())
    found = {name: value for name, value in _flat(config.model_dump(mode="json")) if name not in irrelevant}
    metric = RunFolder(Path(config.loss.metric)) if config.loss.metric else None
    if metric is not None and metric.config_path.is_file():
        with contextlib.suppress(UserError):  # where it cannot be read any more, its name has to do
            found["loss.metric"] = _settings(metric.config)
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return found
