"""How far slow work is, in lines of the log, and times in words."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

log = logging.getLogger("vaegan")
_Step = TypeVar("_Step")

Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Passes on the steps of slow work and shows how far it is: steps, how many, what is done."""

BEAT_SECONDS = 30.0
"""Slow work logs a line at least this often, where no progress bar shows it."""


def unwatched(steps: Iterable[_Step], num: int, what: str) -> Iterable[_Step]:
    """Pass on the steps and show nothing."""
    return steps


class Beat:
    """Logs how far slow work is at least every `BEAT_SECONDS`: how much of ``total``, how fast, how long still."""

    def __init__(self, what: str, total: int, unit: str, start: int = 0) -> None:
        self._what, self._total, self._unit, self._start = what, total, unit, start
        self._begin = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        """Log that so much is done, if the ``last`` line was long ago."""
        now = time.monotonic()
        if now - self.last < BEAT_SECONDS:
            return
        self.last, speed = now, max(done - self._start, 1) / (now - self._begin)
        per_second = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
        share = f"{self._what}: {done:,} of {self._total:,} {self._unit}"
        log.info("%s, %s %s/s, %s left", share, per_second, self._unit, duration((self._total - done) / speed))


def paced(steps: Iterable[_Step], num: int, what: str) -> Iterator[_Step]:
    """Yield the steps, ``num`` in all; log how far slow work on them is."""
    beat = Beat(what, num, "steps")
    for done, step in enumerate(steps, 1):
        yield step
        beat(done)


def paced_lines() -> Callable[[str], None]:
    """Return a function that logs a line if the one before was `BEAT_SECONDS` ago."""
    last = time.monotonic()

    def write(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT_SECONDS:
            last = time.monotonic()
            log.info("%s", line)

    return write


def duration(seconds: float) -> str:
    """Return a time as text: 0.35 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
