"""Extractors that are trained on the training images, and cached on disk.

The task is to predict labels (cross entropy) and attributes (binary cross entropy). For images with neither it is
rotation prediction (Gidaris et al. 2018, "Unsupervised representation learning by predicting image rotations"), which
cannot be solved without recognising what an image shows.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.conditions import find_thresholds, has_attribute
from ...data.dataset import ImageData, ImageSet
from ...errors import UserError
from ...files import short_hash
from .classifier import NUM_FEATURES, Classifier, attribute_loss, attribute_weights, fit, saved_or_trained

log = logging.getLogger("vaegan")
_VERSION = 1  # increase it when a change makes the same data give another classifier


@dataclass(frozen=True)
class Task:
    """A training task of the classifier: logits of classes, then of attributes, or others without names.

    The loss is one of `classifier.fit`, the digest a hash of the targets (not of the images).
    """

    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    num_outputs: int
    loss: Callable[[Classifier, Tensor], Tensor]
    digest: str


def has_targets(images: ImageSet) -> bool:
    """Return whether there are labels or attributes that differ between images."""
    return _has_classes(images) or bool(_varying_attributes(images)[1])


def label_task(images: ImageSet) -> Task:
    """Return the task of predicting labels and attributes, of which there must be some (`has_targets`)."""
    labels = torch.from_numpy(images.labels) if _has_classes(images) and images.labels is not None else None
    targets, attribute_names = _varying_attributes(images)
    label_names = images.label_names if labels is not None else ()
    num_labels = len(label_names)
    weights = attribute_weights(targets)

    def loss(classifier: Classifier, chosen: Tensor) -> Tensor:
        logits: Tensor = classifier(images.unit(chosen.numpy()))
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
    """Return the task of predicting rotations by 0, 90, 180 and 270 degrees; 0 and 180 where images are not square."""
    turns = (0, 1, 2, 3) if images.images.shape[1] == images.images.shape[2] else (0, 2)

    def loss(classifier: Classifier, chosen: Tensor) -> Tensor:
        # The batch is in random order, so every place in it may have its own turn.
        x = images.unit(chosen.numpy()).contiguous()
        answer = torch.arange(len(x)) % len(turns)
        for number, turn in enumerate(turns):
            x[answer == number] = x[answer == number].rot90(turn, (2, 3))
        logits: Tensor = classifier(x)
        return F.cross_entropy(logits, answer)

    return Task((), (), len(turns), loss, f"{len(turns)} turns")


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


TASKS = {"classifier": label_task, "rotations": rotation_task}
"""Extractor -> what it is trained on."""


class Learned:
    """The second to last layer of a `Classifier` trained on a task, as an extractor (`features.FeatureExtractor`)."""

    dim = NUM_FEATURES

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        image_shape: tuple[int, int, int],
        task: Task,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint_of(classifier.state_dict())
        self.image_shape = image_shape
        self.label_names, self.attribute_names = list(task.label_names), list(task.attribute_names)
        self._classifier = classifier.to(device).eval().requires_grad_(False)
        self._device = device

    @torch.inference_mode()
    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return features `(B, 128)`, on the CPU, of images `(B, C, H, W)` in [0, 1]; UserError for another shape."""
        if tuple(x.shape[1:]) != self.image_shape:
            raise UserError(
                f"extractor '{self.name}' was trained on images {self.image_shape}, not {tuple(x.shape[1:])}; "
                "open the data in the size of these images"
            )
        return in_batches(self._classifier.features, x, batch_size, self._device)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the maps behind each convolution, `(B, C, h, w)` on the device, differentiable in the images."""
        return self._classifier.layers(x)

    @torch.inference_mode()
    def label_probabilities(self, features: Tensor) -> Tensor:
        """Return the probability of each label `(B, K)`, K 0 without labels, from features `(B, 128)`, on the CPU."""
        logits: Tensor = self._classifier.head(features.to(self._device))
        return logits[:, : len(self.label_names)].softmax(1).cpu()

    @torch.inference_mode()
    def attribute_probabilities(self, features: Tensor) -> Tensor:
        """Return the probability of each attribute `(B, A)` from features `(B, 128)`, both on the CPU."""
        logits: Tensor = self._classifier.head(features.to(self._device))
        return logits[:, len(self.label_names) :].sigmoid().cpu()


def open_learned(
    name: str, data: ImageData, *, seed: int, folder: Path, use: str, device: torch.device | str = "cpu"
) -> Learned:
    """Return the extractor of a task in `TASKS`, from ``folder`` or trained on the CPU; UserError if unwritable.

    The log names its ``use``, because what a loss was computed with does not measure.
    """
    task = TASKS[name](data.train)
    what = repr((_VERSION, name, data.fingerprint, task.digest, seed))
    path = folder / f"{name}-{short_hash(what)}.safetensors"

    def train() -> Classifier:
        total = len(data.train)
        num = num_images_for(total, data.image_shape)
        passes = max(1, round(num / total))
        size = f"{min(num, total):,} image{'s' * (total > 1)}, {passes:,} pass{'es' * (passes > 1)}"
        about = "labels and attributes" if name == "classifier" else "rotations"
        log.info("training the feature extractor '%s' of %s to predict %s, on %s", name, use, about, size)
        return fit(task.loss, total, data.image_shape, task.num_outputs, seed=seed, num_images=num)

    classifier = saved_or_trained(path, data.image_shape, task.num_outputs, train, "--data.cache")
    return Learned(name, classifier, data.image_shape, task, device)


def num_images_for(num: int, image_shape: tuple[int, int, int]) -> int:
    """Return how many images to train on: 180,000 of 28 x 28, fewer the larger they are, at most 60 passes."""
    _, height, width = image_shape
    affordable = int(180_000 * min(1.0, 1024 / (height * width)))
    return max(min(affordable, 60 * num), 10_000)


def in_batches(features: Callable[[Tensor], Tensor], x: Tensor, batch_size: int, device: torch.device | str) -> Tensor:
    """Return the features `(B, D)` of images `(B, C, H, W)`, on the CPU, computed some at a time on a device."""
    return torch.cat([features(chunk.to(device)).cpu() for chunk in torch.split(x, batch_size)])


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + repr(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
