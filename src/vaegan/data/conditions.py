"""The condition of a conditional model: a vector c of an image's label or attributes (arXiv:1512.09300, section 4.2).

    labels       c_k = 1 for the image's label k, else 0
    attributes   c_a = (value_a - offset_a) / scale_a

An attribute of two values becomes -1 and 1, any other gets mean 0 and standard deviation 1 over the training images.
An unknown value (NaN) is replaced by the mean of the training images. A model that starts from another keeps its
offsets, scales and means.

As yes or no, images with a value above a threshold have it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError, offered
from .dataset import ImageData, ImageSet

_NUM_EXAMPLES = 64


@dataclass(frozen=True)
class Conditioning:
    """How c follows from the labels or attributes of a data set."""

    kind: Literal["labels", "attributes"]
    names: tuple[str, ...]  # of the labels or attributes, one for each dimension of c
    offset: tuple[float, ...] = ()  # of each attribute
    scale: tuple[float, ...] = ()  # of each attribute
    mean: tuple[float, ...] = ()  # of each attribute, as stored; it replaces an unknown value
    examples: tuple[tuple[float, ...], ...] = ()  # attributes of some held-out images, as stored, unknown ones replaced

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> "Conditioning":
        """Return it from plain data, lists for tuples."""
        values = {name: value if isinstance(value, str) else tuple(value) for name, value in plain.items()}
        return Conditioning(**values | {"examples": tuple(map(tuple, plain["examples"]))})

    def of_images(self, images: ImageSet, chosen: NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """Return c ``(B, A)`` of images.

        Args:
            images: with labels or attributes.
            chosen: their indices; all by default.

        Raises:
            UserError: if their labels or attributes are not those the model was trained with.
        """
        if self.kind == "labels":
            if images.labels is None or images.label_names != self.names:
                raise UserError(self._mismatch("labels", images.label_names))
            return self._one_hot(torch.from_numpy(np.array(images.labels[chosen])))
        if images.attributes is None or not set(self.names) <= set(images.attribute_names):
            raise UserError(self._mismatch("attributes", images.attribute_names))
        columns = [images.attribute_names.index(name) for name in self.names]
        return self._scaled(torch.from_numpy(images.attributes[chosen][:, columns]))

    def of_labels(self, labels: Sequence[str | int]) -> Tensor:
        """Return c ``(B, A)`` for labels, each a name or an index; a number that is a name counts as the name."""
        self._check("labels")
        return self._one_hot(torch.tensor([self._index(str(label)) for label in labels]))

    def of_attributes(self, values: Mapping[str, float], num: int) -> Tensor:
        """Return c ``(num, A)`` with these attributes; all others come from the examples, one after another.

        Args:
            values: name -> value, as stored in the data.
            num: B.

        Raises:
            UserError: if there is no such attribute, or the model is conditional on labels.
        """
        self._check("attributes")
        rows = torch.tensor(self.examples)[torch.arange(num) % len(self.examples)]
        for name, value in values.items():
            rows[:, self._index(name)] = value
        return self._scaled(rows)

    def in_turn(self, num: int) -> Tensor:
        """Return c ``(num, A)`` for samples without a choice: all labels, or the examples, one after another."""
        if self.kind == "labels":
            return self._one_hot(torch.arange(num) % len(self.names))
        return self.of_attributes({}, num)

    def _one_hot(self, labels: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(labels, len(self.names)).float()

    def _scaled(self, values: Tensor) -> Tensor:
        values = torch.where(values.isnan(), torch.tensor(self.mean), values)
        return (values - torch.tensor(self.offset)) / torch.tensor(self.scale)

    def _index(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if self.kind == "labels" and name.isdecimal() and int(name) < len(self.names):
            return int(name)
        raise UserError(f"this model has no {self.kind.removesuffix('s')} '{name}'{offered(name, self.names)}")

    def _check(self, kind: str) -> None:
        if kind != self.kind:
            raise UserError(
                f"this model is conditional on {self.kind}, not {kind}; its {self.kind} are {', '.join(self.names)}"
            )

    def _mismatch(self, kind: str, names: Sequence[str]) -> str:
        own = f"the {kind} {', '.join(names)}" if names else f"no {kind}"
        wanted = ", ".join(self.names)
        return f"this model needs images with the {kind} {wanted}, but these have {own}; use other images (--data)"


def conditioning_of(data: ImageData, kind: Literal["labels", "attributes"]) -> Conditioning:
    """Return how c follows from this data's labels or attributes; UserError if it has none."""
    recorded, remedy = {
        "labels": (data.train.labels, "sort its images into a subfolder for each class"),
        "attributes": (data.train.attributes, "put an attributes.csv beside its images"),
    }[kind]
    if recorded is None:
        raise UserError(f"--model.condition {kind}: {data.name} has no {kind}; {remedy}, or set --model.condition none")
    if kind == "labels":
        return Conditioning(kind, data.train.label_names)
    offset, scale, mean = zip(*map(_moments, recorded.T), strict=True)
    source = data.test if len(data.test) else data.train
    assert source.attributes is not None
    examples = np.where(np.isnan(source.attributes), mean, source.attributes)[:_NUM_EXAMPLES]
    rows = tuple(tuple(float(f"{value:.6g}") for value in row) for row in examples)
    return Conditioning(kind, data.train.attribute_names, offset, scale, mean, rows)


def constant_attributes(images: ImageSet) -> list[str]:
    """Return the attributes that are unknown or the same for all images: nothing can be learned of them."""
    if images.attributes is None:
        return []
    is_constant = find_thresholds(torch.from_numpy(np.array(images.attributes))).isnan().tolist()
    return [name for name, constant in zip(images.attribute_names, is_constant, strict=True) if constant]


def _moments(values: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Return offset, scale and mean of one attribute."""
    values = values[~np.isnan(values)].astype(np.float64)
    if len(values) == 0:
        return 0.0, 1.0, 0.0
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    if low < high and bool(np.isin(values, (low, high)).all()):
        return (low + high) / 2, (high - low) / 2, mean
    return mean, float(values.std()) or 1.0, mean


def find_thresholds(attributes: Tensor) -> Tensor:
    """Return the thresholds `(A,)` between values `(N, A)` with an attribute (above) and without (at or below).

    They are half-way between the values of a binary attribute, the median of any other; where nothing is above the
    median, half-way to the next lower value; NaN where there are fewer than two values.
    """
    return torch.stack([_threshold(column[~column.isnan()]) for column in attributes.double().unbind(1)])


def has_attribute(attributes: Tensor, thresholds: Tensor) -> Tensor:
    """Return float32 `(N, A)`: 1 with the attribute, 0 without, NaN where unknown."""
    return torch.where(attributes.isnan(), torch.nan, (attributes.double() > thresholds).float())


def _threshold(values: Tensor) -> Tensor:
    distinct = torch.unique(values)
    if len(distinct) < 2:
        return values.new_tensor(torch.nan)
    middle = (distinct[-2] + distinct[-1]) / 2
    median = values.median()
    return middle if len(distinct) == 2 or median == distinct[-1] else median
