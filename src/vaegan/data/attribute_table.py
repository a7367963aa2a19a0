"""``attributes.csv``: what is known about each image, as numbers.

The first line names the columns; the first column is the file name (relative to the folder, or the bare
name), all others are numbers, an empty cell an unknown one.

What is known about images, attributes and labels alike, as one table of numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .dataset import ImageSet


def read_attributes(content: bytes, names: Sequence[str], where: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read the attributes of the images ``names``.

    Args:
        content: of the file, UTF-8.
        names: of N images.
        where: the file's path, for messages.

    Returns:
        float32 ``(N, A)``, NaN where unknown, and the names of the A columns.

    Raises:
        UserError: if the file is no such table, or knows none of the images.
    """
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = tuple(next(rows, [])[1:])
        known = {row[0]: _numbers(row, len(columns), f"{where}, line {rows.line_num}") for row in rows if row}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: not a table of comma-separated UTF-8 text ({error})") from error
    if not columns:
        raise UserError(f"{where}: needs a first line 'file,NAME,...' and at least one attribute")
    unknown = [float("nan")] * len(columns)
    found = [known.get(name) or known.get(PurePosixPath(name).name) for name in names]
    if not any(found):
        raise UserError(f"{where}: its first column names none of the images, such as {names[0]!r}")
    return np.array([row or unknown for row in found], np.float32), columns


def _numbers(row: list[str], num_columns: int, where: str) -> list[float]:
    try:
        values = [float(cell) if cell.strip() else float("nan") for cell in row[1:]]
    except ValueError as error:
        raise UserError(f"{where}: {error}; attributes are numbers") from error
    if len(values) != num_columns:
        raise UserError(f"{where}: {len(values)} values for {num_columns} attributes")
    return values


def known_attributes(images: ImageSet) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return all attributes of images, then one column of 0 and 1 for each label.

    Returns:
        float32 ``(N, A)``, NaN where unknown, and A names; a label's name that an attribute has already is written
        ``label NAME``. A is 0 if nothing is known.
    """
    columns, names = [np.empty((len(images), 0), np.float32)], list(images.attribute_names)
    if images.attributes is not None:
        columns.append(images.attributes)
    if images.labels is not None:
        columns.append(np.equal.outer(images.labels, np.arange(len(images.label_names))).astype(np.float32))
        names += [f"label {name}" if name in images.attribute_names else name for name in images.label_names]
    return np.concatenate(columns, axis=1), tuple(names)
