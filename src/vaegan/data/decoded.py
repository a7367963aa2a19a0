"""From a collection of undecoded images to a data set: decoded once, then mapped from the cache.

A small array whose images are already as the settings want them needs neither.
"""

import contextlib
import hashlib
import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import write_text
from ..pixels import BYTES, PixelFormat, as_range
from ..progress import Beat
from ..settings import DataSettings
from . import cache
from .arrays import ArrayItems
from .dataset import Collection, ImageData, ImageSet, Progress, hashed_split, some_of
from .decode_pool import CHUNK, chunks, decode_chunk, in_order, read_headers
from .image_file import ImageHeader, OutOfRangeError, Target, check_range
from .image_types import TIFF_VERSION

log = logging.getLogger("vaegan")
VERSION = 1  # raise it when the same settings begin to give other pixels
_MUCH_CUT = 0.5  # share of an image; a crop that leaves less is mentioned
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
    if collection.attributes is not None and np.isinf(collection.attributes).any():
        name = collection.attribute_names[int(np.isinf(collection.attributes).any(0).argmax())]
        raise UserError(f"{collection.where}: attribute {name} is infinite for some image; correct it")
    preparation = _Preparation(collection, settings, pixels)
    return preparation.without_decoding() or preparation.decoded(on_progress)


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
        have = f"have {own} channel{'s' * (own > 1)}" if own else "can have 1, 3 or 4 channels"
        raise UserError(
            f"{settings.source}: its images {have}, not {channels} (set by --data.channels or the model); leave out "
            "the option, or use images of that type"
        )
    pixels = pixels or PixelFormat.of(header.depth, settings.range)
    pixels = replace(pixels, alpha=channels == 4 and header.alpha)
    return Target(height, width, channels, settings.crop, settings.crop_size, pixels, settings.range)


class _Preparation:
    """A collection on its way to a data set: what of it is wanted, and as what."""

    def __init__(self, collection: Collection, settings: DataSettings, pixels: PixelFormat | None) -> None:
        own = {name: value for name, value in collection.defaults.items() if getattr(settings, name) is None}
        if isinstance(collection.items, ArrayItems):
            own["workers"] = 1  # a copy of the array for each would cost more
        self.collection, self.settings, self.pixels = collection, settings.model_copy(update=own), pixels
        split = collection.split or hashed_split(collection.names, settings.held_out)
        self.split = split.limited(settings.limit)
        self.positions = np.concatenate([self.split.train, self.split.test])
        headers = (header for i in self.positions[:CHUNK] for header in read_headers(collection.items, i[None]))
        self.first = collection.header or next(headers, None)  # of the first image that has one
        depth = self.first.depth if self.first else BYTES.dtype
        self.own = PixelFormat.of(depth, self.settings.range)
        self.stored = pixels or self.own  # unless images differ
        self.stored.check_limits(collection.where)
        self.folder = cache.cache_folder(settings.cache) / "decoded" / self._key(self.settings, self.stored)
        self.listed = self.folder.with_name(f"{self.folder.name}-unreadable.txt")

    def without_decoding(self) -> ImageData | None:
        """Return the data set if it is a small array whose images are as the settings want them, else None."""
        items, header = self.collection.items, self.collection.header
        if header is None or not isinstance(items, ArrayItems) or items.images.nbytes > _SMALL:
            return None
        target = resolve_target(header, self.settings, self.pixels)
        source = target.source(header.depth)
        is_ready = target.pixels == source and items.images.dtype == target.pixels.dtype
        if not is_ready or target.shape != items.images.shape[1:]:
            return None
        train, test = (
            self.collection.decoded(np.ascontiguousarray(items.images[part]), part, target.pixels)
            for part in (self.split.train, self.split.test)
        )
        values: list[float] = []
        try:
            for side in () if source == BYTES else (train, test):
                values += check_range(side.images, source)
        except OutOfRangeError:
            return None  # decoding names the images
        fingerprint = cache.fingerprint(*(cache.pixel_hash(target, x.images.tobytes()) for x in (train, test)))
        return self._data(train, test, fingerprint, values=_extremes(values) if source.dtype != BYTES.dtype else None)

    def decoded(self, on_progress: Progress | None) -> ImageData:
        """Return the data set from the cache, decoded if it is not there."""
        entry = cache.load(self.folder) or self._of_open_shape()
        if entry is None:
            target = self._target()
            entry = cache.make(self.folder, lambda unfinished: self._decode(unfinished, target, on_progress))
            if entry.unreadable:  # later commands, which find the images decoded, do not say it again
                log.warning("%s: left out %s", self.collection.where, self._summary(entry.unreadable))
        self._check_unreadable(entry.unreadable)
        parts = (entry.train, entry.test)
        train, test = (self.collection.decoded(part.images, part.positions, entry.pixels) for part in parts)
        return self._data(train, test, entry.fingerprint, len(entry.unreadable), entry.values)

    def _of_open_shape(self) -> cache.CacheEntry | None:
        """Return images of the model's shape and type that were decoded while the settings left their shape open."""
        settings = self.settings
        for names in (["channels"], ["size"], ["size", "channels"]) if self.pixels else ():
            folder = self.folder.with_name(self._key(settings.model_copy(update=dict.fromkeys(names)), self.own))
            if folder != self.folder and (entry := cache.load(folder)) and entry.pixels == self.pixels:
                shape = entry.train.images.shape[1:]
                if (settings.height_width, settings.channels) == (shape[:2], shape[2]):
                    return entry
        return None

    def _data(
        self,
        train: ImageSet,
        test: ImageSet,
        fingerprint: str,
        num_unreadable: int = 0,
        values: tuple[float, float] | None = None,
    ) -> ImageData:
        size = (self.first.height, self.first.width) if self.first else None
        notes, details, pixels = list(self.collection.notes), [], train.pixels
        if values:
            low, high = values
            details.append(f"values {low:g} to {high:g}")
            if self.pixels is None and 0 < high - low < pixels.span / 3:
                notes.append(
                    f"{self.collection.where}: its values, {low:g} to {high:g}, fill less than a third of the range "
                    f"{pixels.low:g} to {pixels.high:g}; set --data.range {as_range(low, high)} for more contrast"
                )
        if size and self.settings.crop == "center" and not self.settings.crop_size:
            own, aspects = f"{size[0]}x{size[1]}", (size[0] / size[1], train.images.shape[1] / train.images.shape[2])
            left = min(aspects) / max(aspects)
            if self.settings.size is None and left < 1:
                details.append(f"centre-cropped from {own} (--data.size {own} keeps all)")
            elif left < _MUCH_CUT:
                details.append(f"centre-cropped from {own} (height x width), {left:.0%} of each is left")
        more = (num_unreadable, self.collection.left_out, tuple(notes), tuple(details), size, self.split.is_single)
        return ImageData(self.collection.name, train, test, fingerprint, *more)

    def _refusal(self, refused: dict[int, OutOfRangeError], values: list[float]) -> UserError:
        """Return the error of images outside of the range, with the range of all images, whose ``values`` are given."""
        where, names = self.collection.where, self.collection.names
        for i, error in refused.items():
            if not error.is_finite:
                return UserError(f"{where}: image {names[i]}: {error}; correct the image")
        some = some_of((names[i] for i in refused), f"of {len(self.split):,} images")
        source = next(iter(refused.values())).source
        outside = f"{some} have values outside of {source.low:g} to {source.high:g}"
        if self.pixels and self.first and self.first.depth != "float32":  # a range of the model's own floats
            return UserError(f"{where}: {outside}; set --data.range none, as their values are integers")
        return UserError(f"{where}: {outside}; set --data.range {as_range(*_extremes(values))}, which holds all values")

    def _target(self) -> Target:
        """Return what all images are prepared to, from their headers where settings and the first leave it open."""
        settings, where = self.settings, self.collection.where
        is_set = settings.size is not None and settings.channels is not None
        is_plain = self.pixels or self.first is None or self.first.depth == BYTES.dtype
        if self.collection.header is not None or (is_set and is_plain):
            return resolve_target(self.first or ImageHeader(1, 1, False), settings, self.pixels)
        headers = set().union(*in_order(read_headers, self.collection.items, chunks(self.positions), settings.workers))
        if not headers:
            unreadable = decode_chunk(self.collection.items, self.positions[:1], Target(1, 1, 1)).unreadable
            first = "".join(f" (image {self.collection.names[i]}: {reason})" for i, reason in unreadable)
            raise UserError(f"{where}: none of its {len(self.split)} images can be read{first}; check the files")
        common = _common_header(where, headers, settings)
        sizes = [replace(common, width=header.width, height=header.height) for header in headers]
        targets = {resolve_target(header, settings, self.pixels) for header in sizes}
        if len(targets) > 1:
            shapes = sorted((target.height, target.width) for target in targets)
            (h0, w0), (h1, w1) = shapes[0], shapes[-1]
            differ = f"images differ in size (height x width from {h0}x{w0} to {h1}x{w1})"
            raise UserError(f"{where}: {differ}; set --data.size")
        return targets.pop()

    def _decode(self, folder: Path, target: Target, on_progress: Progress | None) -> dict[str, Any]:
        """Write both arrays of a cache entry into ``folder`` and return the rest of its index."""
        where, items, num = self.collection.where, self.collection.items, len(self.split)
        image_bytes = math.prod(target.shape) * target.dtype.itemsize
        train_parts, test_parts = chunks(self.split.train, image_bytes), chunks(self.split.test, image_bytes)
        results = in_order(decode_chunk, items, train_parts + test_parts, self.settings.workers, target)
        unreadable: list[tuple[str, str]] = []
        refused: dict[int, OutOfRangeError] = {}
        values: list[float] = []
        done, num_deeper, beat = 0, 0, Beat(f"decoding {where}", num, "images")
        with (
            cache.ArrayFile(folder / "train.npy", target) as train,
            cache.ArrayFile(folder / "test.npy", target) as test,
            contextlib.closing(results),
        ):
            files = [train] * len(train_parts) + [test] * len(test_parts)
            for file, decoded in zip(files, results, strict=True):
                refused |= dict(decoded.refused)
                values += decoded.values
                file.append(decoded.images, decoded.positions)
                if not (self.split.is_single and unreadable):
                    unreadable.extend((self.collection.names[i], reason) for i, reason in decoded.unreadable)
                self._check_unreadable(unreadable)
                num_deeper += decoded.num_deeper
                done = min(num, done + len(decoded.positions) + len(decoded.unreadable) + len(decoded.refused))
                beat(done)
                if on_progress is not None:
                    on_progress(done, num)
        if refused:
            raise self._refusal(refused, values)
        if num_deeper and self.pixels is None:  # else it is the model that has 8 bits
            log.warning("%s: %d images of more than 8 bits are read as 8 bits, as others have 8", where, num_deeper)
        if not (train.positions and test.positions):
            what = f"; {self._summary(unreadable)}" if unreadable else ""
            raise UserError(f"{where}: too few readable images to train on some and hold out others{what}")
        index: dict[str, Any] = {"train": train.positions, "test": test.positions, "bad": unreadable}
        index["fingerprint"] = cache.fingerprint(train.hash, test.hash)
        if target.pixels != BYTES or target.pixels.alpha:
            index["pixels"] = target.pixels.as_json()
        if values and target.pixels.dtype != BYTES.dtype and target.pixels == target.source(target.pixels.dtype):
            index["values"] = _extremes(values)
        return index

    def _check_unreadable(self, unreadable: list[tuple[str, str]]) -> None:
        if len(unreadable) > (most := self.settings.max_unreadable) * len(self.split):
            more = f"more than --data.max-unreadable {most:g} allows, so repair or remove them"
            raise UserError(f"{self.collection.where}: {self._summary(unreadable)}; {more}")

    def _summary(self, unreadable: list[tuple[str, str]]) -> str:
        """Return ``2 unreadable of 90 images: 'a.jpg' (why), ...``; of many the first, and the file of all."""
        some = ", ".join(f"{name!r} ({reason})" for name, reason in unreadable[:3])
        if len(unreadable) > 3:
            write_text(self.listed, "".join(f"{name}\t{reason}\n" for name, reason in sorted(unreadable)))
            some += f", ...; all of them: {self.listed}"
        return f"{len(unreadable)} unreadable of {len(self.split)} images: {some}"

    def _key(self, settings: DataSettings, stored: PixelFormat) -> str:
        """Return a name for the cache entry: a hash of content, split and settings."""
        values: list[Any] = [VERSION, settings.size, settings.channels, settings.crop, settings.crop_size]
        if stored != BYTES or settings.range:  # bytes have been without it
            values += [settings.range, stored.dtype, stored.low, stored.high]
        if any(name.lower().endswith((".tif", ".tiff")) for name in self.collection.names):
            values.append(["tiff", TIFF_VERSION])
        digest = hashlib.sha256(json.dumps([self.collection.items.fingerprint, values]).encode())
        for positions in (self.split.train, self.split.test):
            digest.update(b"part" + positions.astype(np.int64).tobytes())
        return digest.hexdigest()[:32]


def _extremes(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _common_header(where: str, headers: set[ImageHeader], settings: DataSettings) -> ImageHeader:
    """Return the kind of all images: colour if any is, 16 bits if all have them; UserError if they are too unlike."""
    depths, channels = {header.depth for header in headers}, {header.channels for header in headers}
    is_colour = any(header.colour for header in headers)
    if len(channels) > 1 and channels <= {None, 1, 3} and settings.channels in (None, 1, 3):
        channels = {3 if is_colour else 1}
    if len(channels) > 1 or (len(depths) > 1 and ("float32" in depths or settings.range)):
        kinds = sorted({f"{header.depth}, channels: {header.channels or '1, 3 or 4'}" for header in headers})
        raise UserError(f"{where}: images differ ({'; '.join(kinds)}); convert them to one type")
    depth = depths.pop() if len(depths) == 1 else BYTES.dtype
    return ImageHeader(1, 1, is_colour, channels.pop(), depth, any(header.alpha for header in headers))
