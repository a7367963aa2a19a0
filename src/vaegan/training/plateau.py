"""Rates that fall where nothing improves: each part by its own held-out loss.

At each snapshot a part whose held-out total has not fallen below its lowest for ``patience`` snapshots gets its
learning rate multiplied by ``factor``, down to ``least`` times its first rate. The wait then starts anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class Plateau:
    """Factors on the learning rates, one per part, and what decides them.

    Args:
        patience: snapshots without improvement after which a rate falls.
        factor: what it is multiplied by, in (0, 1).
        least: lowest factor on the first rate.
    """

    def __init__(self, patience: int, factor: float, least: float = 0.0) -> None:
        self.patience, self.factor, self.least = patience, factor, least
        self._factors: dict[str, float] = {}
        self._best: dict[str, float] = {}
        self._waited: dict[str, int] = {}

    def of(self, part: str) -> float:
        """The factor on a part's rate now."""
        return self._factors.get(part, 1.0)

    def look(self, totals: Mapping[str, float]) -> None:
        """Take in the held-out totals of a snapshot, by part."""
        for part, total in totals.items():
            if total < self._best.get(part, math.inf):
                self._best[part], self._waited[part] = total, 0
                continue
            self._waited[part] = self._waited.get(part, 0) + 1
            if self._waited[part] >= self.patience:
                self._factors[part] = max(self.least, self.of(part) * self.factor)
                self._waited[part] = 0

    def state(self) -> dict[str, Any]:
        """All that decides what comes next, as plain data; a copy."""
        return {"factors": dict(self._factors), "best": dict(self._best), "waited": dict(self._waited)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back, or on, to a `state`."""
        self._factors, self._best = dict(state["factors"]), dict(state["best"])
        self._waited = dict(state["waited"])
