"""A model's folder: `config.json`, which says what the networks are, and `model.safetensors`, their weights.

Nothing is unpickled, and what is missing, damaged or newer than this version is told in one line.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from ..errors import UserError
from ..files import write_json, written_beside
from ..version import __version__

FORMAT = 1
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


def write_model(folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write weights and description into a folder, each beside and then renamed.

    Raises:
        UserError: if the folder cannot be written.
    """
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with written_beside(folder / WEIGHTS_NAME) as beside:
        beside.write_bytes(safetensors.torch.save(plain))
    write_json(folder / CONFIG_NAME, {"format": FORMAT, "vaegan": __version__, **description})


def read_description(folder: Path) -> dict[str, Any]:
    """Return what a folder's `config.json` says.

    Raises:
        UserError: if it is damaged or of a newer version.
    """
    with damage_told(folder / CONFIG_NAME):
        config: dict[str, Any] = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        if (version := int(config["format"])) > FORMAT:
            raise UserError(
                f"{folder} was written by a newer vaegan (format {version}, this one reads up to {FORMAT}): upgrade"
            )
    return config


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Tell in one line what goes wrong while a description is read or followed."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or no model's ({type(error).__name__}: {error}); take it from a copy"
        ) from error


def read_tensors(folder: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in a folder.

    Args:
        folder: of the model.
        wanted: the networks' own, whose names and shapes those in the folder must have.

    Raises:
        UserError: if they are missing or damaged, or do not fit.
    """
    path = folder / WEIGHTS_NAME
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the whole folder of the model") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); take it from a copy") from error
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "too many": [name for name in tensors if name not in wanted],
        "of another shape": [n for n, own in wanted.items() if n in tensors and tensors[n].shape != own.shape],
    }
    told = [f"{what} {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise UserError(f"the weights in {folder} do not fit its networks: {'; '.join(told)}")
    return tensors


def _some(names: Sequence[str], num: int = 3) -> str:
    more = f" and {len(names) - num} more" if len(names) > num else ""
    return ", ".join(names[:num]) + more
