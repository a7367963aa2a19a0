"""From a collection of undecoded images to a data set: decoded once, then mapped from the cache.

A small array whose images are already as the settings want them needs neither.
"""

import contextlib
import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config import DataSettings
from ..errors import UserError
from ..files import write_text
from ..pixels import BYTES, PixelFormat
from ..progress import Beat
from . import cache
from .arrays import ArrayItems
from .dataset import Collection, ImageData, Positions, Progress, Split, hashed_split
from .decode_pool import CHUNK, decode_chunk, in_order, read_headers
from .image_file import ImageHeader, OutOfRangeError, Target, check_range

log = logging.getLogger("vaegan")
VERSION = 1  # raise it when the same settings begin to give other pixels
_SMALL = 2**28  # bytes; an array of this size stays in memory instead of being copied to the cache


def prepare_data(
    collection: Collection,
    settings: DataSettings,
    on_progress: Progress | None = None,
    pixels: PixelFormat | None = None,
) -> ImageData:
    """Decode a collection, or map what an earlier run decoded, as read-only maps of files in the cache.

    Images keep their type, that of the first unless they differ, or get the format ``pixels``. Raises UserError if too
    many files are unreadable, sizes differ and none is set, or the cache cannot be written.
    """
    unset = {name: value for name, value in collection.defaults.items() if getattr(settings, name) is None}
    settings = settings.model_copy(update=unset)
    split = collection.split or hashed_split(collection.names, settings.held_out)
    split = split.limited(settings.limit)
    if collection.attributes is not None and np.isinf(collection.attributes).any():
        name = collection.attribute_names[int(np.isinf(collection.attributes).any(0).argmax())]
        raise UserError(f"{collection.where}: attribute {name} is infinite for some image; correct it")
    first = collection.header or _first_header(collection, split)
    if isinstance(collection.items, ArrayItems):
        if (data := _without_decoding(collection, collection.items, split, settings, pixels)) is not None:
            return data
        settings = settings.model_copy(update={"workers": 1})  # a copy of the array for each would cost more
    folder = cache.cache_folder(settings.cache) / "decoded" / _key(collection, split, settings, first, pixels)
    listed = folder.with_name(f"{folder.name}-unreadable.txt")
    entry = cache.load(folder)
    if entry is None:
        target = _find_target(collection, split, settings, first, pixels)
        entry = cache.make(
            folder, lambda unfinished: _decode(unfinished, collection, split, settings, target, on_progress, listed)
        )
        if entry.unreadable:  # later commands, which find the images decoded, do not say it again
            log.warning("%s: left out %s", collection.where, _summary(entry.unreadable, len(split), listed))
    _check_unreadable(collection, entry.unreadable, len(split), settings, listed)
    parts = (entry.train, entry.test)
    train, test = (collection.decoded(part.images, part.positions, entry.pixels) for part in parts)
    left_out = (len(entry.unreadable), collection.left_out, collection.notes)
    more = (first and (first.height, first.width), split.is_single)
    return ImageData(collection.name, train, test, entry.fingerprint, *left_out, *more)


def resolve_target(header: ImageHeader, settings: DataSettings, pixels: PixelFormat | None = None) -> Target:
    """Return what images with this header are prepared to: the size and channels set, else their own after the crop.

    Raises UserError if they cannot have the channels that are set.
    """
    height, width = header.height, header.width
    if settings.height_width is not None:
        height, width = settings.height_width
    elif settings.crop == "center":
        height = width = min(height, width, settings.crop_size or height)
    own, channels = header.channels, settings.channels or header.channels or (3 if header.colour else 1)
    if channels not in ((1, 3, 4) if own is None else (own, {1: 3, 3: 1}.get(own))):
        have = f"{own} channels" if own else "1, 3 or 4 channels"
        raise UserError(f"{settings.source}: its images have {have}, not {channels} (--data.channels)")
    pixels = pixels or PixelFormat.of(header.depth, settings.range)
    pixels = replace(pixels, alpha=channels == 4 and header.alpha)
    return Target(height, width, channels, settings.crop, settings.crop_size, pixels, settings.range)


def _first_header(collection: Collection, split: Split) -> ImageHeader | None:
    """Return the header of the first image that has one, of some; None if none has."""
    for i in np.concatenate([split.train, split.test])[:CHUNK]:
        for header in read_headers(collection.items, np.array([i])):
            return header
    return None


def _without_decoding(
    collection: Collection, items: ArrayItems, split: Split, settings: DataSettings, pixels: PixelFormat | None
) -> ImageData | None:
    """Return the data set if the array is small and its images are as the settings want them, else None."""
    assert collection.header is not None
    target = resolve_target(collection.header, settings, pixels)
    source = target.source(collection.header.depth)
    is_ready = target.pixels == source and items.images.dtype == target.pixels.dtype
    if not is_ready or items.images.nbytes > _SMALL or target.shape != items.images.shape[1:]:
        return None
    holds_all = source.cell and source == PixelFormat.of(source.dtype)
    for i in () if holds_all else np.concatenate([split.train, split.test]):
        try:
            check_range(items.images[i], source)
        except OutOfRangeError as error:
            raise _refusal(collection, i, str(error)) from error
    train, test = (
        collection.decoded(np.ascontiguousarray(items.images[part]), part, target.pixels)
        for part in (split.train, split.test)
    )
    hashes = [cache.pixel_hash(target, part.images.tobytes()) for part in (train, test)]
    size = (collection.header.height, collection.header.width)
    fingerprint = cache.fingerprint(*hashes)
    return ImageData(collection.name, train, test, fingerprint, original_size=size, is_single=split.is_single)


def _refusal(collection: Collection, position: int, why: str) -> UserError:
    name = collection.names[position]
    return UserError(f"{collection.where}: image {name}: {why}; set --data.range LOW HIGH, or correct the image")


def _find_target(
    collection: Collection,
    split: Split,
    settings: DataSettings,
    first: ImageHeader | None,
    pixels: PixelFormat | None,
) -> Target:
    """Return what all images are prepared to, from their headers where the settings and the first leave it open."""
    is_known = settings.size is not None and settings.channels is not None
    if collection.header is not None or (is_known and (pixels or first is None or first.depth == BYTES.dtype)):
        return resolve_target(first or ImageHeader(1, 1, False), settings, pixels)
    chunks = _chunks(np.concatenate([split.train, split.test]))
    headers = set().union(*in_order(read_headers, collection.items, chunks, settings.workers))
    if not headers:
        raise UserError(f"{collection.where}: none of its {len(split)} images can be read; check the files")
    common = _common_header(collection, headers, settings)
    targets = {
        resolve_target(replace(common, width=header.width, height=header.height), settings, pixels)
        for header in headers
    }
    if len(targets) > 1:
        sizes = sorted((target.height, target.width) for target in targets)
        (h0, w0), (h1, w1) = sizes[0], sizes[-1]
        raise UserError(
            f"{collection.where}: images differ in size (height x width from {h0}x{w0} to {h1}x{w1}); set --data.size"
        )
    return targets.pop()


def _common_header(collection: Collection, headers: set[ImageHeader], settings: DataSettings) -> ImageHeader:
    """Return the kind of all images: colour if any is, 16 bits if all have them; UserError if they are too unlike."""
    depths, channels = {header.depth for header in headers}, {header.channels for header in headers}
    is_colour = any(header.colour for header in headers)
    if len(channels) > 1 and channels <= {None, 1, 3}:
        channels = {3 if is_colour else 1}
    if len(channels) > 1 or (len(depths) > 1 and ("float32" in depths or settings.range)):
        kinds = sorted({f"{header.depth} of {header.channels or 'up to 4'} channels" for header in headers})
        raise UserError(f"{collection.where}: images differ in type or channels ({', '.join(kinds)}); make them alike")
    if len(depths) > 1:
        log.warning("%s: some images have 16 bits and others 8: all are read as 8 bits", collection.where)
    depth = depths.pop() if len(depths) == 1 else BYTES.dtype
    return ImageHeader(1, 1, is_colour, channels.pop(), depth, any(header.alpha for header in headers))


def _decode(
    folder: Path,
    collection: Collection,
    split: Split,
    settings: DataSettings,
    target: Target,
    on_progress: Progress | None,
    listed: Path,
) -> dict[str, Any]:
    """Write both arrays of a cache entry into ``folder`` and return the rest of its index."""
    train_chunks, test_chunks = _chunks(split.train), _chunks(split.test)
    results = in_order(decode_chunk, collection.items, train_chunks + test_chunks, settings.workers, target)
    unreadable: list[tuple[str, str]] = []
    done, beat = 0, Beat(f"decoding {collection.where}", len(split), "images")
    with (
        cache.ArrayFile(folder / "train.npy", target) as train,
        cache.ArrayFile(folder / "test.npy", target) as test,
        contextlib.closing(results),
    ):
        files = [train] * len(train_chunks) + [test] * len(test_chunks)
        for file, decoded in zip(files, results, strict=True):
            if decoded.refused:
                raise _refusal(collection, *decoded.refused)
            file.append(decoded.images, decoded.positions)
            unreadable.extend((collection.names[i], reason) for i, reason in decoded.unreadable)
            _check_unreadable(collection, unreadable, len(split), settings, listed)
            done += len(decoded.positions) + len(decoded.unreadable)
            beat(done)
            if on_progress is not None:
                on_progress(done, len(split))
    if not (train.positions and test.positions):
        what = f"; {_summary(unreadable, len(split), listed)}" if unreadable else ""
        raise UserError(f"{collection.where}: too few readable images to train on some and hold out others{what}")
    fingerprint = cache.fingerprint(train.hash, test.hash)
    more = {} if target.pixels == BYTES and not target.pixels.alpha else {"pixels": target.pixels.as_json()}
    return {"train": train.positions, "test": test.positions, "bad": unreadable, "fingerprint": fingerprint, **more}


def _chunks(positions: Positions) -> list[Positions]:
    return [positions[i : i + CHUNK] for i in range(0, len(positions), CHUNK)]


def _check_unreadable(
    collection: Collection, unreadable: list[tuple[str, str]], num_images: int, settings: DataSettings, listed: Path
) -> None:
    if len(unreadable) > settings.max_unreadable * num_images:
        raise UserError(
            f"{collection.where}: {_summary(unreadable, num_images, listed)}; "
            f"more than --data.max-unreadable {settings.max_unreadable:g} allows, so repair or remove them"
        )


def _summary(unreadable: list[tuple[str, str]], num_images: int, listed: Path) -> str:
    """Return ``2 unreadable of 90 images: 'a.jpg' (why), 'b.jpg' (why)``; of many the first, and the file of all."""
    some = ", ".join(f"{name!r} ({reason})" for name, reason in unreadable[:3])
    if len(unreadable) > 3:
        write_text(listed, "".join(f"{name}\t{reason}\n" for name, reason in sorted(unreadable)))
        some += f", ...; all of them: {listed}"
    return f"{len(unreadable)} unreadable of {num_images} images: {some}"


def _key(
    collection: Collection,
    split: Split,
    settings: DataSettings,
    first: ImageHeader | None,
    pixels: PixelFormat | None,
) -> str:
    """Return a name for the cache entry: a hash of content, split and settings."""
    values: list[Any] = [VERSION, settings.size, settings.channels, settings.crop, settings.crop_size]
    stored = pixels or PixelFormat.of(first.depth if first else BYTES.dtype, settings.range)
    if stored != BYTES or settings.range:  # bytes have been without it
        values += [settings.range, stored.dtype, stored.low, stored.high]
    digest = hashlib.sha256(json.dumps([collection.items.fingerprint, values]).encode())
    for positions in (split.train, split.test):
        digest.update(b"part" + positions.astype(np.int64).tobytes())
    return digest.hexdigest()[:32]
