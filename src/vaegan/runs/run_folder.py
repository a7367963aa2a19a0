"""Every file of a run folder and of a model's folder by its name; what a training may clear; where output goes.

| in a run folder | what | written by |
|---|---|---|
| config.yaml, data.json | settings, and what the images are | the start of a training |
| status.json | whether the training is finished | its start and end |
| metrics.jsonl, checkpoints/ | records, and states to resume from | training |
| samples/, reconstructions/, triptychs/, model/, best/ | pictures and models of snapshots | snapshots |
| samples.gif, losses.png, samples-prior.png | the run as a whole | the end of a training |
| evaluation.json, report.html, pictures/, export/ | what commands make of the run | `vaegan evaluate`, `report`, ... |
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError
from ..files import write_text
from ..settings_io import load_yaml

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
        remaining = [record for record in read_records(path) if record["images"] <= images]
        write_text(path, "".join(json.dumps(record) + "\n" for record in remaining))


SETTINGS = "config.yaml"
DATA, STATUS = "data.json", "status.json"
RECORDS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
SAMPLES, RECONSTRUCTIONS, TRIPTYCHS = "samples", "reconstructions", "triptychs"
SAMPLES_GIF, SAMPLES_PRIOR, LOSSES = "samples.gif", "samples-prior.png", "losses.png"
MODEL, BEST = "model", "best"
TENSORBOARD = "tensorboard"
REPORT, PICTURES, EXPORT, EVALUATION = "report.html", "pictures", "export", "evaluation.json"
OF_A_RUN = (
    SETTINGS, DATA, STATUS, RECORDS, CHECKPOINTS, SAMPLES, RECONSTRUCTIONS, TRIPTYCHS, SAMPLES_GIF, SAMPLES_PRIOR,
    LOSSES, MODEL, BEST, REPORT, TENSORBOARD, PICTURES, EVALUATION, EXPORT,
)  # fmt: skip
"""All that a run folder may hold by us; ``--overwrite`` clears these names and no others."""

MODEL_CONFIG, WEIGHTS = "config.json", "model.safetensors"
PRIORS, PRIOR_TENSORS = "priors.json", "priors.safetensors"
VECTORS, VECTOR_TENSORS = "attributes.json", "attributes.safetensors"
OF_A_MODEL = (MODEL_CONFIG, WEIGHTS, PRIOR_TENSORS, PRIORS, VECTOR_TENSORS, VECTORS, SETTINGS, EVALUATION)
"""Files of a shared model; weights are safetensors, all others text."""

LEFTOVERS = ".*.part*"
"""Names that `files.written_beside` gives to files that are not complete yet."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run, its settings and its records."""

    path: Path

    @property
    def config_path(self) -> Path:
        """Resolved, complete settings."""
        return self.path / SETTINGS

    @property
    def data_path(self) -> Path:
        """What the run was trained on: name, number and hash of its images."""
        return self.path / DATA

    @property
    def metrics_path(self) -> Path:
        """One JSON record per logging step."""
        return self.path / RECORDS

    @property
    def checkpoints(self) -> Path:
        """States to resume from."""
        return self.path / CHECKPOINTS

    @property
    def curves_path(self) -> Path:
        """Loss curves."""
        return self.path / LOSSES

    @property
    def is_finished(self) -> bool:
        """Whether the training came to its end; earlier versions wrote no status, and the loss curves at last."""
        status = self.path / STATUS
        if not status.is_file():
            return self.curves_path.is_file()
        return bool(json.loads(status.read_text(encoding="utf-8"))["finished"])

    def write_status(self, *, finished: bool) -> None:
        """Write down whether the training has come to its end."""
        write_text(self.path / STATUS, json.dumps({"finished": finished}) + "\n")

    @property
    def config(self) -> Config:
        """The run's settings; UserError if they are missing or damaged."""
        return load_yaml(self.config_path)

    def records(self) -> Iterator[Record]:
        """Yield the records in order; lines that are not complete records are skipped."""
        return read_records(self.metrics_path)

    def truncate_records(self, images: int) -> None:
        """Drop records of more than ``images`` images: a resumed run makes them again."""
        truncate_records(self.metrics_path, images)

    def add_record(self, record: Record) -> None:
        """Append a record; UserError if it cannot be written."""
        append_record(self.metrics_path, record)


def is_leftover(path: Path) -> bool:
    """Whether a path is the incomplete file of a process that was killed."""
    return path.match(LEFTOVERS)


def clear_run(run: RunFolder, names: Sequence[str] = OF_A_RUN) -> None:
    """Remove these files of a run, and no others."""
    for path in (run.path / name for name in names):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()
    remove_leftovers(run)


def remove_leftovers(run: RunFolder) -> None:
    """Remove incomplete files of a process that was killed."""
    for folder in (run.path, *(run.path / name for name in OF_A_RUN)):
        for path in folder.glob(LEFTOVERS):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def output_folder(place: str | Path) -> Path:
    """Return where output of a model goes if the user names no other place: its folder, or here for a hub id."""
    folder = Path(place).expanduser()
    return folder if folder.is_dir() else Path()
