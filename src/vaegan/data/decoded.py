"""From a collection of undecoded images to a data set: decoded once, then mapped from the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import cache
from .dataset import Collection, ImageData, Look, Options
from .decode_pool import CHUNK, decode_chunk, in_order, look_chunk
from .image_file import Target

log = logging.getLogger("vaegan")
VERSION = 1  # raise it when the same settings begin to give other pixels
Positions = NDArray[np.int64]


def prepare_data(name: str, collection: Collection, parts: tuple[Positions, Positions], options: Options) -> ImageData:
    """Decode a collection, or find it decoded.

    Args:
        name: of the source.
        collection: N images.
        parts: positions of the images to train on and of those held out.
        options: size, channels, crop, limit, cache ...

    Returns:
        The data set, its images read-only maps of files in the cache.

    Raises:
        UserError: if too many files are bad, sizes differ and none is set, or the cache cannot be written.
    """
    parts = (parts[0][: options.limit], parts[1])
    folder = options.cache_folder / "decoded" / _key(collection, parts, options)
    entry = cache.load(folder) or cache.make(folder, lambda part: _decode(part, collection, parts, options))
    num_images = len(parts[0]) + len(parts[1])
    _check_bad(collection, entry.bad, num_images, options)
    if entry.bad:
        log.warning("%s: left out %s", collection.where, _told(entry.bad, num_images))
    return ImageData(
        name,
        collection.chosen(entry.train, entry.kept_train),
        collection.chosen(entry.test, entry.kept_test),
        entry.fingerprint,
        len(entry.bad),
    )


def resolve_target(look: Look, options: Options) -> Target:
    """Return what images of this look become: the size and channels set, else their own after the crop."""
    height, width = look.height, look.width
    if options.size is not None:
        height = width = options.size
    elif options.crop == "center":
        height = width = min(height, width, options.crop_size or height)
    return Target(height, width, options.channels or (3 if look.colour else 1), options.crop, options.crop_size)


def _find_target(collection: Collection, positions: Positions, options: Options) -> Target:
    """Return what all images become, from their headers as far as the settings leave it open."""
    if collection.look is not None:
        return resolve_target(collection.look, options)
    if options.size is not None and options.channels is not None:
        return resolve_target(Look(1, 1, False), options)
    chunks = _chunks(positions)
    keys = [[collection.keys[i] for i in chunk] for chunk in chunks]
    looks = set().union(*in_order(look_chunk, collection.reader, keys, options.workers))
    if not looks:
        raise UserError(f"{collection.where}: none of its {len(positions)} images can be read; check the files")
    colour = any(look.colour for look in looks)
    targets = {resolve_target(Look(look.width, look.height, colour), options) for look in looks}
    if len(targets) > 1:
        sizes = sorted((target.height, target.width) for target in targets)
        (h0, w0), (h1, w1) = sizes[0], sizes[-1]
        raise UserError(
            f"{collection.where}: images differ in size (from {w0}x{h0} to {w1}x{h1} pixels); set --data.size"
        )
    return targets.pop()


def _decode(
    folder: Path, collection: Collection, parts: tuple[Positions, Positions], options: Options
) -> dict[str, Any]:
    """Write both arrays of a cache entry into ``folder`` and return the rest of its index."""
    num_images = len(parts[0]) + len(parts[1])
    target = _find_target(collection, np.concatenate(parts), options)
    chunks = [(which, chunk) for which in (0, 1) for chunk in _chunks(parts[which])]
    keys = [[collection.keys[i] for i in chunk] for _, chunk in chunks]
    kept: tuple[list[int], list[int]] = ([], [])
    bad: list[tuple[str, str]] = []
    done = 0
    with (
        cache.ArrayFile(folder / "train.npy", target.shape) as train,
        cache.ArrayFile(folder / "test.npy", target.shape) as test,
        contextlib.closing(in_order(decode_chunk, collection.reader, keys, options.workers, target)) as results,
    ):
        for (which, chunk), decoded in zip(chunks, results, strict=True):
            (train, test)[which].append(decoded.images)
            kept[which].extend(int(chunk[i]) for i in decoded.kept)
            bad.extend((collection.names[chunk[i]], reason) for i, reason in decoded.bad)
            _check_bad(collection, bad, num_images, options)
            done += len(chunk)
            if options.on_progress is not None:
                options.on_progress(done, num_images)
    if not (kept[0] and kept[1]):
        raise UserError(f"{collection.where}: too few readable images to train on some and hold out others")
    fingerprint = cache.fingerprint(train.hash, test.hash)
    return {"train": kept[0], "test": kept[1], "bad": bad, "fingerprint": fingerprint}


def _chunks(positions: Positions) -> list[Positions]:
    return [positions[i : i + CHUNK] for i in range(0, len(positions), CHUNK)]


def _check_bad(collection: Collection, bad: list[tuple[str, str]], num_images: int, options: Options) -> None:
    if len(bad) > options.max_unreadable * num_images:
        raise UserError(
            f"{collection.where}: {_told(bad, num_images)}; "
            f"more than --data.max-unreadable {options.max_unreadable:g} allows, so repair or remove them"
        )


def _told(bad: list[tuple[str, str]], num_images: int) -> str:
    """Return ``2 unreadable of 90 images: 'a.jpg' (why), 'b.jpg' (why)``, with the first few names."""
    some = ", ".join(f"{name!r} ({reason})" for name, reason in bad[:3])
    return f"{len(bad)} unreadable of {num_images} images: {some}{', ...' if len(bad) > 3 else ''}"


def _key(collection: Collection, parts: tuple[Positions, Positions], options: Options) -> str:
    """Return a name for the cache entry: a hash of content, selection and settings."""
    settings = [VERSION, options.size, options.channels, options.crop, options.crop_size]
    digest = hashlib.sha256(json.dumps([collection.digest, settings]).encode())
    for positions in parts:
        digest.update(b"part" + positions.astype(np.int64).tobytes())
    return digest.hexdigest()[:32]
