"""``vaegan cluster``: clusters of codes, how they fit the labels, and what they look like."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import PositiveInt

from . import log
from .folder import folder_of
from .options import Arg
from .pictures import DataPictureOptions, encode_to_codes, load_model, open_images, run_defaults, some_of, watched
from .table import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.dataset import ImageSet
    from ..latent.kmeans import Clusters

_log = logging.getLogger("vaegan")


class Options(DataPictureOptions):
    """Find clusters among the codes of images: a gallery of each, a map, and scores where there are labels.

    Writes gallery.png, map.png, clusters.npz (codes, cluster of each image, names) and clusters.json (scores).
    """

    out: Annotated[Path | None, Arg("FOLDER", default="RUN/pictures/cluster")] = None
    """Folder for the results."""
    num: PositiveInt = 10_000
    """Images, at most."""
    k: PositiveInt = 10
    """Clusters."""
    how: Literal["kmeans", "mixture"] = "kmeans"
    """k-means, or a mixture of Gaussians."""
    restarts: PositiveInt = 5
    """Starts, of which the best counts."""
    repeats: PositiveInt = 1
    """Do it all with so many seeds, from --seed on, and give means with intervals."""
    baselines: bool = False
    """Cluster the pixels and their principal components too, as many as the codes have dimensions."""
    map: Literal["pca", "tsne", "none"] = "pca"
    """Map of the codes: two principal components, or t-SNE (extra 'tsne')."""
    gallery: PositiveInt = 16
    """Images of each cluster in the gallery, the nearest to its centre first."""


defaults = run_defaults


def run(options: Options) -> None:
    """Cluster, draw, score."""
    import numpy as np

    from ..files import write_json, written_beside

    folder = folder_of(options, "cluster")
    model = load_model(options)
    data = open_images(options, model)
    images = some_of(data.test if options.split == "test" else data.train, options.num, options.seed)
    mu, _ = encode_to_codes(model, images, options.batch_size)
    runs = list(_runs(options, images, mu))
    first = runs[0][2]
    _draw(options, folder, images, mu, first)
    with written_beside(folder / "clusters.npz") as beside:
        np.savez_compressed(
            beside,
            codes=mu.numpy(),
            clusters=first.assignment.numpy(),
            centres=first.centres.numpy(),
            names=np.asarray(images.names, np.str_),
        )
    records = [{"points": what, "seed": seed, **_scores(clusters, images)} for what, seed, clusters in runs]
    sizes = first.assignment.bincount(minlength=options.k).tolist()
    write_json(
        folder / "clusters.json",
        {"how": options.how, "k": options.k, "num_images": len(images), "sizes": sizes, "scores": records},
    )
    _print(records)
    _log.info("%d clusters of %d images: %s", options.k, len(images), folder)


def _runs(options: Options, images: ImageSet, mu: Tensor) -> Iterator[tuple[str, int, Clusters]]:
    """Yield what was clustered, the seed, and the clusters; the codes with the first seed come first."""
    import torch

    from ..latent.kmeans import ALGORITHMS, kmeans, principal_components
    from ..pixels import to_unit

    cluster = ALGORITHMS[options.how]
    points = {"codes": (mu, cluster)}
    if options.baselines:
        pixels = to_unit(torch.from_numpy(images.images)).permute(0, 2, 3, 1).flatten(1)
        # Pixels have too many dimensions for the covariances of a mixture.
        points |= {"pixels": (pixels, kmeans), "PCA": (principal_components(pixels, mu.shape[1]), cluster)}
    jobs = [(what, seed) for what in points for seed in range(options.seed, options.seed + options.repeats)]
    for what, seed in watched(jobs, len(jobs), "clustering"):
        z, algorithm = points[what]
        yield what, seed, algorithm(z, options.k, seed=seed, restarts=options.restarts)


def _scores(clusters: Clusters, images: ImageSet) -> dict[str, float]:
    from ..metrics.clustering import SCORES

    if images.labels is None:
        return {}
    return {name: score(clusters.assignment.numpy(), images.labels) for name, score in SCORES.items()}


def _draw(options: Options, folder: Path, images: ImageSet, mu: Tensor, clusters: Clusters) -> None:
    from ..latent.kmeans import MAPS
    from ..report.gallery import cluster_names, gallery
    from ..report.output import write_picture
    from ..report.scatter import Grouping, draw_scatter
    from ..report.sheet import sheet

    names = cluster_names(clusters, images.labels, images.label_names)
    shown = gallery(images.images, clusters, options.gallery, blank=255)
    places = None if options.map == "none" else MAPS[options.map](mu, options.seed)
    write_picture(folder / "gallery.png", sheet(shown, rows=names))
    if places is None:
        return
    groupings = [Grouping("clusters", clusters.assignment.numpy(), names)]
    if images.labels is not None:
        groupings.append(Grouping("labels", images.labels, images.label_names))
    draw_scatter(places.numpy(), groupings, folder / "map.png")


def _print(records: list[dict[str, Any]]) -> None:
    """Print the scores, of several seeds the mean and half the width of its 95 % interval (Student's t)."""
    scores = [name for name in records[0] if name not in ("points", "seed")]
    if not scores or not log.is_first_process():
        return
    rows = []
    for what in dict.fromkeys(record["points"] for record in records):
        of_what = [[record[name] for name in scores] for record in records if record["points"] == what]
        rows.append([what, *(_interval(list(values)) for values in zip(*of_what, strict=True))])
    print_table(["points", *scores], rows)


def _interval(values: list[float]) -> str:
    from ..evaluation.seeds import mean_over_seeds

    if len(values) == 1:
        return f"{values[0]:.3f}"
    mean = mean_over_seeds(values)
    return f"{mean.value:.3f} ± {mean.high - mean.value:.3f}"
