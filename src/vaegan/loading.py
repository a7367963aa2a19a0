"""Loading a saved model: finding its folder, rebuilding its networks, checking its weights.

A folder holds `config.json`, which says what the networks are, and `model.safetensors`, their weights. Nothing is
unpickled, and what is missing, damaged or newer than this version is told in one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .errors import UserError
from .models import CONFIG_NAME, FORMAT, WEIGHTS_NAME, Model
from .priors import PRIOR_NAMES, load_priors


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
    model = _rebuild(folder, parts)
    tensors = _read_tensors(folder / WEIGHTS_NAME)
    _check_tensors(model, tensors, folder)
    model.load_state_dict(tensors)
    model.priors = load_priors(folder, model.latent_dim)
    return model.to(device).eval()


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


def _rebuild(folder: Path, parts: Mapping[str, nn.Module] | None) -> Model:
    """Return the model of a folder's `config.json`, with weights still to be loaded."""
    path = folder / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if (version := int(config["format"])) > FORMAT:
            raise UserError(
                f"{folder} was written by a newer vaegan (format {version}, this one reads up to {FORMAT}): upgrade"
            )
        if parts is None and config["architecture"] is None:
            raise UserError(f"{folder} holds the weights of user-made networks; give them: load(path, parts={{...}})")
        if parts is None:
            # Weights are drawn only to be overwritten: the caller's random state is no business of loading.
            with torch.random.fork_rng(devices=[]):
                return Model.from_architecture(config["architecture"], info=config["info"])
        names = ("kind", "image_shape", "latent_dim", "image_range", "info")
        arguments: dict[str, Any] = {**parts, **{name: config[name] for name in names}}
        return Model(**arguments)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or no model's ({type(error).__name__}: {error}); take it from a copy"
        ) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the whole folder of the model") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); take it from a copy") from error


def _check_tensors(model: Model, tensors: Mapping[str, Tensor], folder: Path) -> None:
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "too many": [name for name in tensors if name not in wanted],
        "of another shape": [n for n, shape in wanted.items() if n in tensors and tensors[n].shape != shape],
    }
    told = [f"{what} {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise UserError(f"the weights in {folder} do not fit its networks: {'; '.join(told)}")


def _some(names: Sequence[str], num: int = 3) -> str:
    more = f" and {len(names) - num} more" if len(names) > num else ""
    return ", ".join(names[:num]) + more
