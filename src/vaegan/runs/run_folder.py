"""Every file of a run folder and of a model's folder by its name; what a training may clear; where output goes.

| in a run folder | what | written by |
|---|---|---|
| config.yaml, data.json | settings, and what the images are | the start of a training |
| initial.json | what holds of codes and conditions of the model that it started from | the start of a training |
| status.json | whether the training is finished | its start and end |
| metrics.jsonl, checkpoints/ | records, and states to resume from | training |
| samples/, reconstructions/, triptychs/, model/, best/ | pictures and models of snapshots | snapshots |
| samples.gif, losses.png, samples-prior.png | the run as a whole | the end of a training |
| evaluation.json, report.html, pictures/, export/ | what commands make of the run | `vaegan evaluate`, `report`, ... |
"""

import contextlib
import json
import logging
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError
from ..files import clear_leftovers, read_mapping, remedy_of, remove, write_text
from ..settings import PARTS
from ..settings_io import is_complete, load_yaml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger("vaegan")
Record = dict[str, Any]
"""``images`` seen, ``epoch``, ``split`` ('start', 'train' or 'test'), and what was measured."""


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in order; none if it is missing. Damaged lines are skipped and counted."""
    if not path.is_file():
        return
    damaged = 0
    with path.open("rb") as file:
        for line in file:
            record = parse_record(line)
            if record is not None:
                yield record
            elif line.endswith(b"\n"):  # otherwise it was cut off by a crash
                damaged += 1
    if damaged:
        _log.warning("%s: skipped %d damaged line%s", path, damaged, "s" if damaged > 1 else "")


def parse_record(line: bytes) -> Record | None:
    """Return the record in a line; None if there is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        record = json.loads(line)
        split, images, losses = record["split"], record["images"], record.get("losses", {})
        is_whole = isinstance(images, int) and 0 <= images < 2**63 and split in ("start", "train", "test")
        _ = 0.0 + record.get("epoch", 0) + record.get("images_per_second", 0)  # TypeError if they are no numbers
        _ = [finding["check"] + finding["state"] for finding in record.get("health", ())]
        return record if is_whole and all(isinstance(terms, dict) for terms in losses.values()) else None
    return None


SETTINGS = "config.yaml"
DATA, STATUS, INITIAL = "data.json", "status.json", "initial.json"
RECORDS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
SAMPLES, RECONSTRUCTIONS, TRIPTYCHS = "samples", "reconstructions", "triptychs"
SAMPLES_GIF, SAMPLES_PRIOR, LOSSES = "samples.gif", "samples-prior.png", "losses.png"
MODEL, BEST = "model", "best"
TENSORBOARD = "tensorboard"
REPORT, PICTURES, EXPORT, EVALUATION = "report.html", "pictures", "export", "evaluation.json"
LOCK = ".lock"

MODEL_CONFIG, WEIGHTS = "config.json", "model.safetensors"
DIFFUSERS_WEIGHTS, DIFFUSERS_CLASS = "diffusion_pytorch_model.safetensors", "_class_name"
"""Weights in diffusers' layout, and what marks a `config.json` of it."""
DIFFUSERS_FILES = (DIFFUSERS_WEIGHTS, "diffusion_pytorch_model.fp16.safetensors")
"""Files of weights in that layout, the one to read first; the other has them in half precision."""
PRIORS, PRIOR_TENSORS = "priors.json", "priors.safetensors"
CARD = "README.md"
VECTORS, VECTOR_TENSORS = "attributes.json", "attributes.safetensors"
OF_A_MODEL = (MODEL_CONFIG, WEIGHTS, PRIOR_TENSORS, PRIORS, VECTOR_TENSORS, VECTORS, SETTINGS, EVALUATION)
"""Files of a shared model; weights are safetensors, all others text."""

CLUSTERS = "clusters.json"
_CLUSTER = tuple(f"cluster/{name}" for name in ("gallery.png", "map.png", "clusters.npz", CLUSTERS))
EXPORTED = "export.json"
OF_AN_EXPORT = (
    *OF_A_MODEL, EXPORTED, f"diffusers/{MODEL_CONFIG}", f"diffusers/{DIFFUSERS_WEIGHTS}",
    *(f"{part}.{ending}" for part in PARTS for ending in ("onnx", "pt2")),
)  # fmt: skip
_OF_PICTURES = (
    "sample.png", "reconstruct.png", "triptych.png", "interpolate.png", "traverse.png", "nearest.png",
    "nearest-distances.json", "attributes.png", "attributes-check.json", "codes.npz", ".codes.npz.shards/*", *_CLUSTER,
    f"latents/latents-{'[0-9]' * 6}.*", "latents/latents_stats.pt", "latents/statistics.json", "latents/index.json",
)  # fmt: skip
_OF_COMMANDS = (
    REPORT, *(f"{PICTURES}/{name}" for name in _OF_PICTURES), *(f"{EXPORT}/{name}" for name in OF_AN_EXPORT),
)  # fmt: skip
_OF_SNAPSHOTS = (SAMPLES, RECONSTRUCTIONS, TRIPTYCHS, CHECKPOINTS)
IMAGES = "[0-9]" * 12
OF_A_RUN = (
    STATUS, RECORDS, SAMPLES_GIF, SAMPLES_PRIOR, LOSSES, EVALUATION, f"{TENSORBOARD}/events.out.tfevents.*",
    *_OF_COMMANDS, *(f"{BEST}/{name}" for name in _OF_COMMANDS),
    *(f"{folder}/{name}" for folder in (BEST, MODEL) for name in OF_A_MODEL),
    *(f"{folder}/{IMAGES}.{ending}" for folder in _OF_SNAPSHOTS for ending in ("png", "pt", "sha256")),
    INITIAL, DATA, SETTINGS,
)  # fmt: skip
"""Patterns of all that we write into a run folder; ``--overwrite`` removes these files and no others.

What proves that it is a run comes last, so that a clearing that was cut off can be repeated.
"""


_MADE = {
    EVALUATION: "vaegan evaluate", REPORT: "vaegan report", f"{PICTURES}/cluster/{CLUSTERS}": "vaegan cluster",
    f"{EXPORT}/{EXPORTED}": "vaegan export",
}  # fmt: skip
MADE_OF_A_MODEL = {
    f"{MODEL}/{VECTORS}": "vaegan attributes", **_MADE,
    **{f"{BEST}/{file}": command for file, command in {VECTORS: "vaegan attributes", **_MADE}.items()},
}  # fmt: skip
"""Files that hold for the weights they were made of, and the commands that make them."""


@dataclass
class RunFolder:
    """The paths of a run, its settings and its records."""

    path: Path

    def __post_init__(self) -> None:
        self.config_path, self.data_path = self.path / SETTINGS, self.path / DATA
        self.metrics_path, self.curves_path = self.path / RECORDS, self.path / LOSSES
        self.checkpoints = self.path / CHECKPOINTS

    @property
    def is_finished(self) -> bool:
        """Whether the training came to its end; earlier versions wrote no status, and the loss curves at last."""
        status = self.path / STATUS
        return read_mapping(status).get("finished") is True if status.is_file() else self.curves_path.is_file()

    @property
    def is_locked(self) -> bool:
        """Whether a training holds the folder now; False also where there are no such locks."""
        with contextlib.suppress(OSError, AttributeError), (self.path / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment, until the file is closed
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if missing, for one training; UserError if another one holds it."""
        path, missing = self.path / LOCK, [each for each in (self.path, *self.path.parents) if not each.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = _open_locked(path)
        except OSError as error:
            raise UserError(f"cannot write to {self.path}: {error.strerror}; choose another path") from error
        try:
            with contextlib.suppress(OSError):  # a full disk: the lock itself needs no space
                by, since = f"process {os.getpid()} on {platform.node()}", time.strftime("%Y-%m-%d %H:%M:%S")
                os.truncate(path, 0)
                os.write(descriptor, json.dumps({"by": by, "since": since}).encode())
            yield
        finally:
            if fcntl is None:  # Windows, which removes no open file
                os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
                for folder in missing:  # if nothing came of it
                    folder.rmdir()
            if fcntl is not None:
                os.close(descriptor)

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
        remaining = [record for record in self.records() if record["images"] <= images]
        if self.metrics_path.is_file():
            write_text(self.metrics_path, "".join(json.dumps(record) + "\n" for record in remaining))

    def add_record(self, record: Record) -> None:
        """Append a record; UserError if it cannot be written."""
        try:
            with self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.metrics_path}: {error.strerror}; {remedy_of(error)}, then resume"
            ) from error


def _open_locked(path: Path) -> int:
    """Return a descriptor of a file with a lock, which ends with the process; UserError if another one holds it."""
    while True:
        was_there, hint = False, ""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            was_there = True
            try:
                descriptor = os.open(path, os.O_RDWR)
            except FileNotFoundError:  # its holder has just removed it
                continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = False
        except BlockingIOError:
            is_held = True
        except (OSError, AttributeError):  # no such locks here: the file itself is one, also after a kill
            is_held, hint = was_there, f" (if that has been killed, remove {path})"
        if not is_held and path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)  # if not held, its holder has just removed it
        if is_held:
            owner = read_mapping(path)
            by, since = owner.get("by", "another process"), owner.get("since", "a moment ago")
            raise UserError(
                f"--out {path.parent} has been in use by {by} since {since}{hint}; wait for it to end, stop it, or "
                "choose another --out"
            )


def is_run(path: Path) -> bool:
    """Whether a folder is provably a run: a training's settings, with its data or checkpoints or nothing else."""
    if not is_complete(path / SETTINGS):
        return False
    proofs = ("fingerprint" in read_mapping(path / DATA), *path.glob(f"{CHECKPOINTS}/{IMAGES}.sha256"))
    others = (place for name in OF_A_RUN if name != SETTINGS for place in path.glob(name))
    return any(proofs) or not any(others)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first; not what a user named otherwise."""
    return sorted(folder.glob(f"{IMAGES}.pt"))


def written_files(run: RunFolder) -> list[Path]:
    """Return all files of a run that we have written; UserError if one is a link, or behind one."""
    paths, root = [path for name in OF_A_RUN for path in run.path.glob(name)], run.path.resolve()
    for path in paths:
        if path.is_dir() or path.resolve() != root / path.relative_to(run.path):
            what = "is a link or a folder, which vaegan does not create"
            raise UserError(f"{path} {what}; move it, or choose another --out")
    return paths


def clear_run(run: RunFolder, spared: Sequence[str] = ()) -> None:
    """Remove the files that we have written, except these, and folders that are empty then."""
    for path in written_files(run):
        if path.name not in spared or path.parent != run.path:
            remove(path)
    remove_leftovers(run)
    for folder in sorted({(run.path / name).parent for name in OF_A_RUN} - {run.path}, reverse=True):
        with contextlib.suppress(OSError):  # not empty, or not there
            folder.rmdir()


def remove_leftovers(run: RunFolder) -> None:
    """Remove what killed processes left unfinished; what a training alone writes can only be an earlier one's."""
    for place in (run.path / name for name in (*OF_A_RUN, EXPORT, f"{BEST}/{EXPORT}")):
        by_training = place.parent.name in (*_OF_SNAPSHOTS, BEST) and place.name not in (REPORT, EXPORT)
        clear_leftovers(place.parent, place.stem, of_anyone=by_training)
