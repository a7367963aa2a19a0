"""Export of a model to safetensors, ONNX, `torch.export` or diffusers: written, read back, compared, then renamed.

The outputs are compared with those of the model's own methods, on batches of 1 and 3. A difference is relative to the
largest value where that is above 1, so that large logits need no more digits than float32 has.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, one_of
from ..files import check_folder, expanded, folder_beside, write_json
from ..models import Model, load
from ..models.serialization import copy_vectors
from ..progress import log, paced_lines
from ..runs.run_folder import DIFFUSERS_WEIGHTS, EXPORTED, OF_AN_EXPORT
from ..version import __version__
from .diffusers import outputs_of, read_diffusers, write_diffusers
from .graphs import GRAPHS, PublicPart, Run, from_model, import_onnxruntime, traced

FORMATS = ("safetensors", *GRAPHS)
"""Formats of every model."""
DIFFUSERS = "diffusers"
"""The format, and its folder, of models whose codes are maps."""
TOLERANCE = 1e-4
BATCH_SIZES = (1, 3)


@dataclass(frozen=True)
class Check:
    """Comparison of one file with the model: the largest difference of all outputs and batches.

    It is relative where values are above 1, and None where the package that reads the file is not installed.
    """

    file: str
    part: str
    form: str
    difference: float | None


def export_model(
    model: Model, folder: str | Path, formats: Sequence[str] = FORMATS, *, overwrite: bool = False
) -> list[Check]:
    """Write a model's parts into a folder, whole or not at all, check them, describe them in `export.json`.

    Formats are 'safetensors' (what `load` reads, with priors and attribute vectors), 'onnx', 'torch' (`torch.export`),
    and of a model whose codes are maps 'diffusers' (the layout of `AutoencoderKL`, in a folder of that name). Returns a
    comparison for each part and format. Raises UserError if a format is unknown, needs a package that is not installed
    or does not fit, the folder cannot be written or replaced, or an exported part differs by more than 1e-4.
    """
    choices = (*FORMATS, DIFFUSERS)
    for name in formats:
        one_of("format", name, choices)
    if not formats:
        raise UserError(f"no format to export; name some of {', '.join(choices)}")
    if "onnx" in formats:
        import_onnxruntime()
    check_free_for_export(Path(folder), overwrite)
    if model.device.type != "cpu":  # exported files run on the CPU
        model = copy.deepcopy(model).cpu()
    parts, say = {name: PublicPart(model, name) for name in model.parts}, paced_lines()
    checks: list[Check] = []
    log.info("exporting %s as %s", ", ".join(parts), ", ".join(formats))
    with folder_beside(Path(folder)) as beside:
        for file, part, form, run in _written(model, parts, formats, beside):
            checks.append(Check(file, part, form, None if run is None else _difference(model, parts[part], form, run)))
            say(f"{len(checks)} of at most {len(parts) * len(formats)} files written and checked")
        write_json(beside / EXPORTED, _description(model, parts, checks))
    return checks


def check_free_for_export(folder: Path, overwrite: bool) -> None:
    """Raise UserError if a folder may not be written; only what is an earlier export alone is ever replaced."""
    names = tuple({name.partition("/")[0] for name in OF_AN_EXPORT})
    folder = expanded(folder)
    check_folder(folder, EXPORTED, "vaegan", overwrite, names)
    for path in folder.glob("*/**/*"):
        if path.relative_to(folder).as_posix() not in OF_AN_EXPORT:
            raise UserError(f"folder {path.parent} contains other files ({path.name}); choose a new one")


def _written(
    model: Model, parts: dict[str, PublicPart], formats: Sequence[str], folder: Path
) -> Iterator[tuple[str, str, str, Run | None]]:
    """Write all files; yield file, part, format, and the part as read back (None if nothing here can read it)."""
    if "safetensors" in formats:
        model.save(folder)
        copy_vectors(model.folder, folder, model.state_dict())
        loaded = load(folder, parts=copy.deepcopy(model.parts) if model.architecture is None else None)
        for name in parts:
            yield "model.safetensors", name, "safetensors", functools.partial(from_model, loaded, name)
    if DIFFUSERS in formats:
        write_diffusers(model, folder / DIFFUSERS)
        autoencoder = read_diffusers(folder / DIFFUSERS)
        for name in ("encoder", "decoder"):
            run = None if autoencoder is None else functools.partial(outputs_of, autoencoder, model, name)
            yield f"{DIFFUSERS}/{DIFFUSERS_WEIGHTS}", name, DIFFUSERS, run
    graphs = {name: graph for name, graph in GRAPHS.items() if name in formats}
    for name, part in parts.items() if graphs else ():
        program = traced(part)
        for form, graph in graphs.items():
            file = name + graph.ending
            graph.write(part, program, folder / file)
            yield file, name, form, graph.read(folder / file)


def _difference(model: Model, part: PublicPart, form: str, run: Run) -> float:
    """Return the largest difference between a part's outputs as read back and the model's; UserError if too large."""
    generator = torch.Generator().manual_seed(0)
    difference = 0.0
    for num in BATCH_SIZES:
        inputs = tuple(port.example(num, generator) for port in part.inputs)
        for expected, actual in zip(from_model(model, part.name, *inputs), run(*inputs), strict=True):
            difference = max(difference, largest_difference(expected, actual))
    if not difference <= TOLERANCE:  # also where it is not a number
        raise UserError(
            f"the {part.name} as {form} differs from the model by {difference:.1e}, more than {TOLERANCE:g}; nothing "
            "was written; export other formats, and report this if the model's weights are finite"
        )
    return difference


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
