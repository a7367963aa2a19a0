"""What ``vaegan attributes --check`` does: train an eye, look through it at edited images, tell what it saw."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import log
from .pictures import watched
from .table import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.dataset import ImageSet
    from ..latent.attribute_check import Effect
    from ..latent.attribute_vectors import AttributeVectors
    from ..metrics.bootstrap import Interval
    from ..models import Model
    from .attributes import Options

_log = logging.getLogger("vaegan")


def values_of(images: ImageSet, names: Sequence[str]) -> Tensor:
    """Return values `(N, A)` of these attributes."""
    import torch

    from ..data.attribute_table import known_attributes

    values, known = known_attributes(images)
    return torch.from_numpy(values[:, [known.index(name) for name in names]])


def check(
    model: Model,
    vectors: AttributeVectors,
    shown: AttributeVectors,
    train: ImageSet,
    held_out: ImageSet,
    report: Path,
    options: Options,
) -> None:
    """Train a classifier of all attributes, look through it at those shown, print and write what it saw.

    Args:
        model: that makes the images.
        vectors: all that were found; the classifier learns their attributes.
        shown: those to check.
        train: images for the classifier.
        held_out: images to edit.
        report: the JSON file.
        options: of the command.
    """
    import numpy as np
    import torch

    from ..data.thresholds import has_attribute
    from ..files import write_json
    from ..latent.attribute_check import LEVEL, NUM_DRAWS, check_vectors
    from ..metrics.extractors.classifier import balanced_accuracy, train_classifier
    from ..pixels import to_unit

    _log.info("training a classifier on %d images", len(train))
    targets, truth = (has_attribute(values_of(part, vectors.names), vectors.thresholds) for part in (train, held_out))
    classifier = train_classifier(torch.from_numpy(np.array(train.images)), targets, seed=options.seed)

    def predict(z: Tensor) -> Tensor:
        parts = range(0, len(z), options.batch_size)
        chunks = [slice(start, start + options.batch_size) for start in parts]
        told = [None if c is None else c[chunk] for chunk in chunks]
        decoded = (model.decode(z[chunk], condition=own) for chunk, own in zip(chunks, told, strict=True))
        return torch.cat([classifier.predict(x.cpu()) for x in decoded])

    x = to_unit(torch.from_numpy(np.array(held_out.images)))
    c = model.condition_of(held_out)
    z = model.encode(x, condition=c, batch_size=options.batch_size).cpu()
    unedited = predict(z)
    accuracies = [balanced_accuracy(seen, truth).tolist() for seen in (classifier.predict(x), unedited)]
    bases = {
        name: {
            "threshold": float(vectors.thresholds[i]),
            "training_images_without_and_with": vectors.counts[i].tolist(),
            "accuracy_on_originals": _number(accuracies[0][i]),
            "accuracy_on_reconstructions": _number(accuracies[1][i]),
            "share_in_reconstructions": float((unedited[:, i] > 0.5).float().mean()),
        }
        for i, name in enumerate(vectors.names)
    }
    found = check_vectors(z, shown, predict, options.check_strength, known=vectors.names, seed=options.seed)
    effects = list(watched(found, len(shown.names) * len(options.check_strength), "checking"))
    work = {way: _working(effects, singly=way == "by_image") for way in ("by_share", "by_image")}
    figures = {
        "num_images": len(z),
        "seed": options.seed,
        "vectors": {"how": vectors.how, "orthogonalised": vectors.orthogonalised},
        "intervals": f"{LEVEL:.0%} of {NUM_DRAWS} draws of the images with replacement",
        "attributes": bases,
        "effects": [asdict(effect) for effect in effects],
        "work": work,
    }
    write_json(report, figures)
    if log.is_first_process():
        _print_bases(bases)
        _print_effects(effects)
        print(_summary(len(shown.names), work))
    _log.info("check on %d held-out images: %s", len(z), report)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _working(effects: Sequence[Effect], *, singly: bool) -> list[str]:
    return list(dict.fromkeys(effect.attribute for effect in effects if effect.works(singly=singly)))


def _print_bases(bases: dict[str, dict[str, Any]]) -> None:
    """Print what there is before any edit, an attribute a row."""
    head = ["attribute", "above", "without", "with", "accuracy on originals", "on reconstructions", "seen there"]
    rows = []
    for name, base in bases.items():
        without, with_ = base["training_images_without_and_with"]
        accuracies = (base["accuracy_on_originals"], base["accuracy_on_reconstructions"])
        cells = ["-" if value is None else f"{value:.3f}" for value in (*accuracies, base["share_in_reconstructions"])]
        rows.append([name, f"{base['threshold']:.4g}", str(without), str(with_), *cells])
    print_table(head, rows)
    print()


def _print_effects(effects: Sequence[Effect]) -> None:
    """Print what each vector does at each strength, a row each."""
    head = [
        "attribute", "strength", "flipped", "added", "removed", "others moved", "most", "others flipped",
        "random flipped", "random others moved",
    ]  # fmt: skip
    rows = []
    for effect in effects:
        push, random = effect.vector, effect.random
        most = max(push.each_moved.items(), key=lambda item: item[1], default=None)
        rows.append([
            effect.attribute, f"{effect.strength:g}", _cell(push.flipped, whole=True), _cell(push.added),
            _cell(push.removed), _cell(push.others_moved, whole=True),
            "-" if most is None else f"{most[1]:.2f} {most[0]}", _cell(push.others_flipped), _cell(random.flipped),
            _cell(random.others_moved),
        ])  # fmt: skip
    print_table(head, rows)


def _cell(share: Interval | None, *, whole: bool = False) -> str:
    if share is None:
        return "-"
    return f"{share.value:.2f}" + (f" ({share.low:.2f} to {share.high:.2f})" if whole else "")


def _summary(num: int, work: dict[str, list[str]]) -> str:
    """Say how many attributes meet what a vector should do."""
    by_share, by_image = work["by_share"], work["by_image"]
    line = (
        f"{len(by_share)} of {num} attributes flip in at least 80 % of the images at a strength from 1 to 2 while the "
        f"shares of others move less than a third as much ({len(by_image)} while others flip less than a third as "
        "often)"
    )
    return f"{line}: {', '.join(by_share)}" if by_share else line
