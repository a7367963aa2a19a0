"""``evaluation.json``: the metrics of a model, valid only for exactly these weights and priors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .locate import Place
from .run_folder import EVALUATION


def read_evaluation(place: Place, digest: str) -> dict[str, Any] | None:
    """Return a model's evaluation; None if it has none for weights and priors of this digest (see `Model.digest`)."""
    for folder in _folders(place):
        try:
            evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
            if evaluation["model"]["digest"] == digest:
                return dict(evaluation)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _folders(place: Place) -> list[Path]:
    """Return where the file may be: beside the model, or, of a run's last model, in the run folder."""
    folders = [] if place.model is None else [place.model]
    return folders if place.which == "best" or place.run is None else [*folders, place.run]
