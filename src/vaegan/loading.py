"""Loading a saved model: finding its folder, in a run, by itself or on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from .errors import UserError
from .models import CONFIG_NAME, Model, find_model

__all__ = ["find_model", "load"]


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    parts: Mapping[str, nn.Module] | None = None,
    which: Literal["last", "best"] = "last",
) -> Model:
    """Load a model, in evaluation mode.

    Args:
        path: a run folder, a folder that `Model.save` wrote, or the id `owner/name` of a model on the Hugging Face hub.
        device: where to put it.
        parts: networks by the names 'encoder', 'decoder', 'discriminator' to load the weights into, for user-made ones.
        which: of a run's models, that of its last or of its best snapshot.

    Raises:
        UserError: if nothing is there, it is damaged, written by a newer version, or does not fit the networks.
    """
    folder = _find_best(path) if which == "best" else find_model(path)
    return Model.from_folder(folder, device=device, parts=parts)


def _find_best(path: str | Path) -> Path:
    """Return the folder of a run's best model."""
    folder = Path(path).expanduser() / "best"
    if not (folder / CONFIG_NAME).is_file():
        raise UserError(
            f"{folder.parent} has no best model; train it with --train.best-metric fd, or take its last one"
        )
    return folder
