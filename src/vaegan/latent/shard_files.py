"""The files in a folder of shards of codes: which are ours, which are finished, and what may be replaced.

Nothing is removed or written before all that has one of our names has been checked. Ours is a file that says so itself:
the index by its keys, an .npz by its arrays, latents by their digest (one of a damaged pair by that of the other).
"""

import contextlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from ..errors import UserError
from ..files import is_leftover, read_bytes, read_mapping, remove, write_json
from ..runs.run_folder import LOCK

INDEX_NAME = "index.json"
STATISTICS_NAME = "statistics.json"
FOR_TRAINERS = "latents_stats.pt"
MARK = "vaegan"  # in the header of each shard of latents, with the digest of what it is of
_SHARD, _LATENTS = re.compile(r"shard-\d{5,}\.npz"), re.compile(r"latents-\d{6,}\.(safetensors|json)")
_DIGEST = re.compile("[0-9a-f]{64}")
_ALWAYS = {"codes.npy", "names.npy", "split.npy"}
_ARRAYS = _ALWAYS | {"logvar.npy", "labels.npy", "attributes.npy"}
_Variance = Annotated[FiniteFloat, Field(ge=0.0)]


class ShardRecord(BaseModel):
    """What the .json of a shard of latents says."""

    of: str
    shard: int
    split: str
    images: NonNegativeInt  # 0 where none of a stream's shard can be read
    count: NonNegativeInt  # numbers of each channel
    mean: list[FiniteFloat]
    squares: list[_Variance]


class Statistics(BaseModel):
    """What ``statistics.json`` says."""

    of: Annotated[str, Field(pattern=f"^{_DIGEST.pattern}$")]
    shards: PositiveInt
    images: PositiveInt
    count: PositiveInt
    mean: list[FiniteFloat]
    std: list[_Variance]


def open_shards(folder: Path, index: Mapping[str, Any], **options: Any) -> None:
    """Prepare a folder for shards: write the index, and remove the files that `check_shards` returns."""
    for path in check_shards(folder, index, **options):  # .json first: without it a shard counts as unfinished
        remove(path)
    if not has_index(folder, index):
        write_json(folder / INDEX_NAME, index)


def has_index(folder: Path, index: Mapping[str, Any]) -> bool:
    """Whether the index in a folder is this one."""
    return bool(read_mapping(folder / INDEX_NAME) == json.loads(json.dumps(index)))


def check_shards(
    folder: Path, index: Mapping[str, Any], *, restart: bool, latents: tuple[str, tuple[int, int]] | None = None
) -> list[Path]:
    """Return our files in a folder that are of something else than what ``index`` (JSON-able) determines.

    Without ``restart`` these are refused. ``latents`` is the digest of latents, and which process (r, n) writes them:
    each removes only its own, as others may have written theirs. UserError if other things are in the folder.
    """
    # Listed before another process writes an index.
    present = sorted(path for path in folder.iterdir() if path.name != LOCK) if folder.is_dir() else []
    before, index = read_mapping(folder / INDEX_NAME), json.loads(json.dumps(index))
    if not _is_index(before) and (before or not all(map(is_leftover, present))):
        raise UserError(f"folder {folder} contains other files; choose a new one")
    for path in present:
        if not _is_ours(path) and path.exists():  # else another process has removed it
            raise UserError(
                f"{path} was not written by this command, or is damaged; move it away or choose a new folder"
            )
    if before and before != index and not restart:
        differing = [name for name in {**before, **index} if before.get(name) != index.get(name)]
        what = f"of other images or with other settings ({', '.join(differing)})"
        raise UserError(f"{folder} holds codes {what}; choose a new folder or --overwrite")
    of, process = latents or ("", (0, 1))
    stale = [path for path in present if _LATENTS.fullmatch(path.name) and _is_stale(path, of, process)]
    if stale and not restart:
        raise UserError(f"{stale[0]} is of another model, images or settings; choose a new folder or --overwrite")
    if before != index:
        stale += [path for path in present if _SHARD.fullmatch(path.name)]
    if restart and read_mapping(folder / STATISTICS_NAME).get("of") != of:
        stale += [path for path in [folder / FOR_TRAINERS] if _is_for_trainers(path)]
        stale.append(folder / STATISTICS_NAME)
    return stale


def latents_path(folder: Path, number: int) -> Path:
    """Return where a shard of latents is or will be."""
    return folder / f"latents-{number:06d}.safetensors"


def record_of(folder: Path, number: int, digest: str) -> dict[str, Any] | None:
    """Return the `ShardRecord` of a finished shard of latents; None if it or its file is missing or damaged."""
    path = latents_path(folder, number)
    try:
        record = ShardRecord.model_validate(read_mapping(path.with_suffix(".json")))
        with safetensors.safe_open(path, "numpy") as file:  # reads the header, and compares it with the file's size
            num, channels, *size = file.get_slice("latents").get_shape()
            mark = (file.metadata() or {}).get(MARK)
    except (OSError, ValueError, safetensors.SafetensorError):
        return None
    found = (record.of, mark, record.shard, record.images, record.count, len(record.mean), len(record.squares))
    return record.model_dump() if found == (digest, digest, number, num, num * prod(size), channels, channels) else None


def statistics_in(folder: Path) -> Statistics | None:
    """Return the statistics of a folder of latents; None if there are none that can be read."""
    with contextlib.suppress(ValidationError):
        return Statistics.model_validate(read_mapping(folder / STATISTICS_NAME))
    return None


def for_trainers(mean: Any, std: Any) -> bytes:
    """Return the file that LightningDiT reads: mean and std, float32 `(1, C, 1, 1)`, for `torch.load`."""
    tensors = {name: torch.as_tensor(each).float().view(1, -1, 1, 1) for name, each in (("mean", mean), ("std", std))}
    torch.save(tensors, file := io.BytesIO())
    return file.getvalue()


def _is_for_trainers(path: Path) -> bool:
    """Whether a file is, byte for byte, as `for_trainers` writes it; else it is the user's."""
    try:
        content = read_bytes(path, 2**20)
        return for_trainers(**torch.load(io.BytesIO(content), weights_only=True)) == content
    except Exception:  # whatever torch raises for what is no such file
        return False


def _is_index(facts: Mapping[str, Any]) -> bool:
    return _DIGEST.fullmatch(str(facts.get("model"))) is not None and {"sets", "scale"} <= facts.keys()


def _is_ours(path: Path) -> bool:
    """Whether a file that has one of our names is ours; true of other names."""
    if _SHARD.fullmatch(path.name):
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as file:
            return _ALWAYS <= set(file.namelist()) <= _ARRAYS
        return False
    if _LATENTS.fullmatch(path.name):
        return _digest_of(path) is not None
    return path.name != STATISTICS_NAME or statistics_in(path.parent) is not None


def _is_stale(path: Path, digest: str, process: tuple[int, int]) -> bool:
    """Whether a file of latents belongs to this process's share and is of something else."""
    number, (rank, size) = int(path.stem.rpartition("-")[2]), process
    return number % size == rank and _digest_of(path) != digest


def _digest_of(path: Path) -> str | None:
    """Return the digest that a file of latents bears, of a damaged one that of the other; None if it is not ours."""
    marks = [_json_mark(path), _header_mark(path)]
    own, other = marks if path.suffix == ".json" else marks[::-1]
    mark = other if own == "" else own
    return mark if isinstance(mark, str) and _DIGEST.fullmatch(mark) else None


def _json_mark(path: Path) -> Any:
    """Return the digest in the .json of a shard, '' if it is damaged or missing."""
    facts = read_mapping(path.with_suffix(".json"))
    return facts.get("of") if facts else ""


def _header_mark(path: Path) -> str | None:
    """Return the digest in the .safetensors of a shard, '' if it is damaged or missing."""
    try:
        with safetensors.safe_open(path.with_suffix(".safetensors"), "numpy") as file:
            return (file.metadata() or {}).get(MARK)
    except (OSError, safetensors.SafetensorError):
        return ""
