"""A run as it goes on: its records read as they are added, its snapshots as they appear.

Records are read once, from where the last look ended. Of a long run every second one is dropped again and again, so
that there are never more than a bound.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..report.animation import numbered_pictures
from ..training.run_folder import RunFolder
from .http_errors import Refused

Kind = Literal["samples", "reconstructions", "triptychs"]
KINDS: tuple[Kind, ...] = ("samples", "reconstructions", "triptychs")
_MOST_RECORDS = 4000
_MOST_POINTS = 300
_MOST_BYTES = 40_000_000  # of a snapshot
_PATIENCE = 300.0  # seconds without a record after which a run counts as stopped


class Watched:
    """A run's folder, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
        self._lock = threading.Lock()
        self._goal_stamp: tuple[int, int] | None = None
        self._known_goal: dict[str, Any] = {}
        self._start_over(None)

    def _start_over(self, identity: object) -> None:
        self._identity, self._offset, self._step = identity, 0, 1
        self._records: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
        self._seen = {"train": 0, "test": 0}

    def summary(self) -> dict[str, Any]:
        """Return curves, state, snapshots, health and speed as plain data."""
        with self._lock:
            self._read_on()
            train, test = self._records["train"], self._records["test"]
            last = max((r["images"] for r in (*train[-1:], *test[-1:])), default=0)
            curves = [curve for split in ("train", "test") for curve in _curves(self._records[split], split)]
        newest = train[-1] if train else {}
        return {
            "state": self._state(),
            "images": last,
            "epoch": max((r.get("epoch", 0.0) for r in (*train[-1:], *test[-1:])), default=0.0),
            "images_per_second": newest.get("images_per_second"),
            "goal": self._goal(),
            "curves": curves,
            "health": next((r["health"] for r in reversed(test) if "health" in r), []),
            "snapshots": {kind: [int(path.stem) for path in self.pictures(kind)] for kind in KINDS},
        }

    def pictures(self, kind: Kind) -> list[Path]:
        """Return the snapshots of a kind, the first first; links that lead out of the run are left out."""
        root = self.run.path.resolve()
        found = [
            path for path in numbered_pictures(self.run.path / kind) if path.stem.isascii() and path.stem.isdigit()
        ]
        return [path for path in found if path.resolve().is_relative_to(root)]

    def picture(self, kind: Kind, images: int) -> bytes:
        """Return the PNG of the snapshot after so many images.

        Raises:
            Refused: with 404 if there is none.
        """
        path = next((path for path in self.pictures(kind) if int(path.stem) == images), None)
        if path is None or path.stat().st_size > _MOST_BYTES:
            raise Refused(404, f"there is no snapshot of {kind} after {images} images")
        return path.read_bytes()

    def _read_on(self) -> None:
        try:
            found = self.run.metrics_path.stat()
        except OSError:
            self._start_over(None)
            return
        # A resume writes the records anew, without those of steps that are made again.
        if found.st_ino != self._identity or found.st_size < self._offset:
            self._start_over(found.st_ino)
        with self.run.metrics_path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._offset += len(line)
                self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            split = record["split"]
            record["images"] = int(record["images"])
            kept = self._records[split]
        except (ValueError, KeyError, TypeError):  # cut off by a crash
            return
        self._seen[split] += 1
        if split == "train" and self._seen[split] % self._step:
            return
        kept.append(record)
        if len(kept) > _MOST_RECORDS:
            self._step *= 2
            del kept[::2]

    def _state(self) -> str:
        """Return 'finished', 'going on', 'stopped' or 'starting'; the curves are the last thing that a run makes."""
        try:
            written = self.run.metrics_path.stat().st_mtime
        except OSError:
            return "starting"
        if self.run.curves_path.is_file() and self._reached():
            return "finished"
        return "going on" if time.time() - written < _PATIENCE else "stopped"

    def _reached(self) -> bool:
        goal, last = self._goal(), [records[-1] for records in self._records.values() if records]
        return goal["epochs"] is None or any(
            record.get("epoch", 0.0) >= goal["epochs"] - 1e-6 or record["images"] >= (goal["images"] or float("inf"))
            for record in last
        )

    def _goal(self) -> dict[str, Any]:
        """Return how long the run shall be; settings are read again only when they have been written again."""
        try:
            found = self.run.config_path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._goal_stamp:
                train = self.run.config.train
                self._known_goal, self._goal_stamp = {"epochs": train.epochs, "images": train.images}, stamp
        except (OSError, UserError):
            return {"epochs": None, "images": None}
        return self._known_goal


def _curves(records: list[dict[str, Any]], split: str) -> Iterator[dict[str, Any]]:
    """Yield each loss of each part over the images seen, thinned out."""
    shown = records[:: max(1, -(-len(records) // _MOST_POINTS))]
    if records and shown[-1] is not records[-1]:
        shown = [*shown, records[-1]]
    columns: dict[tuple[str, str], list[tuple[int, float | None]]] = {}
    for record in shown:
        for part, terms in record.get("losses", {}).items():
            for term, value in terms.items():
                finite = isinstance(value, int | float) and abs(value) < 1e300
                columns.setdefault((part, term), []).append(
                    (record["images"], float(f"{value:.5g}") if finite else None)
                )
    for (part, term), points in columns.items():
        yield {"split": split, "part": part, "loss": term, "points": points}
