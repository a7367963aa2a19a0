"""What a run folder holds that others may see with its model: settings, data, figures, pictures.

Paths of the machine it was trained on are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError
from ..settings_io import load_yaml

SETTINGS_NAME = "config.yaml"
EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True)
class Shared:
    """What is known of a model beside itself.

    Attributes:
        config: settings it was trained with, without paths; None if they are not known.
        data: name, 'train' and 'test' numbers of images; empty if not known.
        evaluation: figures of just this model, see `evaluation.measure`; None if it has not been measured.
        pictures: files by name, 'reconstructions' and 'losses'.
    """

    config: Config | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)


def read_run(folder: Path | None, info: Mapping[str, Any]) -> Shared:
    """Return what there is around a model's folder; what cannot be read counts as not there.

    Args:
        folder: of the model: `model/` or `best/` of a run, or one of its own; None if it was never saved.
        info: what the model remembers, as which its evaluation must name it.
    """
    if folder is None:
        return Shared()
    folder = folder.resolve()
    is_part = folder.name in ("model", "best") and (folder.parent / SETTINGS_NAME).is_file()
    run = folder.parent if is_part else folder
    is_last = folder.name != "best" or not is_part
    pictures = {
        "reconstructions": max((run / "reconstructions").glob("*.png"), default=None) if is_last else None,
        "losses": run / "losses.png",
    }
    return Shared(
        _config(run / SETTINGS_NAME),
        _json(run / "data.json") or {},
        _evaluation([folder, run] if is_last else [folder], info),
        {name: path for name, path in pictures.items() if path is not None and path.is_file()},
    )


def _config(path: Path) -> Config | None:
    try:
        config = load_yaml(path)
    except (UserError, OSError):
        return None
    source = config.data.source
    data = {"root": None, "cache": None, "workers": None, "source": without_folders(source)}
    loss = {"metric": config.loss.metric and Path(config.loss.metric.name)}
    return config.model_copy(
        update={
            "device": "auto",
            "data": config.data.model_copy(update=data),
            "loss": config.loss.model_copy(update=loss),
        }
    )


def without_folders(source: str) -> str:
    """Return the last name of a path; a source of the hub and a known name as they are."""
    return source if source.startswith("hf:") else source.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def _evaluation(folders: list[Path], info: Mapping[str, Any]) -> dict[str, Any] | None:
    for folder in folders:
        found = _json(folder / EVALUATION_NAME)
        if found and found.get("model", {}).get("info") == json.loads(json.dumps(info)):
            return found
    return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
