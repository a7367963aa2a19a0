"""The part of a run folder that is shared with its model: settings, data, figures, pictures.

Paths of the machine it was trained on are left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError, shown
from ..files import read_mapping
from ..report.animation import numbered_pictures, read_picture
from ..runs.locate import HUB_ID, PUBLISHED, Place, published, run_name
from ..runs.run_folder import DATA, LOSSES, RECONSTRUCTIONS, SETTINGS
from ..settings_io import load_yaml


@dataclass(frozen=True)
class PublicFacts:
    """Settings without paths, data, figures of exactly this model, and pictures by name, from its run."""

    config: Config | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)


def public_facts(place: Place | None, digest: str) -> PublicFacts:
    """Return the facts around a model's folder; what cannot be read counts as missing.

    A model that was never saved has no place; the digest is of its weights and priors, which an evaluation must match.
    """
    if place is None:
        return PublicFacts()
    run = place.run or place.model
    assert run is not None, "a place has a run or a model"
    newest = reversed(numbered_pictures(run / RECONSTRUCTIONS))
    pictures = {
        "reconstructions": next(filter(read_picture, newest), None) if place.which == "last" else None,
        "losses": run / LOSSES,
    }
    return PublicFacts(
        _config(run / SETTINGS),
        read_mapping(run / DATA),
        place.evaluation(digest),
        {name: path for name, path in pictures.items() if path is not None and path.is_file()},
    )


def _config(path: Path) -> Config | None:
    """Return settings without the paths of this machine; None if they cannot be read."""
    try:
        config = load_yaml(path)
    except (UserError, OSError):
        return None
    source = config.data.source
    if not source.startswith("hf:"):  # the last name of a folder
        source = shown(source).rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    data = {"root": None, "cache": None, "workers": None, "source": source}
    files = {name: getattr(config.loss, name) for name in ("metric", "perceptual_file")}
    loss = {name: path and Path(path.name) for name, path in files.items()}
    return config.model_copy(
        update={
            "device": "auto",
            "init_from": config.init_from and _start(config.init_from, path.parent),
            "data": config.data.model_copy(update=data),
            "loss": config.loss.model_copy(update=loss),
        }
    )


def _start(path: str, run: Path) -> str:
    """Return where a training started from: an id on the hub whole, of a folder on this machine its last name.

    A relative path is one of the folder where ``vaegan train`` ran: this one, or one around the run.
    """
    prefix, name = "" if published(path) is None else PUBLISHED, published(path) or path
    around = [Path(), *run.resolve().parents]
    is_id = re.fullmatch(HUB_ID, name) and not any((folder / name).parent.is_dir() for folder in around)
    return prefix + (name if is_id else Path(run_name(path)).name)
