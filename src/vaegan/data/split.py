"""A held-out split that never moves: an image is held out if the hash of its name falls below a share.

``u(name) = sha256(name) / 2^256`` is uniform in [0, 1) and depends on nothing else, so adding or removing files moves
no other file across, and a .zip splits like its unpacked folder. Both parts are ordered by u, which is a fixed
shuffle: the first few images of either are a fair draw, not those of the first class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError


def hashed_split(names: Sequence[str], held_out: float, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split by a hash of the names.

    Args:
        names: of N images.
        held_out: share to hold out, in (0, 1).
        where: path or source, for the message.

    Returns:
        Positions to train on and positions held out; neither is empty, both are ordered by their hash.

    Raises:
        UserError: if N < 2.
    """
    if len(names) < 2:
        raise UserError(f"{where}: holds one image only; at least one to train on and one to hold out are needed")
    u = np.array([_uniform(name) for name in names])
    order = np.argsort(u, kind="stable")
    num_test = int(np.clip((u < held_out).sum(), 1, len(u) - 1))
    return order[num_test:], order[:num_test]


def _uniform(name: str) -> float:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
