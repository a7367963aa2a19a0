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
from ..runs.evaluation import read_evaluation
from ..runs.files import DATA, LOSSES, RECONSTRUCTIONS, SETTINGS
from ..runs.locate import Place
from ..settings_io import load_yaml


@dataclass(frozen=True)
class PublicFacts:
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


def public_facts(place: Place | None, digest: str) -> PublicFacts:
    """Return what is known around a model's folder; what cannot be read counts as missing.

    Args:
        place: of the model; None if it was never saved.
        digest: of its weights and priors, which its evaluation must be of.
    """
    if place is None:
        return PublicFacts()
    run = place.run or place.model
    assert run is not None, "a place has a run or a model"
    pictures = {
        "reconstructions": max((run / RECONSTRUCTIONS).glob("*.png"), default=None) if place.which == "last" else None,
        "losses": run / LOSSES,
    }
    return PublicFacts(
        _config(run / SETTINGS),
        _json(run / DATA) or {},
        read_evaluation(place, digest),
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


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
