"""Which images are trained on and which are held out.

A source without a split of its own holds out an image if the hash of its name falls below a share: ``u(name) =
sha256(name) / 2^256`` is uniform in [0, 1) and depends on nothing else. So adding or removing files moves no other file
across, and a .zip splits like its unpacked folder. Both sides are ordered by u, a fixed shuffle: the first few images
of either are a fair sample, not those of the first class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Positions in a collection: of images to train on, int64 ``(N,)``, and of held-out images, int64 ``(M,)``."""

    train: Positions
    test: Positions

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    def limited(self, num: int | None) -> Split:
        """Return the split with the first ``num`` images to train on, all if None."""
        return replace(self, train=self.train[:num])


def hashed_split(names: Sequence[str], held_out: float, where: str) -> Split:
    """Split N >= 2 images by a hash of their names; neither side is empty, both are ordered by their hash."""
    if len(names) < 2:
        raise UserError(f"{where}: has only one image; at least one to train on and one to hold out are needed")
    u = np.array([_uniform(name) for name in names])
    order = np.argsort(u, kind="stable")
    num_test = int(np.clip((u < held_out).sum(), 1, len(u) - 1))
    return Split(order[num_test:], order[:num_test])


def _uniform(name: str) -> float:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
