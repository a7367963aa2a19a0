"""A run while it is trained, or afterwards: curves, health, snapshots."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import Response

from ...report.animation import write_film
from ..http_errors import Refused
from ..registry import OfModel
from ..responses import attachment
from ..run_progress import Kind, Watched
from ..served_model import Opened

router = APIRouter(tags=["training"])
_MOST_FRAMES = 60


@router.get("/api/models/{model}/training")
def training(opened: OfModel) -> dict[str, Any]:
    """Tell how far a run is: its losses so far, its health, its snapshots."""
    return _watched(opened).summary()


@router.get("/api/models/{model}/snapshots/{kind}")
def film(opened: OfModel, kind: Kind) -> Response:
    """Return all snapshots of a kind as a film (GIF)."""
    paths = _watched(opened).pictures(kind)
    if not paths:
        raise Refused(404, f"{opened.name} has no snapshots of {kind}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{opened.name}-{kind}.gif"
        write_film(paths, path, _MOST_FRAMES)
        return attachment(path.read_bytes(), path.name)


@router.get("/api/models/{model}/snapshots/{kind}/{images}")
def snapshot(opened: OfModel, kind: Kind, images: Annotated[int, InPath(ge=0)]) -> Response:
    """Return the grid of a snapshot (PNG) after so many images."""
    return attachment(_watched(opened).picture(kind, images), f"{opened.name}-{kind}-{images}.png")


def _watched(opened: Opened) -> Watched:
    if opened.watched is None:
        raise Refused(409, f"{opened.name} is a saved model, not a run; name its run folder to see its training")
    return opened.watched
