"""Attribute vectors on disk, beside the weights of the model whose latent space they are directions in.

``attributes.safetensors`` holds ``vectors`` `(A, Z)`, ``thresholds`` `(A,)` and ``counts`` `(A, 2)`;
``attributes.json`` their names, the method, and the hash of the weights: vectors of other weights, as after more
training, are refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from ..errors import UserError
from ..files import write_json, written_beside
from ..models.serialization import weights_digest
from ..runs.locate import find_model
from ..runs.run_folder import VECTOR_TENSORS, VECTORS
from .attribute_vectors import AttributeVectors


def save_vectors(folder: Path, vectors: AttributeVectors) -> None:
    """Write vectors into the folder of a saved model; UserError if it cannot be written."""
    tensors = {name: getattr(vectors, name).cpu().contiguous() for name in ("vectors", "thresholds", "counts")}
    with written_beside(folder / VECTOR_TENSORS) as beside:
        beside.write_bytes(safetensors.torch.save(tensors))
    description = {
        "names": vectors.names,
        "how": vectors.method,
        "orthogonalised": vectors.orthogonalised,
        "weights": weights_digest(folder),
    }
    write_json(folder / VECTORS, description)


def load_vectors(folder: str | Path) -> AttributeVectors:
    """Read the vectors of a run, the folder of a saved model, or a model on the hub by its id.

    Raises UserError if there are none, they are damaged, or they belong to other weights.
    """
    folder = find_model(folder)
    try:
        description = json.loads((folder / VECTORS).read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / VECTOR_TENSORS)
        weights, names = description["weights"], tuple(description["names"])
        vectors = AttributeVectors(
            names, **tensors, method=description["how"], orthogonalised=description["orthogonalised"]
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no attribute vectors; make them with `vaegan attributes`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder / VECTORS} is damaged; make it again with `vaegan attributes`") from error
    if weights != weights_digest(folder):
        raise UserError(f"the attribute vectors in {folder} are of other weights; run `vaegan attributes` again")
    return vectors
