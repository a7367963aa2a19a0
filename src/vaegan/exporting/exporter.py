"""Export of a model to a folder: written, read back and compared with the model, then renamed to its final place.

The outputs are compared with those of the model's own methods, on batches of 1 and 3. A difference is relative to the
largest value where that is above 1, so that large logits need no more digits than float32 has.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, nearest
from ..files import write_json
from ..models import Model, load
from ..models.serialization import copy_vectors
from ..version import __version__
from .diffusers import WEIGHTS_NAME, outputs_of, read_diffusers, write_diffusers
from .graphs import GRAPHS, GraphFormat, PublicPart, from_model, import_onnxruntime, public_parts, traced

FORMATS = ("safetensors", *GRAPHS)
"""Formats of every model."""
DIFFUSERS = "diffusers"
"""The format, and its folder, of models whose codes are maps."""
TOLERANCE = 1e-4
BATCH_SIZES = (1, 3)
DESCRIPTION_NAME = "export.json"


@dataclass(frozen=True)
class Check:
    """Comparison of one file with the model.

    Attributes:
        file: name in the folder.
        part: of the model.
        form: its format: one of `FORMATS`, or 'diffusers'.
        difference: the largest, of all outputs and batches; relative where values are above 1. None where the
            package that reads the file is not installed.
    """

    file: str
    part: str
    form: str
    difference: float | None


def export_model(
    model: Model, folder: str | Path, formats: Sequence[str] = FORMATS, *, overwrite: bool = False
) -> list[Check]:
    """Write a model's parts into a folder, check them, describe them in `export.json`.

    Args:
        model: of any device.
        folder: written whole, after all checks, or not at all.
        formats: 'safetensors' (what `load` reads, with priors and attribute vectors), 'onnx', 'torch'
            (`torch.export`), and of a model whose codes are maps 'diffusers' (the layout of `AutoencoderKL`, in a
            folder of that name).
        overwrite: replace an earlier export in this folder.

    Returns:
        The comparisons, one for each part and format.

    Raises:
        UserError: if a format is unknown, needs a package that is not installed or does not fit this model, the folder
            cannot be written or replaced, a network cannot be traced, or an exported part differs from the model by
            more than 1e-4.
    """
    choices = (*FORMATS, DIFFUSERS)
    for name in formats:
        if name not in choices:
            raise UserError(f"unknown format '{name}'{nearest(name, choices)}; there are {', '.join(choices)}")
    if not formats:
        raise UserError(f"no format to export; name some of {', '.join(choices)}")
    if "onnx" in formats:
        import_onnxruntime()
    if model.device.type != "cpu":  # exported files run on the CPU
        model = copy.deepcopy(model).cpu()
    parts = public_parts(model)
    with folder_beside(Path(folder), DESCRIPTION_NAME, overwrite) as beside:
        checks: list[Check] = []
        if "safetensors" in formats:
            checks += _save(model, parts, beside)
        if DIFFUSERS in formats:
            checks += _write_diffusers(model, parts, beside)
        for name, part in parts.items():
            checks += _export_part(model, name, part, {f: GRAPHS[f] for f in GRAPHS if f in formats}, beside)
        write_json(beside / DESCRIPTION_NAME, _description(model, parts, checks))
    return checks


def _save(model: Model, parts: dict[str, PublicPart], folder: Path) -> Iterator[Check]:
    model.save(folder)
    copy_vectors(model.folder, folder, model.state_dict())
    user_made = copy.deepcopy(model.parts) if model.architecture is None else None
    loaded = load(folder, parts=user_made)
    for name, part in parts.items():

        def run(*inputs: Tensor, name: str = name) -> tuple[Tensor, ...]:
            return from_model(loaded, name, inputs)

        yield _checked(model, name, part, "safetensors", "model.safetensors", run)


def _write_diffusers(model: Model, parts: dict[str, PublicPart], folder: Path) -> Iterator[Check]:
    write_diffusers(model, folder / DIFFUSERS)
    read, file = read_diffusers(folder / DIFFUSERS), f"{DIFFUSERS}/{WEIGHTS_NAME}"
    for name in ("encoder", "decoder"):

        def run(x: Tensor, name: str = name) -> tuple[Tensor, ...]:
            return outputs_of(read, name, model.maps(x) if name == "decoder" else x)

        yield (
            Check(file, name, DIFFUSERS, None)
            if read is None
            else _checked(model, name, parts[name], DIFFUSERS, file, run)
        )


def _export_part(
    model: Model, name: str, part: PublicPart, formats: dict[str, GraphFormat], folder: Path
) -> Iterator[Check]:
    if not formats:
        return
    program = traced(part)
    for word, graph in formats.items():
        file = name + graph.ending
        graph.write(part, program, folder / file)
        yield _checked(model, name, part, word, file, graph.read(folder / file))


def _checked(model: Model, name: str, part: PublicPart, form: str, file: str, run: Any) -> Check:
    """Compare the outputs of a file's part with those of the model.

    Raises:
        UserError: if they differ.
    """
    generator = torch.Generator().manual_seed(0)
    difference = 0.0
    for num in BATCH_SIZES:
        inputs = tuple(port.example(num, generator) for port in part.inputs)
        for expected, actual in zip(from_model(model, name, inputs), run(*inputs), strict=True):
            difference = max(difference, largest_difference(expected, actual))
    if not difference <= TOLERANCE:  # also where it is not a number
        raise UserError(
            f"the {name} as {form} differs from the model by {difference:.1e}, more than {TOLERANCE:g}; nothing was "
            "written; export other formats, and report this if the model's weights are finite"
        )
    return Check(file, name, form, difference)


def largest_difference(expected: Tensor, actual: Tensor) -> float:
    """Return max |expected - actual| / max(1, max |expected|); infinite if shapes differ or a value is not finite."""
    if expected.shape != actual.shape or not (expected.isfinite().all() and actual.isfinite().all()):
        return float("inf")
    scale = max(1.0, float(expected.abs().max()))
    return float((expected.double() - actual.double()).abs().max()) / scale


def _description(model: Model, parts: dict[str, PublicPart], checks: list[Check]) -> dict[str, Any]:
    conditioning = model.conditioning
    return {
        "vaegan": __version__,
        "kind": model.kind,
        "image_shape": model.image_shape,
        "latent_dim": model.latent_dim,
        "code_shape": model.code_shape,
        "condition": None if conditioning is None else conditioning.as_json(),
        "default_prior": model.default_prior if model.prior_names else None,
        "parts": {
            name: {
                "inputs": [port.as_json() for port in part.inputs],
                "outputs": [port.as_json() for port in part.outputs],
            }
            for name, part in parts.items()
        },
        "checked": {"batch_sizes": BATCH_SIZES, "tolerance": TOLERANCE, "files": [asdict(check) for check in checks]},
    }


def check_folder(folder: Path, mark: str, overwrite: bool) -> None:
    """Check that a folder may be written.

    Args:
        folder: where something is to be written.
        mark: name of a file that every such folder holds; only what has it is ever replaced.
        overwrite: whether it may be.

    Raises:
        UserError: if there is a file, a folder that may not be replaced, or one of something else.
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / mark).is_file():
            raise UserError(f"{folder} holds something else (no {mark} in it); choose another name")
        if not overwrite:
            raise UserError(f"{folder} exists; choose another name or allow it to be replaced (--overwrite)")
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")


@contextlib.contextmanager
def folder_beside(folder: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    """Yield a fresh folder beside ``folder``, which takes its place on success and is removed otherwise.

    Arguments and what is raised as `check_folder`; besides:

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    folder = folder.expanduser().resolve()
    check_folder(folder, mark, overwrite)
    beside, before = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("part", "before"))
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.is_dir():
            folder.replace(before)
        beside.replace(folder)
    except OSError as error:
        if before.is_dir() and not folder.exists():
            before.replace(folder)
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another place"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
