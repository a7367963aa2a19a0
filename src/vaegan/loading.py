"""Loading a saved model: found in a run, by itself or on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from .models import Model
from .runs.locate import Which, find_model

__all__ = ["load"]


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    parts: Mapping[str, nn.Module] | None = None,
    which: Which = "last",
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
    return Model.from_folder(find_model(path, which), device=device, parts=parts)
