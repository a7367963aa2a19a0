"""Ctrl-C and SIGTERM: finish the step, save, say how to go on. A second Ctrl-C stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# torchrun passes a signal on to processes that a terminal's Ctrl-C has reached already; within so many seconds it is
# the same one.
ECHO_SECONDS = 1.0


class Stopped(KeyboardInterrupt):
    """A run was asked to stop and did, with everything saved.

    Args:
        number: of the signal that asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells say of a process that a signal ended: 128 + its number."""
        return 128 + self.number


class StopRequest:
    """Whether somebody asked to stop.

    Attributes:
        number: of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._when = 0.0

    def __bool__(self) -> bool:
        return self.number is not None

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Take note of a signal.

        Raises:
            KeyboardInterrupt: if it is a Ctrl-C again.
        """
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
