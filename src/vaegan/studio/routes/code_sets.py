"""Codes of a set of images: clusters, a projection, the leading dimensions."""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UserError
from ...latent.clustering import ALGORITHMS, MAPS, MOST_CLUSTERS, Clusters, default_k
from ...latent.code_paths import order_by_kl
from ...latent.encoding import encode_images
from ...views.clusters import cluster_gallery, cluster_names
from ..http_errors import JSON
from ..registry import Version
from ..responses import Form, data_uri, npz_response, rounded, view_response
from ..served_model import BATCH, ModelVersion, Split

router = APIRouter(tags=["codes of many images"])
_RESTARTS = 2
_KL_IMAGES = 1000  # over which the KL of each dimension is averaged

Num = Annotated[int, Query(ge=2, le=5000, description="maximum number of images")]
Seed = Annotated[int, Query(ge=0, lt=2**31, description="chooses the images and initialises the algorithms")]
_K_HELP = "clusters; default: as many as labels, else 10, but not more than images"
K = Annotated[int | None, Query(ge=1, le=MOST_CLUSTERS, description=_K_HELP)]
ClusterMethod = Annotated[Literal["kmeans", "mixture"], Query(description="k-means, or a mixture of Gaussians")]


class CodeSet(NamedTuple):
    """Some images of a split, chosen by a seed."""

    split: Split = "test"
    num: Num = 2000
    seed: Seed = 0

    def codes(self, version: ModelVersion) -> tuple[NDArray[np.int64], Tensor]:
        """Return indices in the split `(N,)` and codes `(N, Z)`."""
        return version.codes(*self)[:2]

    def clusters(self, version: ModelVersion, k: int | None, how: str) -> Clusters:
        """Return k clusters of their codes."""
        _, mu = self.codes(version)
        k = k or min(default_k(version.images(self.split).label_names), len(mu))
        fit = ALGORITHMS[how]
        return version.slowly(("clusters", self, k, how), lambda: fit(mu, k, seed=self.seed, restarts=_RESTARTS))

    def places(self, version: ModelVersion, how: str) -> Tensor:
        """Return their places on a plane `(N, 2)`."""
        _, mu = self.codes(version)
        return version.slowly(("map", self, how), lambda: MAPS[how](mu, self.seed))


Chosen = Annotated[CodeSet, Depends()]


@router.get("/api/models/{model}/dimensions")
def dimensions(version: Version, num: Annotated[int, Query(ge=1, le=256)] = 10) -> dict[str, Any]:
    """List the leading dimensions of the code, those of the highest mean KL, in nats."""
    order, kl, deviation = leading_dimensions(version)
    plain = [None] * num if kl is None else rounded(kl[:num])
    rows = zip(order[:num].tolist(), plain, rounded(deviation[:num]), strict=False)
    return {"dimensions": [{"dimension": d, "kl": nats, "deviation": sd} for d, nats, sd in rows]}


@router.get("/api/models/{model}/clusters")
def clusters(
    version: Version,
    code_set: Chosen,
    k: K = None,
    how: ClusterMethod = "kmeans",
    shown: Annotated[int, Query(ge=1, le=32, description="images of each cluster, the nearest to its centre")] = 12,
    form: Form = "json",
) -> Response:
    """Cluster codes, and show each cluster by the images nearest to its centre."""
    indices, mu = code_set.codes(version)
    result = code_set.clusters(version, k, how)
    images = version.images(code_set.split).take(indices)
    name = f"{version.name}-clusters"
    if form == "npz":
        arrays = {"codes": mu.numpy(), "clusters": result.assignment.numpy(), "centres": result.centres.numpy()}
        return npz_response(name, indices=indices, **arrays)
    if form != "json":
        return view_response(form, cluster_gallery(images, result, shown, shown=version.shown), name=name)
    names = cluster_names(result, images.labels, images.label_names)
    nearest = [result.nearest(cluster, shown).tolist() for cluster in range(len(names))]
    pictures = version.shown(version.run.originals(images))
    listed = [
        {
            "name": names[cluster],
            "size": int((result.assignment == cluster).sum()),
            "centre": rounded(result.centres[cluster]),
            "indices": [int(indices[row]) for row in rows],
            "images": [data_uri(pictures[row]) for row in rows],
        }
        for cluster, rows in enumerate(nearest)
    ]
    return JSON({"clusters": listed, "num": len(indices), "split": code_set.split})


@router.get("/api/models/{model}/map")
def code_map(
    version: Version,
    code_set: Chosen,
    how: Annotated[Literal["pca", "tsne"], Query(description="principal components, or t-SNE")] = "pca",
    k: K = None,
    by: Annotated[ClusterMethod, Query(description="the clustering")] = "kmeans",
    form: Literal["json", "npz"] = "json",
) -> Response:
    """Project codes to 2-D: a position for each image, its label if it has one, and its cluster."""
    indices, mu = code_set.codes(version)
    images, places = version.images(code_set.split), code_set.places(version, how)
    result = code_set.clusters(version, k, by)
    labels = None if images.labels is None else images.labels[indices]
    if form == "npz":
        named = {} if labels is None else {"labels": labels, "label_names": np.asarray(images.label_names, np.str_)}
        arrays = {"codes": mu.numpy(), "places": places.numpy(), "clusters": result.assignment.numpy()}
        return npz_response(f"{version.name}-map", indices=indices, **arrays, **named)
    return JSON(
        {
            "indices": indices.tolist(),
            "places": rounded(places),
            "labels": None if labels is None else labels.tolist(),
            "label_names": list(images.label_names),
            "clusters": result.assignment.tolist(),
            "cluster_names": cluster_names(result, labels, images.label_names),
            "split": code_set.split,
            "of": len(images),
        }
    )


def leading_dimensions(version: ModelVersion) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return all dimensions, the most used first; their mean KL in nats, or None; the deviation of codes in each.

    Codes are those of held-out images or, where there are none, of the model's own samples. The dimensions of a plain
    autoencoder are ordered by their deviation; those of a GAN, which has no encoder, and of a model with neither images
    nor a prior are not ordered.
    """
    latent_dim, codes = version.model.latent_dim, _codes_of_any(version)
    if codes is None:
        return torch.arange(latent_dim), None, torch.ones(latent_dim)
    mu, logvar = codes
    if logvar is None:
        deviation = mu.std(0)
        order = deviation.argsort(descending=True, stable=True)
        return order, None, deviation[order]
    order, kl = order_by_kl(mu, logvar)
    return order, kl, mu.std(0)[order]


def _codes_of_any(version: ModelVersion) -> tuple[Tensor, Tensor | None] | None:
    model = version.model
    if model.encoder is None:
        return None
    try:
        _, mu, logvar = version.codes("test", _KL_IMAGES, 0)
        return mu, logvar
    except UserError:
        if not model.prior_names:
            return None

        def of_samples() -> tuple[Tensor, Tensor | None]:
            c = model.condition_in_turn(_KL_IMAGES)
            images = model.pixels.from_unit(model.sample(_KL_IMAGES, condition=c, batch_size=BATCH))
            return encode_images(model, images, condition=c, batch_size=BATCH)

        return version.slowly("codes of samples", of_samples)
