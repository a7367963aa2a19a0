"""A model's folder: `config.json`, which describes the networks, and `model.safetensors`, their weights.

Nothing is unpickled, and what is missing, damaged or newer than this version is a `UserError`.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, FiniteFloat
from torch import Tensor

from ..data.conditions import Conditioning
from ..errors import UserError
from ..files import read_json, remove, to_json, write_json, written_beside
from ..pixels import BYTES, PixelFormat
from ..runs.run_folder import DIFFUSERS_CLASS, DIFFUSERS_FILES, MODEL_CONFIG, VECTOR_TENSORS, VECTORS, WEIGHTS
from ..settings import Architecture, Bands, Kind, PositiveInt, Side, Width
from ..settings_io import checked
from ..version import __version__
from .published import description_of, own_names

FORMAT = 1


class _Facts(BaseModel):
    """Types of the facts about a model that are used; there may be others."""

    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    default_prior: str | None = None
    condition: Conditioning | None = None
    normal_prior: bool = True
    scale_factor: FiniteFloat | None = None
    shift_factor: FiniteFloat | None = None
    latents_mean: tuple[FiniteFloat, ...] | None = None
    latents_std: tuple[FiniteFloat, ...] | None = None
    force_upcast: bool = True
    pixels: PixelFormat = BYTES
    bands: Bands = ()
    seed: int | None = None
    images: int | None = None
    pretrain_images: int | None = None


class _Description(BaseModel):
    """Types and bounds of `config.json`."""

    kind: Kind
    image_shape: tuple[Width, Side, Side]
    latent_dim: PositiveInt
    code_shape: tuple[PositiveInt, ...] | None = None
    image_range: tuple[FiniteFloat, FiniteFloat]
    architecture: Architecture | None
    info: _Facts


def model_files(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of weights and description by name."""
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    config = to_json({"format": FORMAT, "vaegan": __version__, **description})
    return {WEIGHTS: safetensors.torch.save(plain), MODEL_CONFIG: config.encode()}


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's `config.json`; one of diffusers is translated to ours.

    Raises UserError if it is damaged, out of bounds or newer, or describes a model that is not supported.
    """
    with one_line_errors(folder / MODEL_CONFIG):
        config: dict[str, Any] = read_json(folder / MODEL_CONFIG)
        if DIFFUSERS_CLASS in config:
            try:
                config = description_of(config)
            except UserError as error:
                raise UserError(f"{folder / MODEL_CONFIG}: {error}") from error
        if (version := int(config["format"])) > FORMAT:
            raise UserError(
                f"{folder} was written by a newer vaegan (format {version}, this one reads up to {FORMAT}): upgrade"
            )
        try:
            checked(_Description, config)
        except UserError as error:
            raise ValueError(str(error)) from error
    return config


@contextlib.contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Raise errors in reading a description, or in building what it describes, as a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a description can be wrong in any way
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(f"{path} is damaged or does not describe a model ({reason}); restore it from a copy") from error


def read_tensors(folder: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in a folder by our names, in the types of ``wanted``, which may be without memory.

    Raises UserError if they are missing, damaged or unlike ``wanted``: names and shapes first, before any is read.
    """
    there = (name for name in (WEIGHTS, *DIFFUSERS_FILES) if (folder / name).is_file())
    path = folder / next(there, WEIGHTS)
    with _weights_errors(path), safetensors.safe_open(path, "pt") as file:
        theirs = list(file.keys())
        names = own_names(theirs, wanted) if path.name in DIFFUSERS_FILES else {name: name for name in theirs}
        shapes = {own: tuple(file.get_slice(name).get_shape()) for name, own in names.items()}
    problems = {
        "missing": [name for name in wanted if name not in shapes],
        "unexpected": [name for name in shapes if name not in wanted],
        "of another shape": [name for name, own in wanted.items() if shapes.get(name, own.shape) != own.shape],
    }
    _refuse(folder, problems)
    with _weights_errors(path):
        saved: dict[str, Tensor] = safetensors.torch.load_file(path)
    tensors = {own: saved[name] for name, own in names.items()}
    floats = [name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.element_size() > 1]
    others = [name for name in tensors if name not in floats and tensors[name].dtype != wanted[name].dtype]
    problems = {"of a type other than 16, 32 or 64-bit floats": others}
    _refuse(folder, problems)
    own = {name: tensor.to(wanted[name].dtype, copy=True) for name, tensor in tensors.items()}  # not the file's map
    _refuse(folder, {"not finite": [name for name in floats if not own[name].isfinite().all()]})  # 1e300 is no float32
    return own


@contextlib.contextmanager
def _weights_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the whole folder of the model") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy") from error


def _refuse(folder: Path, problems: Mapping[str, Sequence[str]]) -> None:
    """Raise UserError with the first three weights of each problem, if there are any."""
    reasons = [
        f"{what} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for what, names in problems.items()
        if names
    ]
    if reasons:
        raise UserError(f"the weights in {folder} do not fit its networks: {'; '.join(reasons)}")


def file_digest(path: Path) -> str:
    """Return the hash of a file; an empty text if it is missing."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of tensors by name: their types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def copy_vectors(source: Path | None, folder: Path, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Copy attribute vectors from where a model was loaded (None: nowhere) to where it has just been saved.

    Returns their names: none if there are none, or none of just these weights. Raises UserError if the folder cannot be
    written.
    """
    if source is None or not (source / VECTOR_TENSORS).is_file():
        return ()
    try:
        description = read_json(source / VECTORS)
        names = tuple(map(str, description["names"]))
        saved = safetensors.torch.load_file(source / WEIGHTS)
        fit = description["weights"] == file_digest(source / WEIGHTS) and saved.keys() == tensors.keys()
        fit = fit and all(torch.equal(saved[name], tensors[name].cpu()) for name in saved)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):  # damaged: as if missing
        return ()
    if not fit:
        return ()
    if source.resolve() != folder.resolve():
        remove(folder / VECTORS)
        with written_beside(folder / VECTOR_TENSORS) as beside:
            shutil.copyfile(source / VECTOR_TENSORS, beside)
    write_json(folder / VECTORS, description | {"weights": file_digest(folder / WEIGHTS)})
    return names
