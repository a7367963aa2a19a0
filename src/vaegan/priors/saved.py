"""Priors in a model folder: tensors in `priors.safetensors`, the rest in `priors.json`.

The description holds the checksum of the tensors' file, so that files of different fits are refused. It is removed
first and written last: what a killed process leaves are tensors without a description, which count as none.
"""

import hashlib
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from ..errors import UserError
from ..files import read_json, to_json, write_together
from ..runs.run_folder import PRIOR_TENSORS
from ..runs.run_folder import PRIORS as DESCRIPTION
from .fit import PRIORS, ByLabel
from .prior import Prior, Score, under

log = logging.getLogger("vaegan")


def save_priors(folder: Path, priors: Mapping[str, Prior], model: Mapping[str, bytes] | None = None) -> None:
    """Write priors into a folder, after the files of their model, if named; without priors, remove earlier ones.

    Raises UserError if the folder cannot be written.
    """
    contents = dict(model or {})
    if priors:
        tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors_of(priors).items()}
        content = safetensors.torch.save(tensors)
        described = {name: prior.description() for name, prior in priors.items()}
        description = to_json({"sha256": hashlib.sha256(content).hexdigest(), "priors": described})
        contents |= {PRIOR_TENSORS: content, DESCRIPTION: description.encode()}
    write_together(folder, contents, replaced=(DESCRIPTION, PRIOR_TENSORS)[: 1 if priors else 2])


def tensors_of(priors: Mapping[str, Prior]) -> dict[str, Tensor]:
    """Return the tensors of priors, by the name of the prior and its own, such as ``mixture/weights``."""
    return {f"{name}/{key}": tensor for name, prior in priors.items() for key, tensor in prior.tensors().items()}


def load_priors(folder: Path, latent_dim: int) -> dict[str, Prior]:
    """Return the priors in a model's folder, if any; UserError if they are damaged or not for its latent_dim."""
    if not (folder / DESCRIPTION).exists():
        if (folder / PRIOR_TENSORS).exists():
            log.warning("%s has no %s: its priors are left out", folder, DESCRIPTION)
        return {}
    remedy = f"restore them from a copy, or delete both files and fit again: vaegan priors {folder}"
    try:
        saved = read_json(folder / DESCRIPTION)
        content = (folder / PRIOR_TENSORS).read_bytes()
        if hashlib.sha256(content).hexdigest() != saved["sha256"]:
            raise ValueError(f"{PRIOR_TENSORS} is not the file that {DESCRIPTION} describes")
        tensors = safetensors.torch.load(content)
        if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{broken[0]} has numbers that are not finite")
        priors: dict[str, Prior] = {}
        for name, description in saved["priors"].items():
            own, kind = under(f"{name}/", tensors), PRIORS[description["kind"]]
            by_label = "of_labels" in description
            prior = ByLabel.restore_each(kind, own, description) if by_label else kind.restore(own, description)
            prior.score = None if description["score"] is None else Score(**description["score"])
            if prior.latent_dim != latent_dim:
                raise ValueError(f"'{name}' has {prior.latent_dim} dimensions, the model's codes {latent_dim}")
            if prior.score is not None and not math.isfinite(prior.score.mean):
                raise ValueError(f"the score of '{name}' is not finite")
            if not prior.is_sound():
                raise ValueError(f"'{name}' gives codes of no density")
            priors[name] = prior
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(f"the priors in {folder} are damaged ({type(error).__name__}: {reason}); {remedy}") from error
    return priors
