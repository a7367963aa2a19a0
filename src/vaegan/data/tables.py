"""Tables beside images: ``attributes.csv``, and ``metadata.csv`` or ``metadata.jsonl`` of Hugging Face image folders.

A row has the file name of an image, relative to the table or bare, then numbers, an empty cell where one is unknown.
Commas, semicolons or tabs separate the columns, which the first line names; the file name is in the column
``file_name`` or ``file``, else in the first. Metadata may have columns of text too, which are not read.
Source: huggingface.co/docs/datasets/image_load, "ImageFolder".
"""

import csv
import io
import json
import re
import reprlib
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, printable
from .dataset import some_of
from .image_types import SUFFIXES

ATTRIBUTES, _JSON_LINES = "attributes.csv", "metadata.jsonl"
TABLES = (ATTRIBUTES, "metadata.csv", _JSON_LINES)
_MAX_COLUMNS = 10_000
_LARGEST = float(np.finfo(np.float32).max)

_Row = tuple[str, int, Mapping[str, Any]]
"""Where it is written, position of the image, values by column: numbers, None where unknown, or something else."""


def read_rows(
    rows: Iterable[_Row], num_images: int, where: str, notes: list[str]
) -> tuple[NDArray[np.float32] | None, tuple[str, ...]]:
    """Return float32 (N, A), NaN where unknown, and A names; None if there are no columns of numbers.

    Raises UserError if a number is not finite.
    """
    columns: dict[str, int] = {}
    infinite: dict[str, str] = {}  # a column of text may hold '12e345'
    values: dict[int, array[float]] = {}
    text = set()
    for at, image, cells in rows:
        row = values.setdefault(image, array("f"))
        for column, cell in cells.items():
            if cell is not None and not isinstance(cell, int | float):
                text.add(column or "one without a name")
            elif column:
                if cell is not None and not abs(cell) <= _LARGEST:
                    infinite.setdefault(column, f"{at}: {column} is {reprlib.repr(cell)}; leave unknown cells empty")
                    cell = None
                place = columns.setdefault(column, len(columns))
                if place >= _MAX_COLUMNS:
                    raise UserError(f"{at}: more than {_MAX_COLUMNS:,} columns; remove some")
                row.extend([np.nan] * (place + 1 - len(row)))
                row[place] = row[place] if cell is None else cell
    for line in (line for column, line in infinite.items() if column not in text):
        raise UserError(line)
    if text:
        notes.append(f"{where}: columns of text, not read: {some_of(text)}")
    names = tuple(name for name in columns if name not in text)
    if not names:
        return None, ()
    table = np.full((num_images, len(columns)), np.nan, np.float32)
    for image, row in values.items():
        table[image, : len(row)] = row
    return table[:, [columns[name] for name in names]], names


def table_rows(path: str, content: bytes, files: Sequence[str], where: str, notes: list[str]) -> Iterator[_Row]:
    """Yield the rows of a table for the images ``files``; what has no counterpart is counted in a note.

    Raises UserError if it is damaged, gives an image two rows, or is an attributes.csv with text or of other images.
    """
    at, folder = printable(f"{where}/{path}"), path[: path.rfind("/") + 1]
    relative = {file.removeprefix(folder): i for i, file in enumerate(files) if file.startswith(folder)}
    images_of: dict[str, list[int]] = {}
    for file, i in relative.items():
        images_of.setdefault(_key(file.rpartition("/")[2]), []).append(i)
    images_of |= {_key(file): [i] for file, i in relative.items()}
    lines: dict[int, int] = {}
    strays = []
    try:
        for line, name, cells in (_json_rows if path.endswith(_JSON_LINES) else _csv_rows)(content, at):
            image, *others = images_of.get(_key(name), [-1])
            if others or image in lines:
                why = "is in several folders; name these" if others else f"has a row in line {lines[image]} too"
                raise UserError(f"{at}, line {line}: {reprlib.repr(name)} {why}")
            if image >= 0:
                lines[image] = line
                yield f"{at}, line {line}", image, cells
            else:
                strays.append(name)
        if not lines:
            raise LookupError(f"it names none of the images, such as {next(iter(relative))!r}")
    except LookupError as error:
        if path.endswith(ATTRIBUTES):
            raise UserError(f"{at}: {error}") from error
        notes.append(f"{at}: not read: {error}")
    except csv.Error as error:
        raise UserError(f"{at}: not a table ({error}); correct its quotation marks") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{at}: not UTF-8 text ({error}); save it as CSV in UTF-8") from error
    without = [file for file, i in relative.items() if lines and i not in lines]
    for names, what in ((strays if lines else [], "rows without an image"), (without, "images without a row")):
        if names:
            notes.append(f"{at}: {what}: {some_of(names)}")


def _key(name: str) -> str:
    """Return a file name without what may differ on another system: slashes, blanks around it, composed letters."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix("./")


def _csv_rows(content: bytes, at: str) -> Iterator[tuple[int, str, dict[str, float | str | None]]]:
    """Yield the line, file name and cells of each row; LookupError without columns for both."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    separator = max(",;\t", key=re.sub('"[^"]*"', "", text.readline()).count)
    text.seek(0)
    table = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=True)
    columns = [column.strip() for column in next(table, [])]
    is_attributes, lower = at.endswith(ATTRIBUTES), [column.lower() for column in columns]
    key = next((lower.index(name) for name in ("file_name", "file") if name in lower), 0 if is_attributes else None)
    if key is None or not any(columns[:key] + columns[key + 1 :]) or lower[key].endswith(SUFFIXES):
        raise LookupError("it needs a first line 'file,NAME,...' and at least one attribute")
    if twice := [column for i, column in enumerate(columns) if column and column in columns[:i]]:
        raise UserError(f"{at}, line 1: two columns are called {reprlib.repr(twice[0])}; rename one")
    for row in table:
        cells, line = [cell.strip() for cell in row], table.line_num
        if not any(cells):
            continue
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            num, by = len(columns) - 1, f"separated by {separator!r}"
            raise UserError(f"{at}, line {line}: {len(cells) - 1} values for {num} attributes ({by})")
        values: dict[str, float | str | None] = {}
        for column, cell in zip(columns, cells, strict=False):
            try:
                values[column] = float(cell.replace(",", ".") if separator == ";" else cell) if cell else None
            except ValueError as error:
                values[column] = cell
                if is_attributes and column not in ("", columns[key]):
                    raise UserError(f"{at}, line {line}: {column}: {reprlib.repr(cell)} is not a number") from error
        del values[columns[key]]
        yield line, cells[key], values


def _json_rows(content: bytes, at: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the line, file name and values of each row; LookupError if the first has no file name."""
    for line, text in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{at}, line {line}: not JSON ({error}); correct it") from error
        name = row.pop("file_name", None) if isinstance(row, dict) else None
        if isinstance(row, dict) and isinstance(name, str):
            yield line, name, row
        elif text.strip():
            raise LookupError("it has no 'file_name'") if line == 1 else UserError(f"{at}, line {line}: no 'file_name'")
