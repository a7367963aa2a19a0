"""Latents of many images as shards of safetensors, made by one process or by several that do not communicate.

Output shard i has the images of input shard i. Process r of n makes the shards with i mod n = r: first
``latents-000007.safetensors``, whole, then ``latents-000007.json``, which records the model and images. A shard with
both is finished and is not made again, whatever n is. The process that finds all shards finished merges their
statistics, in order, into ``statistics.json`` and, where codes are maps, into ``latents_stats.pt``, which LightningDiT
reads. All files are the same for every n.

| tensor | what |
|---|---|
| latents | `(N, C, h, w)`, or `(N, Z)` where codes are vectors: mu, times the latent scale factor with ``scaled`` |
| latents_flip | with ``flip``, the same of the images mirrored left to right |
| labels | int64 `(N,)`, if there are any |
| names | uint8, the names of the images in UTF-8, one per line |
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import ImageSet
from ..errors import UserError
from ..files import read_mapping, write_bytes, write_json
from ..models import Model
from ..progress import Watch, unwatched
from .code_shards import ImageShards, encoder_digest, scale_facts
from .encoding import encode_images
from .shard_files import (
    FOR_TRAINERS,
    INDEX_NAME,
    MARK,
    STATISTICS_NAME,
    for_trainers,
    has_index,
    latents_path,
    open_shards,
    record_of,
    statistics_in,
)

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_log = logging.getLogger("vaegan")


def encode_to_shards(
    model: Model,
    shards: ImageShards,
    folder: Path,
    *,
    dtype: str = "fp32",
    flip: bool = False,
    scaled: bool = False,
    batch_size: int = 256,
    process: tuple[int, int] = (0, 1),
    overwrite: bool = False,
    watch: Watch = unwatched,
) -> int:
    """Write this process's shards that are not finished yet, and statistics if all are; return its number of images.

    ``process`` is (r, n): which it is, and of how many. With ``flip`` the images mirrored left to right are encoded
    too; ``overwrite`` allows to replace shards of something else. Raises UserError if there is no encoder, the images
    do not fit, too many cannot be read, the folder has something else, or cannot be written.
    """
    of = {"format": "safetensors", "dtype": dtype, "flip": flip, "scale": scale_facts(model) if scaled else None}
    index = {"model": encoder_digest(model), **shards.facts, **of}
    digest = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
    rank, size = process
    open_shards(folder, index, restart=overwrite, latents=(digest, process))
    own = range(rank, len(shards.counts), size)
    records = {number: record_of(folder, number, digest) for number in own}
    unfinished = [number for number in own if records[number] is None]
    lost = sum(shards.counts[number] - record["images"] for number, record in records.items() if record)
    if size > 1 or len(unfinished) < len(own):
        done = f"{len(own) - len(unfinished)} of {len(own)} shards are finished already"
        _log.info("process %d of %d: %s", rank, size, done)
    for number in watch(unfinished, len(unfinished), "encoding"):
        split, images = shards.read(number)
        lost += shards.counts[number] - len(images)
        shards.check(lost)
        tensors = {"latents": latents_of(model, images, scaled, batch_size).to(DTYPES[dtype])}
        if flip:
            tensors["latents_flip"] = latents_of(model, images, scaled, batch_size, flip=True).to(DTYPES[dtype])
        if not all(part.isfinite().all() for tensor in tensors.values() for part in torch.split(tensor, batch_size)):
            remedy = "use --dtype bf16 or fp32" if dtype == "fp16" else "check the model's weights"
            raise UserError(f"latents of shard {number} are not finite as {dtype}; {remedy}")
        moments = channel_moments(tensors["latents"])
        if images.labels is not None:
            tensors["labels"] = torch.from_numpy(np.array(images.labels, np.int64))
        tensors["names"] = torch.from_numpy(np.array(bytearray("\n".join(images.names).encode()), np.uint8))
        path = latents_path(folder, number)
        if not has_index(folder, index):
            raise UserError(f"another command has started to write other codes into {folder}; choose another --out")
        write_bytes(path, safetensors.torch.save(tensors, {MARK: digest}))
        splits = sorted(set(split.tolist()))
        facts = {"of": digest, "shard": number, "split": splits[0] if len(splits) == 1 else "all"}
        facts |= {"images": len(images), **moments}
        write_json(path.with_suffix(".json"), facts)
    _write_statistics(folder, digest, shards, is_map=len(model.code_shape) > 1)
    return sum((record_of(folder, number, digest) or {}).get("images", 0) for number in own)


def latents_of(model: Model, images: ImageSet, scaled: bool, batch_size: int, *, flip: bool = False) -> Tensor:
    """Return latents float32 `(N, *code_shape)`."""
    pixels = images.images[:, :, ::-1] if flip else images.images
    mu, _ = encode_images(model, pixels, condition=model.condition_of(images), batch_size=batch_size)
    return model.scaled(mu) if scaled else model.maps(mu)


def channel_moments(latents: Tensor, rows: int = 256) -> dict[str, Any]:
    """Return of each channel of latents `(N, C, ...)` the count, the mean and the sum of squared deviations.

    Two passes, some rows in float64 at a time, summed in an order that depends on nothing else.
    """

    def total(of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        sums = np.zeros(latents.shape[1])
        for part in torch.split(latents, rows):
            sums += of(np.ascontiguousarray(part.double().transpose(0, 1).flatten(1).numpy())).sum(1)
        return sums

    count = latents[:, 0].numel()
    mean = total(lambda x: x) / max(1, count)
    squares = total(lambda x: (x - mean[:, None]) ** 2)
    return {"count": count, "mean": mean.tolist(), "squares": squares.tolist()}


def merged_moments(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of both together (Chan, Golub and LeVeque 1979, eq. 2.1)."""
    count, gap = a["count"] + b["count"], np.subtract(b["mean"], a["mean"])
    squares = np.add(a["squares"], b["squares"]) + gap**2 * (a["count"] * b["count"] / count)
    return {"count": count, "mean": a["mean"] + gap * (b["count"] / count), "squares": squares}


def statistics_of(folder: Path, model: Model) -> dict[str, Any]:
    """Return `Model.info` of a folder's statistics, by which `Model.latents` have mean 0 and deviation 1 per channel.

    Raises UserError if there are none, or they are of another model, of scaled latents, or of a constant channel.
    """
    statistics, index = statistics_in(folder), read_mapping(folder / INDEX_NAME)
    if statistics is None:
        raise UserError(f"{folder} has no {STATISTICS_NAME}; finish `vaegan encode RUN --format safetensors` there")
    if index.get("model") != encoder_digest(model):
        raise UserError(
            f"{folder} holds latents of another model, or latents encoded with --tile; encode the images with this "
            "model and without --tile"
        )
    if index.get("scale") is not None:
        raise UserError(f"{folder} holds scaled latents; encode without --scaled")
    if not all(std > 0.0 for std in statistics.std):
        raise UserError(f"{folder}: a latent channel is constant and cannot be scaled; train the model further")
    own = {"latents_mean": statistics.mean, "latents_std": statistics.std}
    return {**own, "scale_factor": 1.0, "shift_factor": None}


def _write_statistics(folder: Path, digest: str, shards: ImageShards, *, is_map: bool) -> None:
    """Merge the statistics of all shards, if they are finished; where codes are maps, also write them for trainers."""
    whole: dict[str, Any] = {"count": 0, "mean": np.zeros(1), "squares": np.zeros(1)}
    images, num_shards = 0, len(shards.counts)
    for number in range(num_shards):
        if (facts := record_of(folder, number, digest)) is None:
            _log.info("other processes have shards to finish; the last one writes %s", STATISTICS_NAME)
            return
        if facts["images"]:
            whole, images = merged_moments(whole, facts), images + facts["images"]
    shards.check(sum(shards.counts) - images)
    std = np.sqrt(whole["squares"] / max(1, whole["count"] - 1))
    statistics = {"of": digest, "shards": num_shards, "images": images, "count": whole["count"]}
    write_json(folder / STATISTICS_NAME, statistics | {"mean": whole["mean"].tolist(), "std": std.tolist()})
    _log.info("standard deviation of latent channels %.3g to %.3g: %s", min(std), max(std), folder / STATISTICS_NAME)
    if not is_map:
        return
    path, content = folder / FOR_TRAINERS, for_trainers(whole["mean"], std)
    if path.is_file() and path.read_bytes() != content:
        _log.warning("%s does not match %s; remove it and run the same command again", path, STATISTICS_NAME)
    elif not path.is_file():
        write_bytes(path, content)
