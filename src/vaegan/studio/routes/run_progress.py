"""The progress of a run, during or after training: curves, health, snapshots.

Records are read once, from where the last request stopped reading. Of a long run every second one is dropped again and
again, so that their number stays bounded.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import Response

from ...config import Config
from ...errors import UserError
from ...metrics.figures import finite_or_none
from ...report.animation import evenly, numbered_pictures, write_animation
from ...report.curves import collect_lines, loss_charts, rate_chart, score_chart
from ...runs.run_folder import RunFolder, parse_record
from ...settings import PHASES
from ...settings_io import load_yaml
from ..http_errors import JSON, Refused
from ..registry import Served
from ..responses import attachment, npz_response
from ..served_model import ServedModel

router = APIRouter(tags=["training"])
SnapshotKind = Literal["samples", "reconstructions", "triptychs"]
KINDS: tuple[SnapshotKind, ...] = get_args(SnapshotKind)
_MAX_FRAMES = 60
_MAX_RECORDS = 4000
_MAX_POINTS = 300
_MAX_BYTES = 40_000_000  # of a snapshot
_STOPPED_AFTER = 300.0  # seconds without a record, if no training holds the folder


@router.get("/api/models/{model}/training")
def training(served: Served, form: Literal["json", "npz"] = "json") -> Response:
    """Describe the progress of a run: its losses so far, its health, its snapshots; as npz its curves."""
    summary = _progress_of(served).summary()
    if form == "json":
        return JSON(summary)
    arrays = {f"{c['split']}/{c['part']}/{c['loss']}": np.array(c["points"], float) for c in summary["curves"]}
    return npz_response(f"{served.name}-curves", **arrays)


@router.get("/api/models/{model}/snapshots/{kind}")
def animation(served: Served, kind: SnapshotKind) -> Response:
    """Return all snapshots of a kind as an animation (GIF)."""
    paths = _progress_of(served).pictures(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshots.gif"
        if not write_animation(path, paths, _MAX_FRAMES):
            raise Refused(404, f"{served.name} has no snapshots of {kind}")
        return attachment(path.read_bytes(), f"{served.name}-{kind}.gif")


@router.get("/api/models/{model}/snapshots/{kind}/{images}")
def snapshot(served: Served, kind: SnapshotKind, images: Annotated[int, InPath(ge=0)]) -> Response:
    """Return the grid (PNG) of the snapshot after this number of images."""
    return attachment(_progress_of(served).picture(kind, images), f"{served.name}-{kind}-{images}.png")


_progress: WeakKeyDictionary[ServedModel, "RunProgress"] = WeakKeyDictionary()


def _progress_of(served: ServedModel) -> "RunProgress":
    folder = served.run_folder
    if folder is None:
        if served.folder is not None and not served.folder.exists():
            raise Refused(409, f"{served.name}: its folder is no longer there; samples and codes are of its last model")
        raise Refused(409, f"{served.name} is a saved model, not a run; name its run folder to see its training")
    return _progress.setdefault(served, RunProgress(folder))


class RunProgress:
    """The records and snapshots of a run folder, read again and again."""

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
        self._lock = threading.Lock()
        self._start_over(None)

    def _start_over(self, identity: object) -> None:
        self._identity, self._offset, self._step, self._last = identity, 0, 1, b""
        self._records: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
        self._num_read = {"train": 0, "test": 0}

    def summary(self) -> dict[str, Any]:
        """Return curves, state, snapshots, health and speed as plain data."""
        with self._lock:
            self._read_on()
            train, test = self._records["train"], self._records["test"]
            last = [*train[-1:], *test[-1:]]
            curves = list(_curves([*train, *test]))
            charts = [*loss_charts([*train, *test]), rate_chart(train), score_chart(test)]
        newest, goal = train[-1] if train else {}, self._goal()
        checked: dict[str, Any] = next((record for record in reversed(test) if "health" in record), {})
        return {
            "state": self._state(goal),
            "images": max((record["images"] for record in last), default=0),
            "epoch": max((record.get("epoch", 0.0) for record in last), default=0.0),
            "images_per_second": newest.get("images_per_second"),
            "goal": goal,
            "curves": curves,
            "charts": [chart.as_json() for chart in charts if chart],
            "phase": PHASES[newest["phase"]].title if str(newest.get("phase")) in PHASES else None,
            "not_checked": checked.get("not_checked", {}),
            "health": checked.get("health", []),
            "snapshots": {kind: [int(path.stem) for path in self.pictures(kind)] for kind in KINDS},
        }

    def pictures(self, kind: SnapshotKind) -> list[Path]:
        """Return the snapshots of a kind, the first first; links that lead out of the run are left out."""
        root = self.run.path.resolve()
        return [path for path in numbered_pictures(self.run.path / kind) if path.resolve().is_relative_to(root)]

    def picture(self, kind: SnapshotKind, images: int) -> bytes:
        """Return the PNG of the snapshot after this number of images; Refused with 404 if there is none."""
        path = next((path for path in self.pictures(kind) if int(path.stem) == images), None)
        if path is None or path.stat().st_size > _MAX_BYTES:
            raise Refused(404, f"there is no snapshot of {kind} after {images} images")
        return path.read_bytes()

    def _read_on(self) -> None:
        try:
            file = self.run.metrics_path.open("rb")
        except OSError:
            self._start_over(None)
            return
        with file:
            # A resumed run writes its records again, without those of steps that it repeats; one that starts over may
            # write them to a file of the same number.
            identity = os.fstat(file.fileno()).st_ino
            file.seek(self._offset - len(self._last))
            if identity != self._identity or file.read(len(self._last)) != self._last:
                self._start_over(identity)
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._offset, self._last = self._offset + len(line), line
                self._add(line)

    def _add(self, line: bytes) -> None:
        record = parse_record(line)
        if record is None or (split := record["split"]) not in self._records:
            return
        records = self._records[split]
        self._num_read[split] += 1
        if split == "train" and self._num_read[split] % self._step:
            return
        records.append(record)
        if len(records) > _MAX_RECORDS:
            self._step *= 2
            del records[::2]

    def _state(self, goal: dict[str, Any]) -> str:
        """Return 'finished', 'going on', 'stopped' or 'starting'."""
        try:
            written = self.run.metrics_path.stat().st_mtime
        except OSError:
            return "starting"
        if self.run.is_finished and self._reached(goal):
            return "finished"
        is_recent = time.time() - written < _STOPPED_AFTER
        return "going on" if is_recent or self.run.is_locked else "stopped"

    def _reached(self, goal: dict[str, Any]) -> bool:
        last = [records[-1] for records in self._records.values() if records]
        return goal["epochs"] is None or any(
            record.get("epoch", 0.0) >= goal["epochs"] - 1e-6 or record["images"] >= (goal["images"] or float("inf"))
            for record in last
        )

    def _goal(self) -> dict[str, Any]:
        """Return the planned length of the run."""
        try:
            path = self.run.config_path
            train = _settings(path, path.stat().st_mtime_ns).train
        except (OSError, UserError):
            return {"epochs": None, "images": None}
        return {"epochs": train.epochs, "images": train.images}


@lru_cache(maxsize=64)
def _settings(path: Path, written: int) -> Config:
    """Return the settings in a file written at this time: to parse them at each poll is slow."""
    return load_yaml(path)


def _curves(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each loss of each network over the images seen, thinned out."""
    for part, losses in collect_lines(records).items():
        for loss, splits in losses.items():
            for split, (images, values) in splits.items():
                pairs = evenly([*zip(images.tolist(), values.tolist(), strict=True)], _MAX_POINTS)
                points = [(int(seen), finite_or_none(float(f"{value:.5g}"))) for seen, value in pairs]
                yield {"split": split, "part": part, "loss": loss, "points": points}
