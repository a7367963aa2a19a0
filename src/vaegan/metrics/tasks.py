"""What a small classifier can be trained to tell, so that its features see what matters in the images.

Where labels are known, it tells them (cross entropy), and each attribute besides (binary cross entropy). Where nothing
is known, it tells by which quarter turn an image was turned (Gidaris et al. 2018, "Unsupervised representation
learning by predicting image rotations"): that needs an eye for what is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batches import to_unit
from ..data.images import ImageSet
from ..data.thresholds import find_thresholds, has_attribute
from .classifier import Classifier, attribute_loss, attribute_weights


@dataclass(frozen=True)
class Task:
    """What is to be told.

    Attributes:
        label_names: name of each class; the first logits are theirs.
        attribute_names: of each attribute, whose logits follow.
        num_outputs: logits in all.
        loss: see `classifier.fit`.
        digest: changes with the answers (not with the images).
    """

    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    num_outputs: int
    loss: Callable[[Classifier, Tensor], Tensor]
    digest: str


def is_known(images: ImageSet) -> bool:
    """Return whether labels or attributes are known that differ between images."""
    return _has_classes(images) or bool(_varying_attributes(images)[1])


def known_task(images: ImageSet) -> Task:
    """Return the task of telling labels and attributes, which must be known."""
    labels = torch.from_numpy(images.labels) if _has_classes(images) and images.labels is not None else None
    targets, attribute_names = _varying_attributes(images)
    label_names = images.label_names if labels is not None else ()
    num_labels = len(label_names)
    weights = attribute_weights(targets)

    def loss(classifier: Classifier, chosen: Tensor) -> Tensor:
        logits: Tensor = classifier(_batch(images, chosen))
        total = logits.new_zeros(())
        if labels is not None:
            total = total + F.cross_entropy(logits[:, :num_labels], labels[chosen])
        if attribute_names:
            total = total + attribute_loss(logits[:, num_labels:], targets[chosen], weights)
        return total

    answers = [b"" if labels is None else labels.numpy().tobytes(), targets.numpy().tobytes()]
    digest = hashlib.sha256(repr((label_names, attribute_names)).encode() + b"".join(answers)).hexdigest()
    return Task(label_names, attribute_names, num_labels + len(attribute_names), loss, digest)


def rotation_task(images: ImageSet) -> Task:
    """Return the task of telling turns by 0, 90, 180 and 270 degrees; by 0 and 180 where images are not square."""
    turns = (0, 1, 2, 3) if images.images.shape[1] == images.images.shape[2] else (0, 2)

    def loss(classifier: Classifier, chosen: Tensor) -> Tensor:
        # The batch is in random order, so every place in it may have its own turn.
        x = _batch(images, chosen).contiguous()
        answer = torch.arange(len(x)) % len(turns)
        for number, turn in enumerate(turns):
            x[answer == number] = x[answer == number].rot90(turn, (2, 3))
        logits: Tensor = classifier(x)
        return F.cross_entropy(logits, answer)

    return Task((), (), len(turns), loss, f"{len(turns)} turns")


def _batch(images: ImageSet, chosen: Tensor) -> Tensor:
    """Return the chosen images, float `(B, C, H, W)` in [0, 1]; they may lie in a file that is only mapped."""
    return to_unit(torch.from_numpy(images.images[chosen.numpy()]))


def _has_classes(images: ImageSet) -> bool:
    return images.labels is not None and len(images.label_names) > 1


def _varying_attributes(images: ImageSet) -> tuple[Tensor, tuple[str, ...]]:
    """Return 1 with, 0 without, NaN unknown of the attributes with at least two values, `(N, A)`, and their names."""
    if images.attributes is None or not images.attribute_names:
        return torch.empty(len(images), 0), ()
    values = torch.from_numpy(images.attributes)
    thresholds = find_thresholds(values)
    varying = ~thresholds.isnan()
    names = tuple(name for name, varies in zip(images.attribute_names, varying.tolist(), strict=True) if varies)
    return has_attribute(values, thresholds)[:, varying], names
