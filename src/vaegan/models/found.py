"""Where a model's folder is: in a run, by itself, or on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..priors import PRIOR_NAMES
from ..sharing import download_model
from ..sharing.public_facts import EVALUATION_NAME, SETTINGS_NAME
from .serialization import CONFIG_NAME, WEIGHTS_NAME
from .vectors import NAMES_NAME, VECTORS_NAME

OURS = (CONFIG_NAME, WEIGHTS_NAME, *PRIOR_NAMES, VECTORS_NAME, NAMES_NAME, SETTINGS_NAME, EVALUATION_NAME)
"""Files of a shared model that are read; weights are safetensors, all else is text."""


def find_model(path: str | Path, **hub: Any) -> Path:
    """Return the folder that holds `config.json`, of a run, a saved model or a model on the hub.

    Args:
        path: a run folder, the folder of a model, or an id `owner/name`.
        hub: see `sharing.download_model`.

    Raises:
        UserError: if there is none, here or there.
    """
    folder = Path(path).expanduser()
    for candidate in (folder, folder / "model"):
        if (candidate / CONFIG_NAME).is_file():
            return candidate
    if (folder / "config.yaml").is_file():
        raise UserError(f"run {folder} has no saved model yet; train it further, to its next snapshot")
    if folder.exists():
        raise UserError(f"{folder} is neither a run nor a saved model (no {CONFIG_NAME} in it or in its model folder)")
    # 'runs/one' looks like a hub id as well, but where the folder 'runs' exists a run is meant.
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(path)) and not folder.parent.is_dir():
        found = download_model(str(path), [prefix + name for prefix in ("", "model/") for name in OURS], **hub)
        if not any((place / CONFIG_NAME).is_file() for place in (found, found / "model")):
            raise UserError(f"{path} on the hub is no model of vaegan (no {CONFIG_NAME}); check the name")
        return find_model(found)
    raise UserError(
        f"no run or saved model at {folder}; check the path, or train one with `vaegan train --out {folder}`"
    )
