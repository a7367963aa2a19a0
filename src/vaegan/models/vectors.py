"""Attribute vectors as files beside a model's weights, which they are directions of the latent space of.

They name the weights that they were found for by a hash. Where a model goes with the same weights, they go along.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from ..files import write_json, written_beside
from .serialization import WEIGHTS_NAME

if TYPE_CHECKING:
    from .model import Model

VECTORS_NAME = "attributes.safetensors"
NAMES_NAME = "attributes.json"


def weights_digest(folder: Path) -> str:
    """Return a hash of the weights in a folder; an empty text if there are none."""
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_vectors(model: Model, folder: Path) -> tuple[str, ...]:
    """Copy the vectors from where a model was loaded to where it has just been saved; return their names.

    None are copied, and an empty tuple is returned, if there are none, or none of just these weights.

    Raises:
        UserError: if the folder cannot be written.
    """
    source = model.folder
    if source is None or not (source / VECTORS_NAME).is_file():
        return ()
    try:
        description = json.loads((source / NAMES_NAME).read_text(encoding="utf-8"))
        names = tuple(map(str, description["names"]))
        fit = description["weights"] == weights_digest(source) and _same_weights(model, source)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):  # damaged: as if not there
        return ()
    if not fit:
        return ()
    if source.resolve() != folder.resolve():
        with written_beside(folder / VECTORS_NAME) as beside:
            shutil.copyfile(source / VECTORS_NAME, beside)
    write_json(folder / NAMES_NAME, description | {"weights": weights_digest(folder)})
    return names


def _same_weights(model: Model, folder: Path) -> bool:
    """Whether a model still has the weights that a folder holds."""
    saved, own = safetensors.torch.load_file(folder / WEIGHTS_NAME), model.state_dict()
    return saved.keys() == own.keys() and all(torch.equal(saved[name], own[name].cpu()) for name in saved)
