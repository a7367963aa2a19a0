"""``metrics.jsonl``: one JSON object per line, appended as a run proceeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_text

Record = dict[str, Any]
"""``images`` seen, ``epoch``, ``split`` ('start', 'train' or 'test'), and what was measured."""


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in order; none if it is missing. A line cut off by a crash is skipped."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def append_record(path: Path, record: Record) -> None:
    """Append a record; UserError if it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free some space and resume") from error


def truncate_records(path: Path, images: int) -> None:
    """Drop records of more than ``images`` images."""
    if path.is_file():
        write_text(path, "".join(json.dumps(one) + "\n" for one in read_records(path) if one["images"] <= images))
