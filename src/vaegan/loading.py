"""Loading a saved model: finding its folder, in a run, by itself or on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from .errors import UserError
from .models import CONFIG_NAME, WEIGHTS_NAME, Model
from .priors import PRIOR_NAMES


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


def find_model(path: str | Path) -> Path:
    """Return the folder that holds `config.json`, of a run, a saved model or a model on the hub."""
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
        return find_model(_download(str(path)))
    raise UserError(
        f"no run or saved model at {folder}; check the path, or train one with `vaegan train --out {folder}`"
    )


def _find_best(path: str | Path) -> Path:
    """Return the folder of a run's best model."""
    folder = Path(path).expanduser() / "best"
    if not (folder / CONFIG_NAME).is_file():
        raise UserError(f"{folder.parent} keeps no best model; train it with --train.select fd, or take its last one")
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        files = (CONFIG_NAME, WEIGHTS_NAME, *PRIOR_NAMES)
        wanted = [prefix + file for prefix in ("", "model/") for file in files]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's client lets those of its transport through: any of them means the same
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"no run or saved model at {name}, and the hub did not give one of that name: {reason}"
        ) from error
