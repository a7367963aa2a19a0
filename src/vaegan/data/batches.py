"""Batches addressed by images seen: an endless stream without state, so resuming needs one number.

The stream is one permutation of all images after another, that of epoch e drawn from
``default_rng((seed, e))``. The batch at ``images_seen`` is the next B indices from there on, which may
cross from one epoch into the next; rank r of R takes the r-th of R equal pieces. Flips are drawn for the whole
batch from ``default_rng((seed, images_seen, 1))``, so neither images nor flips depend on the number of
processes.
"""

import mmap
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UserError
from ..pixels import Numbers
from .dataset import ImageSet
from .decode_pool import no_killed_worker
from .stream.order import ShardOrder
from .stream.reader import Pending, ShardReader

_PIECE = 2**20  # bytes read from a map before its pages are released; each row may load far more than itself


class Batches:
    """The endless stream of training batches.

    Args:
        images: N images; N may be smaller than the batch.
        batch_size: B, over all processes.
        seed: of the order and the flips.
        rank: of this process.
        world_size: number of processes.
        flip: mirror each image left to right with probability one half.

    Attributes:
        share: slice of the batch that is this rank's.
        pixels: type and range of the numbers.

    Raises:
        UserError: if the batch is empty or does not divide evenly.
    """

    def __init__(
        self, images: ImageSet, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1, flip: bool = False
    ) -> None:
        self.share = share_of(batch_size, rank, world_size)
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.pixels = images.pixels
        self._images = np.asarray(images.images)  # a plain view: indexing np.memmap is slower
        self._pages = _pages_of(images.images)
        self._order = lru_cache(2)(self._draw_order)  # of two epochs, as a batch may cross from one into the next

    def indices(self, images_seen: int) -> NDArray[np.int64]:
        """Return the indices of the whole batch at ``images_seen``, int64 ``(B,)``."""
        num_images = len(self._images)
        pieces = []
        start, stop = images_seen, images_seen + self.batch_size
        while start < stop:
            epoch, offset = divmod(start, num_images)
            pieces.append(self._order(epoch)[offset : offset + stop - start])
            start += len(pieces[-1])
        return np.concatenate(pieces)

    def at(self, images_seen: int) -> torch.Tensor:
        """Return this rank's share of the batch at ``images_seen``, numbers ``(B / world_size, H, W, C)``."""
        batch = self._read(self.indices(images_seen)[self.share])
        return torch.from_numpy(_flipped(self, batch, images_seen))

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        """Return the permutation of an epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(len(self._images))

    def _read(self, indices: NDArray[np.int64]) -> Numbers:
        """Copy images; pages of a map are released piece by piece, and stay in the system's cache."""
        if self._pages is None:
            return self._images.take(indices, axis=0)
        batch = np.empty((len(indices), *self._images.shape[1:]), self._images.dtype)
        step = max(1, _PIECE // self._images[0].nbytes)
        for i in range(0, len(indices), step):
            batch[i : i + step] = self._images.take(indices[i : i + step], axis=0)
            self._pages.madvise(mmap.MADV_DONTNEED)
        return batch


class StreamBatches:
    """The same of images that are streamed from shards, in the order of `ShardOrder`; some batches are read ahead."""

    def __init__(
        self, reader: ShardReader, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1, flip: bool = False
    ) -> None:
        self.share = share_of(batch_size, rank, world_size)
        self.batch_size, self.seed, self.flip, self._reader = batch_size, seed, flip, reader
        self.pixels, self._order = reader.target.pixels, ShardOrder(reader.index.train, seed, reader.window)
        self._ahead = reader.batches_ahead(batch_size // world_size)
        self._pending: dict[int, Pending] = {}  # by images seen

    def at(self, images_seen: int) -> torch.Tensor:
        """Return this rank's share of the batch at ``images_seen``, as `Batches.at`."""
        if images_seen not in self._pending:
            self._pending.clear()
        with no_killed_worker():
            batch = self._read(images_seen)
        return torch.from_numpy(_flipped(self, batch, images_seen))

    def _read(self, images_seen: int) -> NDArray[Any]:
        self._reader.prefetch(self._order, images_seen)
        num = self.share.stop - self.share.start
        for seen in range(images_seen, images_seen + (self._ahead + 1) * self.batch_size, self.batch_size):
            if seen not in self._pending:
                shards, samples = self._order.at(seen + self.share.start, num)
                if seen > images_seen and not self._reader.is_ready(shards):
                    break
                self._pending[seen] = self._reader.submit(shards, samples)
        return self._reader.read(self._pending.pop(images_seen), self._order, images_seen + self.share.start)


def share_of(batch_size: int, rank: int, world_size: int) -> slice:
    """Return which images of a batch are a rank's; UserError if the batch is empty or does not divide evenly."""
    if batch_size < 1:
        raise UserError(f"a batch needs at least 1 image, not {batch_size}")
    if batch_size % world_size:
        raise UserError(
            f"--train.batch-size {batch_size} cannot be split evenly over {world_size} processes; "
            f"make it a multiple of {world_size}"
        )
    share = batch_size // world_size
    return slice(rank * share, (rank + 1) * share)


def _flipped(batches: Batches | StreamBatches, batch: NDArray[Any], images_seen: int) -> NDArray[Any]:
    """Mirror those images of a rank's share that the draw for the whole batch says, if images are flipped."""
    if batches.flip:
        draws = np.random.default_rng((batches.seed, images_seen, 1)).random(batches.batch_size)
        flipped = draws[batches.share] < 0.5
        batch[flipped] = batch[flipped, :, ::-1]
    return batch


def _pages_of(images: Numbers) -> mmap.mmap | None:
    """Return the map below a read-only `np.memmap`, where the system can be advised about it."""
    pages = getattr(images, "_mmap", None)
    readable = isinstance(images, np.memmap) and images.mode == "r"
    return pages if readable and isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None
