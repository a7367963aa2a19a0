"""Attribute vectors on disk, beside the weights of the model whose latent space they are directions of.

``attributes.safetensors`` holds ``vectors`` `(A, Z)`, ``thresholds`` `(A,)` and ``counts`` `(A, 2)`;
``attributes.json`` their names, how they were found, and the hash of the weights: vectors of other weights, as after
more training, mean nothing and are refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from ..errors import UserError
from ..files import write_json, written_beside
from ..latent.attribute_vectors import AttributeVectors
from ..models import WEIGHTS_NAME, find_model
from ..models.vectors import NAMES_NAME, VECTORS_NAME, weights_digest


def save_vectors(folder: Path, vectors: AttributeVectors) -> None:
    """Write vectors into the folder of a saved model.

    Raises:
        UserError: if the folder cannot be written.
    """
    tensors = {name: getattr(vectors, name).cpu().contiguous() for name in ("vectors", "thresholds", "counts")}
    with written_beside(folder / VECTORS_NAME) as beside:
        beside.write_bytes(safetensors.torch.save(tensors))
    description = {
        "names": vectors.names,
        "how": vectors.how,
        "orthogonalised": vectors.orthogonalised,
        "weights": weights_digest(folder),
    }
    write_json(folder / NAMES_NAME, description)


def load_vectors(folder: str | Path) -> AttributeVectors:
    """Read the vectors of a model.

    Args:
        folder: a run, the folder of a saved model, or the id of a model on the hub.

    Raises:
        UserError: if there are none, they are damaged, or were made for other weights.
    """
    folder = find_model_folder(folder) if Path(folder).expanduser().is_dir() else find_model(folder)
    try:
        description = json.loads((folder / NAMES_NAME).read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / VECTORS_NAME)
        weights = description["weights"]
        names, how, orthogonalised = tuple(description["names"]), description["how"], description["orthogonalised"]
        vectors = AttributeVectors(
            names, tensors["vectors"], tensors["thresholds"], tensors["counts"], how, orthogonalised
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no attribute vectors; make them with `vaegan attributes`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder / NAMES_NAME} is damaged; make it again with `vaegan attributes`") from error
    if weights != weights_digest(folder):
        raise UserError(f"the attribute vectors in {folder} are of other weights; run `vaegan attributes` again")
    return vectors


def find_model_folder(folder: str | Path) -> Path:
    """Return the folder with the weights: that of a run, or the folder itself."""
    folder = Path(folder).expanduser()
    return folder / "model" if (folder / "model" / WEIGHTS_NAME).is_file() else folder
