"""Codes of many images on disk, in shards, so that an interrupted run resumes at the first missing one.

A shard is an .npz of equally long arrays; a folder of shards has an ``index.json`` that says what they are codes of.
Shards are joined to one .npz or .parquet one at a time, so memory does not grow with their number.

| array | what |
|---|---|
| codes | float32 (N, Z), mu |
| logvar | float32 (N, Z), log variances, where the encoder gives them |
| names | text (N,), of the images |
| split | text (N,), train or test |
| labels, attributes | int64 (N,), float32 (N, A), where there are any; no attributes of a stream |
"""

import contextlib
import hashlib
import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.cache import write_npy_header
from ..data.dataset import ImageSet
from ..data.stream import StreamedData
from ..errors import UserError
from ..files import clear_leftovers, remove, short_hash, written_beside
from ..models import Model
from ..pixels import PixelFormat
from ..progress import Watch, unwatched
from ..runs.run_folder import RunFolder
from .encoding import encode_images
from .shard_files import INDEX_NAME, check_shards, open_shards

_log = logging.getLogger("vaegan")


@dataclass(frozen=True)
class ImageShards:
    """Images in shards, at least one."""

    facts: Mapping[str, Any]  # what decides them all, JSON-able
    counts: Sequence[int]  # images of each shard, at least one; of a stream some may turn out to be unreadable
    read: Callable[[int], tuple[NDArray[np.str_], ImageSet]]  # of a shard, the split of each image, and the images
    check: Callable[[int], None] = lambda num: None  # raises UserError if so many unreadable images are too many


def set_shards(sets: Mapping[str, ImageSet], size: int, source: Mapping[str, Any]) -> ImageShards:
    """Cut sets of images, by the name of their split, into shards of ``size``; ``source`` decides the images."""
    sets = {name: images for name, images in sets.items() if len(images)}
    num = {name: len(images) for name, images in sets.items()}
    parts = [(name, slice(start, start + size)) for name in num for start in range(0, num[name], size)]
    first = next(iter(sets.values()))
    names = {"label_names": list(first.label_names), "attribute_names": list(first.attribute_names)}
    facts = {**source, "sets": num, "shard": size, **names, "labels": short_hash(b"\n".join(map(_told, sets.values())))}

    def read(number: int) -> tuple[NDArray[np.str_], ImageSet]:
        name, part = parts[number]
        images = sets[name].take(part)
        return np.full(len(images), name), images

    return ImageShards(facts, [min(size, num[name] - part.start) for name, part in parts], read)


def _told(images: ImageSet) -> bytes:
    """Return what is written beside the codes of images: names, labels, attributes."""
    numbers = (b"" if values is None else values.tobytes() for values in (images.labels, images.attributes))
    return b"\0".join([repr(list(images.names)).encode(), *numbers])


def stream_shards(data: StreamedData, split: str) -> ImageShards:
    """Return the shards of a stream, of one split or "all": a shard of codes has the images of a shard of images."""
    stream, index = data.stream, data.stream.index
    counts = {"train": index.train, "test": index.test, "all": index.train + index.test}[split]
    shards, total = np.flatnonzero(counts).tolist(), int(counts.sum())
    return ImageShards(
        {"data": data.fingerprint, "stream": split, "sets": total},
        counts[shards].tolist(),
        lambda i: stream.whole(shards[i], split)[::-1],
        lambda num: stream.check_unreadable(num, total),
    )


def encode_to_file(
    model: Model,
    shards: ImageShards,
    out: Path,
    *,
    scaled: bool = False,
    batch_size: int = 256,
    overwrite: bool = False,
    watch: Watch = unwatched,
) -> int:
    """Encode images shard by shard, join the shards to one file, return the number of codes.

    ``out`` is an .npz, a .parquet, or without an extension the folder of the shards, of which finished ones are used;
    ``overwrite`` allows to remove those of something else. ``scaled`` codes are as diffusion models take them: maps in
    their shape, times the latent scale factor. Raises UserError if there is no encoder, the images do not fit, too many
    cannot be read, or nothing can be written.
    """
    names = {name: shards.facts.get(name, ()) for name in ("label_names", "attribute_names")}
    index = {"model": encoder_digest(model), **shards.facts, "scale": scale_facts(model) if scaled else None}
    folder = out if out.suffix == "" else out.with_name(f".{out.name}.shards")
    paths, num, first = [shard_path(folder, number) for number in range(len(shards.counts))], 0, set[str]()
    lost, filled = 0, list[Path]()  # unreadable images; shards that have images
    restart = folder != out or overwrite
    check_shards(folder, index, restart=restart)  # nothing is written into a folder that is refused
    with RunFolder(folder).locked():
        open_shards(folder, index, restart=restart)
        if finished := sum(path.is_file() for path in paths):
            _log.info("%d of %d shards are finished already", finished, len(paths))
        for number, path in watch(enumerate(paths), len(paths), "encoding"):
            if not path.is_file():
                split, images = shards.read(number)
                shards.check(lost + shards.counts[number] - len(images))
                arrays = _arrays(model, images, batch_size, scaled=scaled)
                if not names["attribute_names"]:  # each shard of a stream has columns of its own
                    arrays["attributes"] = None
                write_shard(path, arrays | {"split": split})
            with np.load(path) as written:
                num += len(written["names"])
                lost += shards.counts[number] - len(written["names"])
                if not len(written["names"]):
                    continue
                filled.append(path)
                first = first or set(written)
                if folder != out and (differ := first ^ set(written)):
                    remedy = f"give all or none of the images a .cls, remove {folder} and run the same command again"
                    raise UserError(f"{out}: only some shards of images have {', '.join(sorted(differ))}; {remedy}")
        shards.check(lost)
        if out.suffix == ".npz":
            join_npz(filled, out, {name: np.asarray(values, np.str_) for name, values in names.items() if values})
        elif out.suffix == ".parquet":
            join_parquet(filled, out, **names)
        if folder != out:
            clear_leftovers(folder, "shard-*", of_anyone=True)
            for path in (*paths, folder / INDEX_NAME):
                remove(path)
    if folder != out:
        with contextlib.suppress(OSError):  # the user's if it is not empty
            folder.rmdir()
    return num


def _arrays(model: Model, images: ImageSet, batch_size: int, *, scaled: bool) -> dict[str, Any]:
    c = model.condition_of(images)
    mu, logvar = encode_images(model, images.images, condition=c, batch_size=batch_size)
    if scaled:
        factor = model.latent_scaling[1]
        mu, logvar = model.scaled(mu), None if logvar is None else model.maps(logvar) + 2.0 * factor.log()
    return {
        "codes": mu.numpy(),
        "logvar": None if logvar is None else logvar.numpy(),
        "names": np.asarray(images.names, np.str_),
        "labels": images.labels,
        "attributes": images.attributes,
    }


def encoder_digest(model: Model) -> str:
    """Return a hash of what decides a code: the encoder's weights, the ranges of its images, and its tiles."""
    digest = hashlib.sha256(repr(tuple(model.image_range)).encode())
    for name, tensor in model.state_dict().items():
        if name.startswith("encoder."):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    if model.pixels != PixelFormat():
        digest.update(model.pixels.words.encode())
    if model.tiles:
        digest.update(repr(tuple(model.tiles)).encode())
    return digest.hexdigest()


def scale_facts(model: Model) -> float | list[Any]:
    """Return what decides `Model.latent_scaling`, JSON-able."""
    of_channels = [model.info.get(name) for name in ("latents_mean", "latents_std", "shift_factor")]
    return [model.scale_factor, *of_channels] if any(of_channels) else model.scale_factor


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard is or will be."""
    return folder / f"shard-{number:05d}.npz"


def write_shard(path: Path, arrays: Mapping[str, NDArray[Any] | None]) -> None:
    """Write a shard in one piece, without the arrays that are None; UserError if it cannot be written."""
    present: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    with written_beside(path) as beside:
        np.savez(beside, **present)


def join_npz(shards: Sequence[Path], out: Path, extra: Mapping[str, NDArray[Any]]) -> None:
    """Join shards of the same arrays to one .npz, an array at a time and a shard at a time; UserError if unwritable.

    ``extra`` arrays are put in as they are.
    """
    with np.load(shards[0]) as first:
        names = list(first)
    with written_beside(out) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in names:
            types = [(array.shape, array.dtype) for array in (_read(path, name) for path in shards)]
            shape = (sum(shape[0] for shape, _ in types), *types[0][0][1:])
            dtype = np.result_type(*(dtype for _, dtype in types))  # strings of different length
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_npy_header(member, shape, dtype)
                for path in shards:
                    member.write(_read(path, name).astype(dtype).tobytes())
        for name, array in extra.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


def join_parquet(
    shards: Sequence[Path], out: Path, label_names: Sequence[str] = (), attribute_names: Sequence[str] = ()
) -> None:
    """Join shards to one Parquet file: a row for each image, a row group for each shard.

    Columns: name, split, label (text), codes and logvar (lists of Z floats), and ``attribute NAME`` for each attribute.
    Raises UserError if pyarrow is not installed or the file cannot be written.
    """
    pyarrow, parquet = import_pyarrow()

    with written_beside(out) as beside:
        writer = None
        for path in shards:
            with np.load(path) as arrays:
                table = pyarrow.table(_columns(pyarrow, dict(arrays), label_names, attribute_names))
            writer = writer or parquet.ParquetWriter(beside, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()


def import_pyarrow() -> tuple[Any, Any]:
    """Return ``pyarrow`` and ``pyarrow.parquet``; UserError if they are not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("Parquet files need pyarrow: pip install 'vaegan[parquet]', or end --out in .npz") from error
    return pyarrow, parquet


def _columns(
    pyarrow: Any, arrays: dict[str, NDArray[Any]], label_names: Sequence[str], attribute_names: Sequence[str]
) -> dict[str, Any]:
    columns: dict[str, Any] = {"name": arrays["names"].tolist(), "split": arrays["split"].tolist()}
    if "labels" in arrays:
        columns["label"] = [label_names[label] if label_names else str(label) for label in arrays["labels"]]
    for name in ("codes", "logvar"):
        if name in arrays:
            flat = pyarrow.array(arrays[name].reshape(-1))
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, arrays[name].shape[1])
    for index, name in enumerate(attribute_names):
        columns[f"attribute {name}"] = pyarrow.array(arrays["attributes"][:, index], from_pandas=True)
    return columns


def _read(path: Path, name: str) -> NDArray[Any]:
    with np.load(path) as arrays:
        array: NDArray[Any] = arrays[name]
    return array
