"""The order of a stream: which sample of which shard comes after so many images, without a list of all images.

An epoch is one permutation of the shards, laid end to end and cut into windows of W samples; each window is permuted.
So a window needs few shards at a time, and memory holds some numbers per shard and per window, none per image. The
element at a place is a pure function of the seed and the images seen, like `vaegan.data.batches`.
"""

from functools import lru_cache

import numpy as np

from ..dataset import Positions


class ShardOrder:
    """An endless order of the samples of S shards, ``counts`` of each; with a window of 1 each shard stays in order."""

    def __init__(self, counts: Positions, seed: int, window: int) -> None:
        self.counts, self.seed, self.window = counts, seed, window
        self.num_images = int(counts.sum())
        assert self.num_images > 0
        self._epoch = lru_cache(2)(self._draw_epoch)
        self._window = lru_cache(4)(self._draw_window)

    def at(self, start: int, num: int) -> tuple[Positions, Positions]:
        """Return the shards and the samples in them of ``num`` places from ``start`` on, int64 ``(num,)`` each."""
        shards, samples, stop = [], [], start + num
        while start < stop:
            epoch, offset = divmod(start, self.num_images)
            number, skipped = divmod(offset, self.window)
            within = self._window(epoch, number)[skipped : skipped + stop - start]
            permuted, ends = self._epoch(epoch)
            place = np.searchsorted(ends, within, side="right")
            shards.append(permuted[place])
            samples.append(within - ends[place] + self.counts[permuted[place]])
            start += len(within)
        return np.concatenate(shards), np.concatenate(samples)

    def shards_around(self, place: int) -> tuple[Positions, int]:
        """Return the shards of the window that a place is in, in their order, and the place where the next begins."""
        epoch, offset = divmod(place, self.num_images)
        first = offset // self.window * self.window
        last = min(first + self.window, self.num_images)
        permuted, ends = self._epoch(epoch)
        begin, end = np.searchsorted(ends, [first, last - 1], side="right")
        shards = permuted[begin : end + 1]
        return shards[self.counts[shards] > 0], epoch * self.num_images + last

    def _draw_epoch(self, epoch: int) -> tuple[Positions, Positions]:
        """Return the shards in the order of an epoch, and where each ends in it."""
        permuted = np.random.default_rng((self.seed, epoch, 3)).permutation(len(self.counts))
        return permuted, np.cumsum(self.counts[permuted])

    def _draw_window(self, epoch: int, number: int) -> Positions:
        """Return the places in the epoch's shards, end to end, that a window visits in turn."""
        first = number * self.window
        size = min(self.window, self.num_images - first)
        return first + np.random.default_rng((self.seed, epoch, 4, number)).permutation(size)
