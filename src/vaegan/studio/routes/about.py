"""Which models there are, and what each can be asked for."""

from __future__ import annotations

import importlib.util
from typing import Any

from fastapi import APIRouter, Request

from ...latent.kmeans import ALGORITHMS
from ..http_errors import Refused
from ..registry import Library, OfModel
from ..served_model import Opened

router = APIRouter(tags=["models"])


@router.get("/api/models")
def models(request: Request) -> dict[str, Any]:
    """List all models and what each can do."""
    library: Library = request.app.state.library
    return {"models": [described(opened) for opened in library.values()]}


@router.get("/api/models/{model}")
def model(opened: OfModel) -> dict[str, Any]:
    """Tell what a model is: its parts, priors, labels, attributes, conditions."""
    return described(opened)


def described(opened: Opened) -> dict[str, Any]:
    """Return what a client has to know to ask."""
    common = {"name": opened.name, "source": opened.source, "run": opened.run_folder is not None}
    try:
        model = opened.model()
    except Refused as refusal:  # a run without a model yet
        return common | {"ready": False, "reason": str(refusal)}
    channels, height, width = model.image_shape
    vectors = opened.vectors()
    conditioning = model.conditioning
    data = opened.data_settings.source
    return common | {
        "ready": True,
        "version": opened.version,
        "kind": model.kind,
        "image": {"channels": channels, "height": height, "width": width},
        "latent_dim": model.latent_dim,
        "parts": {name: sum(p.numel() for p in part.parameters()) for name, part in model.parts.items()},
        "priors": _priors(opened),
        "default_prior": model.default_prior if model.prior_names else None,
        "labels": list(conditioning.names) if conditioning and conditioning.kind == "labels" else _labels(opened),
        "attributes": list(vectors.names) if vectors else [],
        "condition": None if conditioning is None else {"kind": conditioning.kind, "names": list(conditioning.names)},
        "data": data or None,
        "clusterings": list(ALGORITHMS),
        "maps": ["pca", *(["tsne"] if importlib.util.find_spec("openTSNE") else [])],
        "info": {key: model.info.get(key) for key in ("recipe", "images", "seed")},
    }


def _priors(opened: Opened) -> list[dict[str, Any]]:
    model = opened.model()
    return [{"name": name, "knows_labels": bool(model.prior_of(name).num_labels)} for name in model.prior_names]


def _labels(opened: Opened) -> list[str]:
    """Return the labels that samples can be asked for: those of the data, where codes of each can be fitted."""
    model = opened.model()
    known = any(prior.num_labels for prior in model.priors.values())
    if model.encoder is None or not (known or opened.data_settings.source):
        return []
    return list(model.info.get("label_names", ()))
