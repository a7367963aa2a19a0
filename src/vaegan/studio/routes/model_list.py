"""The available models and what each supports."""

import importlib.util
from typing import Any

from fastapi import APIRouter, Request

from ...errors import UserError, shown
from ...latent.clustering import ALGORITHMS, default_k
from ..registry import Registry, Served
from ..served_model import ModelVersion, ServedModel

router = APIRouter(tags=["models"])


@router.get("/api/models")
def models(request: Request) -> dict[str, Any]:
    """List all models and what each supports."""
    registry: Registry = request.app.state.registry
    return {"models": [_description(served) for served in registry.values()]}


@router.get("/api/models/{model}")
def model(served: Served) -> dict[str, Any]:
    """Describe a model: its networks, priors, labels, attributes and condition."""
    return _description(served)


def _description(served: ServedModel) -> dict[str, Any]:
    common = {"name": served.name, "source": served.source, "run": served.run_folder is not None}
    try:
        version = served.version()
    except UserError as refusal:  # a run without a model yet, or one that cannot be read
        return common | {"ready": False, "reason": str(refusal)}
    model = version.model
    channels, height, width = model.image_shape
    conditioning = model.conditioning
    priors = [{"name": name, "knows_labels": bool(model.prior_of(name).num_labels)} for name in model.prior_names]
    return common | {
        "ready": True,
        "version": version.id,
        "kind": model.kind,
        "image": {"channels": channels, "height": height, "width": width},
        "shows_all_channels": version.shows_all_channels,  # else no picture of an answer can be sent back
        "latent_dim": model.latent_dim,
        "parts": model.num_parameters,
        "priors": priors,
        "default_prior": model.default_prior if model.prior_names else None,
        "labels": _labels(version),
        "clusters": default_k(model.info.get("label_names", ())),
        "attributes": list(version.vectors.names) if version.vectors else [],
        "condition": None if conditioning is None else {"kind": conditioning.kind, "names": list(conditioning.names)},
        "data": shown(version.run.data_settings.source) or None,
        "clusterings": [name for name in ALGORITHMS if name != "manifold"],  # which takes too long for a request
        "maps": ["pca", *(["tsne"] if importlib.util.find_spec("openTSNE") else [])],
        "info": {key: model.info.get(key) for key in ("recipe", "images", "seed")},
    }


def _labels(version: ModelVersion) -> list[str]:
    """Return the labels that samples can have: those of the condition, a prior by label, or data to fit one to."""
    model = version.model
    if model.conditioning is not None and model.conditioning.kind == "labels":
        return list(model.conditioning.names)
    by_label = any(prior.num_labels for prior in model.priors.values())
    by_label |= model.encoder is not None and bool(version.run.data_settings.source)
    return list(model.info.get("label_names", ())) if by_label else []
