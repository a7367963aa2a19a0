"""Training in a terminal: a progress bar or plain lines, and an orderly stop on Ctrl-C.

In a terminal a bar shows images/s, time left and losses; elsewhere each snapshot is a line of the log, and between
distant ones there are lines with images/s and time left. Ctrl-C or SIGTERM ends the run after the current step, with
everything saved; a second Ctrl-C ends it at once.
"""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ..progress import Beat
from ..settings import PHASES

log = logging.getLogger("vaegan")

ECHO_SECONDS = 1.0
"""A second signal within this time is the first one: torchrun repeats a terminal's Ctrl-C to its processes."""


class StopRequest:
    """Records a signal to stop: ``number`` is that of the signal, or None."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._when = 0.0

    def __bool__(self) -> bool:
        return self.number is not None

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Note a signal; KeyboardInterrupt at a second Ctrl-C."""
        now = time.monotonic()
        if self.number is None:
            self.number, self._when = number, now
        elif number == signal.SIGINT and now - self._when > ECHO_SECONDS:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Collect SIGINT and SIGTERM in a `StopRequest` instead of dying; only in the main thread."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """Shows the progress of a run, in rich's progress bar (and its task), or as plain lines by a ``beat``."""

    def __init__(self, bar: Any = None, task: Any = None, beat: Beat | None = None) -> None:
        self._bar, self._task, self._beat, self._warnings = bar, task, beat, ""

    def step(self, images: int) -> None:
        """Show the number of images seen."""
        if self._bar is not None:
            self._bar.update(self._task, completed=images)
        if self._beat is not None:
            self._beat(images)

    def losses(self, record: dict[str, Any]) -> None:
        """Show the losses of a record next to the bar."""
        if self._bar is not None:
            speed = f"{_phase(record)}{record['images_per_second']:,.0f} images/s  "
            self._bar.update(self._task, losses=speed + self._warnings + describe(record["losses"]))

    def warnings(self, words: str) -> None:
        """Show these warnings in front of the losses from now on; empty for none."""
        self._warnings = f"! {words}  " if words else ""

    def line(self, record: dict[str, Any], total: int, scores: dict[str, float] | None = None) -> None:
        """Log one line for a snapshot: the last record of split 'train', of ``total`` images, and scores if any."""
        done = f"{record['images']:,} of {total:,} images, epoch {record['epoch']:.4g}"
        score = f"; score {scores['score']:.4g}" if scores else ""
        speed = f"{_phase(record)}{record['images_per_second']:,.0f} images/s"
        log.info("%s, %s: %s%s", done, speed, describe(record["losses"]), score)
        if self._beat is not None:
            self._beat.last = time.monotonic()


def _phase(record: dict[str, Any]) -> str:
    """What is trained, in a run of several phases."""
    return f"{PHASES[record['phase']].title}, " if "phase" in record else ""


def describe(losses: dict[str, dict[str, float]]) -> str:
    """The losses of all parts in a few words, such as ``enc kl 21.3 llike 40.1 | dis real 0.41``."""
    parts = []
    for part, terms in losses.items():
        named = " ".join(f"{name} {value:.4g}" for name, value in terms.items() if name != "total")
        parts.append(f"{part[:3]} {named}")
    return " | ".join(parts)


@contextlib.contextmanager
def show_progress(start: int, total: int, *, speaks: bool) -> Iterator[Progress]:
    """Show progress from ``start`` to ``total`` images: a bar on a terminal, in the process that ``speaks``."""
    if not (speaks and sys.stdout.isatty()):
        yield Progress(beat=Beat("training", total, "images", start) if speaks else None)
        return
    import rich
    from rich import progress

    columns = (
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("<"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[losses]}"),
    )
    with progress.Progress(*columns, console=rich.get_console(), transient=True) as bar:
        task = bar.add_task("train", total=total, completed=start, losses="")
        yield Progress(bar, task)
