"""Attribute vectors computed from the codes of training images, and images with them added."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.conditions import find_thresholds, has_attribute
from ..data.dataset import ImageSet
from ..errors import UserError
from ..latent.attribute_check import LEVEL, NUM_DRAWS, Effect, check_vectors
from ..latent.attribute_vectors import AttributeVectors, VectorMethod, find_attribute, find_vectors, sweep
from ..metrics.extractors.classifier import balanced_accuracy, train_classifier
from ..metrics.figures import finite_or_none
from ..progress import log
from ..runs.opened import OpenedRun
from .view import View

_ENOUGH = 50  # images with an attribute, and without it; the vector of fewer is mostly noise
SWEEP = (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0)


def attribute_values(images: ImageSet, names: Sequence[str]) -> Tensor:
    """Return the values `(N, A)` of these attributes or labels, NaN where unknown."""
    values, columns = images.labels_as_attributes()
    return torch.from_numpy(values[:, [columns.index(name) for name in names]])


def attribute_names(images: ImageSet, wanted: Sequence[str] = (), source: str = "the data") -> list[str]:
    """Return the attributes to compute vectors for: those of the data, else its labels.

    All are computed together, as vectors may depend on each other. Those that are the same for all images are left out
    with a warning, but for ``wanted`` ones. Two labels are one attribute, the second. Raises UserError if the images
    have neither, or not one of ``wanted``, or none is left.
    """
    _, columns = images.labels_as_attributes()
    if not columns:
        raise UserError(
            f"{source} has neither labels nor attributes; sort its images into a subfolder for each class, or put "
            "an attributes.csv beside them"
        )
    for name in wanted:
        find_attribute(columns, name)
    names: Sequence[str] = images.attribute_names or columns
    if not images.attribute_names and len(columns) == 2:
        names = wanted or columns[1:]
    names = [*names, *(name for name in wanted if name not in names)]
    differ = (_fewer_of(images, names) > 0).tolist()
    if same := [name for name, differs in zip(names, differ, strict=True) if not differs and name not in wanted]:
        log.warning("left out, as the same for all %s images: %s", f"{len(images):,}", ", ".join(same))
    if len(same) == len(names):
        raise UserError("no attribute or label separates the images: each is the same for all; use more images")
    return [name for name in names if name not in same]


def _fewer_of(images: ImageSet, names: Sequence[str]) -> Tensor:
    """Return how many images have each attribute or how many lack it, whichever are fewer, int `(A,)`."""
    values = attribute_values(images, names)
    sides = has_attribute(values, find_thresholds(values))
    return torch.minimum((sides == 0).sum(0), (sides == 1).sum(0))


def separating_attributes(images: ImageSet, fewest: int, num: int) -> list[str]:
    """Return up to ``num`` attributes or labels that at least ``fewest`` images have, and lack; UserError if none."""
    names = attribute_names(images)
    enough = _fewer_of(images, names) >= fewest
    chosen = [names[column] for column in enough.nonzero()[:num, 0].tolist()]
    if not chosen:
        raise UserError("no attribute or label separates the images: each is almost the same for all; use more images")
    return chosen


def vectors_of(
    run: OpenedRun,
    images: ImageSet,
    names: Sequence[str],
    method: VectorMethod = "difference",
    *,
    orthogonalise: bool = False,
) -> AttributeVectors:
    """Return the vectors of these attributes, computed from the codes of images; those of few images are logged."""
    values = attribute_values(images, names)
    vectors = find_vectors(run.encode(images)[0], values, list(names), method=method, orthogonalise=orthogonalise)
    if rare := [name for name, num in zip(names, vectors.counts.amin(1).tolist(), strict=True) if num < _ENOUGH]:
        log.warning(
            "fewer than %d images with, or without, %s; their attribute vectors are unreliable, use more images",
            _ENOUGH, ", ".join(rare[:3]) + (f" and {len(rare) - 3:,} others" if rare[3:] else ""),
        )  # fmt: skip
    return vectors


def attribute_edits(
    run: OpenedRun, images: ImageSet, vectors: AttributeVectors, strengths: Sequence[float] = ()
) -> View:
    """Return an image in each row: original, reconstruction, then with each vector added at each strength.

    Strength 1 adds the attribute's mean difference; the default is 1, or -2 to 2 for a single vector.
    """
    c = run.model().condition_of(images)
    z, _ = run.encode(images)
    strengths = strengths or (SWEEP if len(vectors.names) == 1 else (1.0,))
    columns, codes = ["original", "reconstruction"], [z, z]
    for name, vector in zip(vectors.names, vectors.vectors, strict=True):
        codes += sweep(z, vector, strengths)
        columns += [f"+ {name}" if strength == 1 else f"{strength:+g} × {name}" for strength in strengths]
    stacked = torch.stack(codes, dim=1)
    edited = np.array(run.decode(stacked, None if c is None else c[:, None]))
    edited[:, 0] = run.originals(images)
    caption = (
        "Each row is an image, its reconstruction, and the latter with the vector of an attribute or label added: "
        "the mean code of training images with it minus the mean code of those without it."
    )
    return View(edited, shown=run.shown, columns=columns, codes=stacked, caption=caption)


def attribute_effects(
    run: OpenedRun,
    vectors: AttributeVectors,
    checked: AttributeVectors,
    train: ImageSet,
    held_out: ImageSet,
    *,
    strengths: Sequence[float],
    seed: int,
) -> tuple[list[Effect], dict[str, Any]]:
    """Check vectors: a classifier, trained on images with all attributes, judges held-out images edited by them.

    Returns the effect of each vector at each strength, and all measurements as JSON.
    """
    targets, truth = (
        has_attribute(attribute_values(part, vectors.names), vectors.thresholds) for part in (train, held_out)
    )
    classifier = train_classifier(train, targets, seed=seed)
    model, size = run.model(), run.batch_size
    x, c = held_out.unit(), model.condition_of(held_out)

    def predict(z: Tensor) -> Tensor:
        chunks = [slice(start, start + size) for start in range(0, len(z), size)]
        decoded = (model.decode(z[chunk], condition=None if c is None else c[chunk]) for chunk in chunks)
        return torch.cat([classifier.predict(images.cpu()) for images in decoded])

    z = model.encode(x, condition=c, batch_size=size).cpu()
    unedited = predict(z)
    accuracies = [balanced_accuracy(seen, truth).tolist() for seen in (classifier.predict(x), unedited)]
    bases = {
        name: {
            "threshold": float(vectors.thresholds[i]),
            "training_images_without_and_with": vectors.counts[i].tolist(),
            "accuracy_on_originals": finite_or_none(accuracies[0][i]),
            "accuracy_on_reconstructions": finite_or_none(accuracies[1][i]),
            "share_in_reconstructions": float((unedited[:, i] > 0.5).float().mean()),
        }
        for i, name in enumerate(vectors.names)
    }
    measured = check_vectors(z, checked, predict, strengths, attribute_names=vectors.names, seed=seed)
    effects = list(run.watch(measured, len(checked.names) * len(strengths), "checking"))
    return effects, {
        "num_images": len(z),
        "seed": seed,
        "vectors": {"how": vectors.method, "orthogonalised": vectors.orthogonalised},
        "intervals": f"{LEVEL:.0%} of {NUM_DRAWS} draws of the images with replacement",
        "attributes": bases,
        "effects": [asdict(effect) for effect in effects],
        "work": {
            way: list(dict.fromkeys(effect.attribute for effect in effects if effect.works(singly=way == "by_image")))
            for way in ("by_share", "by_image")
        },
    }
