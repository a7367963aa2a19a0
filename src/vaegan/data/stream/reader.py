"""Reads samples of shards: fetches those that come next, decodes ahead in worker processes, replaces what fails."""

import contextlib
import errno
import logging
import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, printable, shown
from ...progress import BEAT_SECONDS
from ...settings import DataSettings
from ...settings_io import number_in
from ..dataset import FileItems, ImageSet, Items, Positions
from ..decode_pool import CHUNK, DecodedChunk, chunks, decode_chunk, no_killed_worker, num_cores, start_pool, submit
from ..image_file import Target
from ..shards import Place, list_shards, open_member
from .index import FETCHES, ShardIndex, using
from .order import ShardOrder
from .store import ShardStore, Unavailable, is_remote

log = logging.getLogger("vaegan")
_DROPPED = os.strerror(errno.ENOENT)  # why a shard that was fetched cannot be read
_NAMED = 1000  # unreadable images that are named in the log; all are counted
_FEW = 1000  # images; the share that is unreadable is judged over at least as many
_AHEAD = 2**28  # bytes of decoded images that wait
Fetched = tuple[Path, NDArray[Any]]
"""A shard on this machine, and the rows of its listing to train on."""


@dataclass(frozen=True)
class Pending:
    """Samples that are being decoded."""

    shards: Positions  # (n,)
    samples: Positions  # (n,)
    unreadable: dict[int, str]  # position -> why, where a shard is unavailable
    chunks: list[Future[DecodedChunk]]


class ShardReader:
    """Reads the training images of a stream, ``num_images`` in all; one for a process, closed with `close`."""

    def __init__(self, index: ShardIndex, store: ShardStore, target: Target, settings: DataSettings) -> None:
        self.index, self.target, self._store, self._settings = index, target, store, settings
        self.num_images = int(index.train.sum())
        self.window = settings.shuffle_window
        self.workers = settings.workers or max(1, num_cores() // number_in(os.environ, "LOCAL_WORLD_SIZE", 1, 1))
        self._fetchers = ThreadPoolExecutor(FETCHES)
        self._fetches: dict[int, Future[Fetched]] = {}
        self._sizes: dict[int, int] = {}
        self._now: list[int] = []  # shards of the current window
        self._named: set[tuple[int, int]] = set()
        self._num_read = self._num_unreadable = 0

    def close(self) -> None:
        """Give up what is being fetched and decoded."""
        self._store.closing.set()
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        if "_pool" in vars(self):
            self._pool.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _pool(self) -> Executor:
        return ThreadPoolExecutor(1) if self.workers == 1 else start_pool(self.workers)

    def batches_ahead(self, batch_size: int) -> int:
        """Return how many batches are decoded ahead of use."""
        wanted = 2 + 2 * self.workers * CHUNK // batch_size
        size = batch_size * int(np.prod(self.target.shape)) * self.target.dtype.itemsize
        return max(1, min(wanted, _AHEAD // size))

    def prefetch(self, order: ShardOrder, place: int) -> None:
        """Fetch the shards of the window at a place, and those of the next one as far as there is room."""
        now, following = order.shards_around(place)
        self._now = now.tolist()
        later = order.shards_around(following)[0].tolist()
        needed = {*self._now, *later}
        for shard in [shard for shard, fetch in self._fetches.items() if shard not in needed and fetch.done()]:
            del self._fetches[shard]
            self._sizes.pop(shard, None)
        for shard in self._now:
            self._fetch(shard)
        for shard in later:
            waiting = sum(not fetch.done() for fetch in self._fetches.values())
            expected = sum(self._sizes.values()) + (waiting + 1) * max(self._sizes.values(), default=0)
            if waiting >= FETCHES or expected > self._store.limit:
                return
            self._fetch(shard)

    def is_ready(self, shards: Positions) -> bool:
        """Return whether none of these shards has to be waited for."""
        return all(shard in self._fetches and self._fetches[shard].done() for shard in np.unique(shards).tolist())

    def submit(self, shards: Positions, samples: Positions) -> Pending:
        """Start to decode samples, int64 ``(n,)``; wait for their shards."""
        unreadable: dict[int, str] = {}
        paths: list[Path] = []
        places: list[Place | None] = [None] * len(shards)
        for shard in np.unique(shards).tolist():
            of_shard = np.flatnonzero(shards == shard).tolist()
            try:
                path, images = self._file(shard)
            except Unavailable as error:
                unreadable |= dict.fromkeys(of_shard, str(error))
                continue
            paths.append(path)
            for i in of_shard:
                if samples[i] < len(images):
                    row = images[samples[i]]
                    places[i] = len(paths) - 1, int(row["start"]), int(row["size"])
                else:
                    unreadable[i] = f"the shard has only {len(images)} images to train on"
        if (size := sum(self._sizes.get(shard, 0) for shard in self._now)) > self._store.limit:
            raise UserError(
                f"--data.shuffle-window {self.window} needs {size / 1e9:.3g} GB of shards at a time, more than "
                f"--data.store-size {self._store.limit / 1e9:g}; lower the window or raise the store size"
            )
        items = FileItems(partial(open_member, paths), places, "")
        known = np.array([i for i, place in enumerate(places) if place], np.int64)
        return Pending(shards, samples, unreadable, self._decode(items, known))

    def _decode(self, items: Items, positions: Positions) -> list[Future[DecodedChunk]]:
        return [submit(self._pool, decode_chunk, items, chunk, self.target) for chunk in chunks(positions)]

    def collect(self, pending: Pending) -> tuple[NDArray[Any], dict[int, str]]:
        """Return images ``(n, H, W, C)``, and why some positions have none."""
        images = np.empty((len(pending.shards), *self.target.shape), self.target.dtype)
        unreadable = dict(pending.unreadable)
        for future in pending.chunks:
            chunk = future.result()
            for i, why in chunk.refused:
                name = self._name(int(pending.shards[i]), int(pending.samples[i]))
                raise UserError(f"{name}: {why}; set --data.range LOW HIGH, or correct the image")
            images[chunk.positions] = chunk.images
            unreadable |= dict(chunk.unreadable)
        dropped = np.array([i for i, reason in unreadable.items() if reason == _DROPPED], np.int64)
        if len(dropped):  # another process of this machine made room
            for shard in np.unique(pending.shards[dropped]).tolist():
                self._fetches.pop(shard, None)
            images[dropped], again = self.collect(self.submit(pending.shards[dropped], pending.samples[dropped]))
            unreadable = {i: reason for i, reason in unreadable.items() if reason != _DROPPED}
            unreadable |= {int(dropped[i]): reason for i, reason in again.items()}
        return images, unreadable

    def read(self, pending: Pending, order: ShardOrder, start: int) -> NDArray[Any]:
        """Return images ``(n, H, W, C)`` from place ``start`` of the order on, each unreadable one replaced.

        It is replaced by the next sample in the order that can be read. UserError if too many cannot.
        """
        images, unreadable = self.collect(pending)
        self._num_read += len(images)
        for i, reason in sorted(unreadable.items()):
            self._note(int(pending.shards[i]), int(pending.samples[i]), reason)
            images[i] = self._next_readable(order, start + i)
        return images

    def whole(self, shard: int, split: str = "all") -> tuple[ImageSet, NDArray[np.str_]]:
        """Return the images of a shard that are used ("all", "train" or "test") and can be read, and the split of each.

        Their labels are the numbers in .cls. There may be none; `check_unreadable` says whether too many are missing.
        """

        def read(path: Path, table: NDArray[Any]) -> tuple[ImageSet, NDArray[np.str_]]:
            images = list_shards(path)
            assert isinstance(images.items, FileItems)
            sides = self.index.sides(shard, table)
            starts = np.concatenate([rows["start"] for side, rows in sides.items() if split in (side, "all")])
            places = np.array([place[1] for place in images.items.places])
            wanted = np.flatnonzero(np.isin(places, starts))
            decoded = [future.result() for future in self._decode(images.items, wanted)]
            path.stat()  # FileNotFoundError where it is gone
            for i, why in (one for chunk in decoded for one in chunk.refused):
                raise UserError(f"{shown(url)}/{printable(images.names[i])}: {why}; set --data.range LOW HIGH")
            rows = np.array([i for chunk in decoded for i in chunk.positions], np.int64)
            unreadable = [one for chunk in decoded for one in chunk.unreadable]
            for i, reason in unreadable if len(rows) else unreadable[:1]:
                log.warning("%s/%s: %s; left out", shown(url), printable(images.names[i]), reason)
            if not len(rows):
                log.warning("%s: none of its %d images can be read; left out", shown(url), len(wanted))
            splits = np.where(np.isin(places[rows], sides["test"]["start"]), "test", "train")
            none = np.empty((0, *self.target.shape), self.target.dtype)
            numbers = np.concatenate([none, *(chunk.images for chunk in decoded)])
            return images.decoded(numbers, rows, self.target.pixels), splits

        url = self.index.urls[shard]
        try:
            with no_killed_worker():
                images, splits = using(self._store, url, read, self._pool)
        except Unavailable as error:
            raise UserError(f"{error}; run the same command again when it is available") from error
        names = images.label_names  # numbers, or folders
        numbers = [int(name) if name.removeprefix("-").isdecimal() and len(name) <= 20 else 2**63 for name in names]
        if images.labels is None or not all(-(2**63) <= number < 2**63 for number in numbers):
            return replace(images, labels=None, label_names=()), splits
        return replace(images, labels=np.array(numbers)[images.labels], label_names=()), splits

    def _next_readable(self, order: ShardOrder, place: int) -> NDArray[Any]:
        for start in range(place + 1, place + 1 + self.num_images, _FEW):
            for shard, sample in zip(*order.at(start, _FEW), strict=True):
                fetch = self._fetches.get(int(shard))
                if fetch is None or not fetch.done() or fetch.exception() is None:
                    images, unreadable = self.collect(self.submit(shard[None], sample[None]))
                    if not unreadable:
                        image: NDArray[Any] = images[0]
                        return image
        raise self._none_readable()

    def check_unreadable(self, num: int, of: int) -> None:
        """Raise UserError if too many, or all, of ``of`` images to encode cannot be read."""
        if num == of:
            raise self._none_readable()
        if num > self._settings.max_unreadable * of:
            raise self._too_many(f"{num} of {of} images cannot be read", "repair the shards and choose a new --out")

    def _none_readable(self) -> UserError:
        return UserError(f"{shown(self._settings.source)}: none of its images can be read; check the shards")

    def _too_many(self, what: str, remedy: str) -> UserError:
        allowed = f"this is more than --data.max-unreadable {self._settings.max_unreadable:g} allows"
        return UserError(f"{shown(self._settings.source)}: {what}; {allowed}, so {remedy} or raise it")

    def _note(self, shard: int, sample: int, reason: str) -> None:
        """Count and name an unreadable image; UserError if they are too many."""
        self._num_unreadable += 1
        if (shard, sample) not in self._named and len(self._named) < _NAMED:
            self._named.add((shard, sample))
            log.warning("%s: %s; the next image replaces it", self._name(shard, sample), reason)
        of = max(self._num_read, min(self.num_images, _FEW))
        if self._num_unreadable > self._settings.max_unreadable * of:
            latest = f"most recently {self._name(shard, sample)} ({reason})"
            what = f"{self._num_unreadable} of {self._num_read} images cannot be read, {latest}"
            raise self._too_many(what, "repair the shards")

    def _name(self, shard: int, sample: int) -> str:
        """Return how messages call an image."""
        name, fetch = f"image {sample}", self._fetches.get(shard)
        with contextlib.suppress(Exception):  # of a shard that is unavailable, or without such an image
            assert fetch is not None
            name = fetch.result(0)[1]["name"][sample].decode(errors="replace")
        return f"{shown(self.index.urls[shard])}/{printable(name)}"

    def _fetch(self, shard: int) -> Future[Fetched]:
        if shard not in self._fetches:
            self._fetches[shard] = self._fetchers.submit(self._get, shard)
        return self._fetches[shard]

    def _get(self, shard: int) -> Fetched:
        url = self.index.urls[shard]

        def read(path: Path, table: NDArray[Any]) -> tuple[Path, NDArray[Any], int]:
            return path, self.index.sides(shard, table)["train"], path.stat().st_size

        try:
            path, images, size = using(self._store, url, read, self._pool)
        except Unavailable as error:
            log.warning("%s; other images replace those of this shard", error)
            raise
        self._sizes[shard] = size if is_remote(url) else 0
        return path, images

    def _file(self, shard: int) -> Fetched:
        fetch = self._fetch(shard)
        while True:
            try:
                return fetch.result(BEAT_SECONDS)
            except Late:
                log.info("waiting for %s", shown(self.index.urls[shard]))
