"""``hf:NAME`` or ``hf:NAME:CONFIGURATION``: a data set of the Hugging Face hub.

Read by the `datasets` library, an extra that is imported only here. The first column of images is used, the first
one of classes becomes the labels, columns of numbers become attributes. The data set keeps its own split, in a shuffled
order that is always the same: `train` is trained on, `test` or else `validation` held out; without them a share is
held out by a hash of the index.
"""

import importlib
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, first_line
from .dataset import Collection, FileItems, Split
from .image_types import Opened, open_image

HUB = "hf:"
_HELD_OUT = ("test", "validation", "valid", "val")


def _open_row(tables: Sequence[Any], column: str, place: tuple[int, int]) -> Opened:
    """Open the image of a table's row, in a column of undecoded images."""
    image = tables[place[0]][place[1]][column]
    return open_image(image["path"] if image["bytes"] is None else io.BytesIO(image["bytes"]))


def list_hub(source: str) -> Collection:
    """List the images of a data set of the hub, downloaded if that was not done before."""
    library = _import()
    tables = _load(library, source)
    first = next(iter(tables.values()))
    column = _first_column(first.features, library.Image)
    if column is None:
        raise UserError(f"{source}: none of its columns {', '.join(first.features)} has images")
    raw = [table.select_columns([column]).cast_column(column, library.Image(decode=False)) for table in tables.values()]
    labels, label_names = _labels(tables, _first_column(first.features, library.ClassLabel))
    attributes, attribute_names = _attributes(tables, _number_columns(first.features))
    places = [(which, i) for which, table in enumerate(raw) for i in range(len(table))]
    fingerprint = " ".join([source, *(table._fingerprint for table in tables.values())])
    return Collection(
        name=source,
        where=source,
        items=FileItems(partial(_open_row, raw, column), places, fingerprint),
        names=[f"{split}-{i:06}" for split, table in tables.items() for i in range(len(table))],
        split=_own_split([len(table) for table in tables.values()]),
        labels=labels,
        label_names=label_names,
        attributes=attributes,
        attribute_names=attribute_names,
    )


def _import() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"data sets of the hub need the datasets library ({error}); pip install 'vaegan[hf]'"
        ) from error


def _load(library: Any, source: str) -> dict[str, Any]:
    """Return the tables to use by the name of their split: one to train on and, where there is one, one held out."""
    name, _, configuration = source.removeprefix(HUB).partition(":")
    if Path(name).exists() or Path(name).is_absolute():  # the library would take it, and the path would be published
        raise UserError(f"{source}: {name} is on this machine, not a data set of the hub; leave out '{HUB}'")
    try:
        splits: Mapping[str, Any] = library.load_dataset(name, configuration or None)
    except Exception as error:  # the library and its dozen file systems and formats raise all kinds of errors
        raise UserError(
            f"{source}: cannot be loaded ({first_line(error)}); see huggingface.co/datasets for names"
        ) from error
    train = "train" if "train" in splits else next(iter(splits))
    held_out = [split for split in _HELD_OUT if split in splits and split != train][:1]
    return {split: splits[split] for split in [train, *held_out]}


def _own_split(lengths: Sequence[int]) -> Split | None:
    """Return the data set's own split, None if it has only one table."""
    if len(lengths) == 1:
        return None
    num_train, num_test = lengths
    shuffle = np.random.default_rng(0).permutation  # many sets are sorted by class, and the first images should not be
    return Split(shuffle(num_train), num_train + shuffle(num_test))


def _first_column(features: Mapping[str, Any], feature_type: type) -> str | None:
    return next((name for name, feature in features.items() if isinstance(feature, feature_type)), None)


def _number_columns(features: Mapping[str, Any]) -> list[str]:
    """Return columns of single numbers or booleans; classes are labels."""
    dtypes = ("int", "uint", "float", "bool")
    return [
        name
        for name, feature in features.items()
        if not (hasattr(feature, "names") or hasattr(feature, "shape"))
        and str(getattr(feature, "dtype", "")).startswith(dtypes)
    ]


def _labels(tables: Mapping[str, Any], column: str | None) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return labels and their names; none if there are none, or some images have none (-1 or null)."""
    if column is None:
        return None, ()
    values = [-1 if value is None else value for table in tables.values() for value in table[column][:]]
    labels = np.array(values, np.int64)
    if labels.min() < 0:
        return None, ()
    return labels, tuple(next(iter(tables.values())).features[column].names)


def _attributes(tables: Mapping[str, Any], columns: list[str]) -> tuple[NDArray[np.float32] | None, tuple[str, ...]]:
    if not columns:
        return None, ()
    parts = [np.array([table[column][:] for column in columns], np.float32).T for table in tables.values()]
    return np.concatenate(parts), tuple(columns)
