"""``vaegan cluster``: clusters of codes, their galleries, and how well they match the labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ..errors import UserError
from ..metrics.figures import info_of
from ..progress import log
from ..settings import Count
from .common import DataPictureOptions, open_run, place_of, watched
from .console import show, show_table
from .options import Arg

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.dataset import ImageSet
    from ..latent.clustering import Clusters
    from ..runs.opened import OpenedRun

_FIT_IMAGES = 60_000


class Options(DataPictureOptions):
    """Cluster the codes of images: a gallery of each cluster, a map, and scores where there are labels.

    Clusters are fitted to training images; the images shown and scored are assigned to them. Writes gallery.png,
    map.png, clusters.npz (codes, cluster of each image, names) and clusters.json (scores).
    """

    out: Annotated[Path | None, Arg("FOLDER", default="RUN/pictures/cluster")] = None
    """Folder for the results."""
    num: Count = 10_000
    """Maximum number of images to show and score."""
    fit_images: Annotated[
        Annotated[int, Field(ge=0, le=10**6)] | None, Arg("N", default=f"{_FIT_IMAGES}, or 0 with --baselines")
    ] = None
    """Maximum number of training images to fit the clusters to; 0 fits them to the images shown."""
    k: Count | None = None
    """Number of clusters; default: the number of labels, at most 50, or 10 without labels."""
    method: Literal["manifold", "mixture", "kmeans"] | None = None
    """'manifold' (a mixture of Gaussians on a UMAP embedding, extra 'cluster'), a mixture on the codes, or k-means;
    default: manifold where the extra is installed, else k-means."""
    restarts: Count = 10
    """Restarts, of which the best is used."""
    repeats: Count = 1
    """Repeat with this many seeds, from --seed on, and report means with intervals."""
    baselines: bool = False
    """Also cluster the pixels of the images shown and their principal components (as many as the codes have
    dimensions)."""
    map: Literal["pca", "tsne", "none"] = "pca"
    """Map of the codes: two principal components, or t-SNE (extra 'tsne')."""
    gallery: Count = 16
    """Images of each cluster in the gallery, nearest to its centre first."""


def run(options: Options) -> None:
    """Cluster, draw, score."""
    from ..files import check_folder, write_json
    from ..latent.clustering import MAPS, check_enough, default_k, import_tsne, pick_algorithm
    from ..runs.run_folder import CLUSTERS, PICTURES
    from ..views.clusters import clusterings, conclusion, label_scores

    folder, overwrite = place_of(options, f"{PICTURES}/cluster")
    if folder.suffix:
        raise UserError(f"--out {folder}: this command writes several files; name a folder")
    check_folder(folder, CLUSTERS, "scores", overwrite)
    method = pick_algorithm(options.method)
    if options.map == "tsne":
        import_tsne()  # before slow work
    num_fit = options.fit_images if options.fit_images is not None else 0 if options.baselines else _FIT_IMAGES
    if num_fit and options.baselines:
        raise UserError("--baselines compares clusters of the images shown themselves; leave out --fit-images")
    opened = open_run(options)
    images = opened.images(options.split, options.num, options.seed)
    k = options.k or default_k(images.label_names)
    check_enough(len(images), k)  # of a few images all scores are high
    mu, _ = opened.encode(images)
    among = opened.images("train", num_fit, options.seed) if num_fit else images
    runs = [
        (points, seed, clusters.of(mu) if num_fit else clusters)
        for points, seed, clusters in clusterings(
            opened.encode(among)[0], among, k, method, seeds=range(options.seed, options.seed + options.repeats),
            restarts=options.restarts, baselines=options.baselines, watch=watched,
        )
    ]  # fmt: skip
    first = runs[0][2]
    points_of_map = None if options.map == "none" else MAPS[options.map](mu, options.seed)
    records = [{"points": points, "seed": seed, **label_scores(clusters, images)} for points, seed, clusters in runs]
    sizes = first.assignment.bincount(minlength=k).tolist()
    about = {"how": method, "k": k, "fit_images": num_fit and len(among), "num_images": len(images)}
    # First, as it marks the folder as ours: after a failure it can be replaced.
    write_json(folder / CLUSTERS, {**about, "sizes": sizes, "scores": records})
    _write(options, folder, opened, images, mu, first, points_of_map)
    _show_scores(records)
    show(f"{conclusion(first, images)}.")
    of = f" found among {len(among):,} training images" if num_fit else ""
    log.info("%d clusters%s, with %s images in them: %s", k, of, f"{len(images):,}", folder)


def _write(
    options: Options, folder: Path, run: "OpenedRun", images: "ImageSet", mu: "Tensor", clusters: "Clusters",
    points: "Tensor | None",
) -> None:  # fmt: skip
    import numpy as np

    from ..files import remove, written_beside
    from ..report.grid import write_picture
    from ..report.scatter import draw_scatter
    from ..views.clusters import cluster_gallery, groupings

    view = cluster_gallery(images, clusters, options.gallery, shown=run.shown)
    write_picture(folder / "gallery.png", view.picture())
    if points is not None:
        draw_scatter(points.numpy(), groupings(images, clusters, view.rows), folder / "map.png")
    else:
        remove(folder / "map.png")  # of earlier clusters
    with written_beside(folder / "clusters.npz") as beside:
        np.savez_compressed(
            beside,
            codes=mu.numpy(),
            clusters=clusters.assignment.numpy(),
            centres=clusters.centres.numpy(),
            names=np.asarray(images.names, np.str_),
        )


def _show_scores(records: list[dict[str, Any]]) -> None:
    """Print the scores, of several seeds the mean and half the width of its 95 % interval (Student's t)."""
    scores = [name for name in records[0] if name not in ("points", "seed")]
    if not scores:
        return
    rows = []
    for points in dict.fromkeys(record["points"] for record in records):
        of_points = [[record[name] for name in scores] for record in records if record["points"] == points]
        rows.append([points, *(_interval(list(values)) for values in zip(*of_points, strict=True))])
    show_table(["points", *(info_of(name).title for name in scores)], rows)


def _interval(values: list[float]) -> str:
    from ..evaluation.seed_groups import mean_over_seeds

    if len(values) == 1:
        return f"{values[0]:.3f}"
    mean = mean_over_seeds(values)
    return f"{mean.value:.3f} ± {mean.high - mean.value:.3f}"
