"""Many codes at once: clusters, a map, the leading dimensions."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from ...report.gallery import cluster_names, gallery
from ..code_sets import Group, Split, leading_dimensions
from ..registry import OfModel
from ..responses import Form, answer, attachment, data_uri, rounded

router = APIRouter(tags=["codes of many images"])

Num = Annotated[int, Query(ge=2, le=5000, description="images, at most")]
Seed = Annotated[int, Query(ge=0, lt=2**31, description="chooses the images, and where algorithms start")]
K = Annotated[int, Query(ge=1, le=50, description="clusters")]
How = Annotated[Literal["kmeans", "mixture"], Query(description="k-means, or a mixture of Gaussians")]


@router.get("/api/models/{model}/dimensions")
def dimensions(opened: OfModel, num: Annotated[int, Query(ge=1, le=256)] = 10) -> dict[str, Any]:
    """List the dimensions of the code that say most about images, by their mean KL in nats."""
    order, kl, deviation = leading_dimensions(opened)
    plain = [None] * num if kl is None else rounded(kl[:num])
    rows = zip(order[:num].tolist(), plain, rounded(deviation[:num]), strict=False)
    return {"dimensions": [{"dimension": d, "kl": nats, "deviation": sd} for d, nats, sd in rows]}


@router.get("/api/models/{model}/clusters")
def clusters(
    opened: OfModel,
    k: K = 10,
    how: How = "kmeans",
    num: Num = 2000,
    seed: Seed = 0,
    split: Split = "test",
    shown: Annotated[int, Query(ge=1, le=32, description="images of each cluster, the nearest to its centre")] = 12,
    form: Form = "json",
) -> Response:
    """Find clusters of codes, and show each by the images nearest to its centre."""
    group = Group(split, num, seed)
    chosen, mu = group.codes(opened)
    found = group.clusters(opened, k, how)
    images = opened.images(split)
    picked = np.array(images.images[chosen])
    name = f"{opened.name}-clusters"
    if form == "npz":
        arrays = {"codes": mu.numpy(), "clusters": found.assignment.numpy(), "centres": found.centres.numpy()}
        return _arrays(name, indices=chosen, **arrays)
    if form != "json":
        rows = gallery(picked, found, shown, blank=255)
        return answer(form, rows.reshape(-1, *rows.shape[2:]), name=name, columns=shown, shape=rows.shape[:2])
    names = cluster_names(found, None if images.labels is None else images.labels[chosen], images.label_names)
    rows_of = [found.nearest(cluster, shown).tolist() for cluster in range(k)]
    listed = [
        {
            "name": names[cluster],
            "size": int((found.assignment == cluster).sum()),
            "centre": rounded(found.centres[cluster]),
            "indices": [int(chosen[row]) for row in rows],
            "images": [data_uri(picked[row]) for row in rows],
        }
        for cluster, rows in enumerate(rows_of)
    ]
    return JSONResponse({"clusters": listed, "num": len(chosen), "split": split})


@router.get("/api/models/{model}/map")
def code_map(
    opened: OfModel,
    how: Annotated[Literal["pca", "tsne"], Query(description="principal components, or t-SNE")] = "pca",
    num: Num = 2000,
    seed: Seed = 0,
    split: Split = "test",
    k: K = 10,
    by: Annotated[How, Query(description="how clusters are found")] = "kmeans",
    form: Literal["json", "npz"] = "json",
) -> Response:
    """Lay codes out on a plane: a place for each image, its label where known, and its cluster."""
    group = Group(split, num, seed)
    chosen, mu = group.codes(opened)
    images, places, found = opened.images(split), group.places(opened, how), group.clusters(opened, k, by)
    labels = None if images.labels is None else images.labels[chosen]
    if form == "npz":
        known = {} if labels is None else {"labels": labels, "label_names": np.asarray(images.label_names, np.str_)}
        arrays = {"codes": mu.numpy(), "places": places.numpy(), "clusters": found.assignment.numpy()}
        return _arrays(f"{opened.name}-map", indices=chosen, **arrays, **known)
    return JSONResponse(
        {
            "indices": chosen.tolist(),
            "places": rounded(places),
            "labels": None if labels is None else labels.tolist(),
            "label_names": list(images.label_names),
            "clusters": found.assignment.tolist(),
            "cluster_names": cluster_names(found, labels, images.label_names),
            "split": split,
        }
    )


def _arrays(name: str, **arrays: Any) -> Response:
    with tempfile.TemporaryFile() as file:
        np.savez_compressed(file, **arrays)
        file.seek(0)
        return attachment(file.read(), f"{name}.npz")
