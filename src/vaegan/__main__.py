"""The command ``vaegan``, also as ``python -m vaegan``; torchrun starts it so in several processes."""

import atexit
import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Run the command and return its exit code; Ctrl-C ends it with one line, also during imports and at the end."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not if ignored, as in the background
    if is_heard:
        signal.signal(signal.SIGINT, _leave)
    from .cli import main as run

    try:
        if is_heard:
            signal.signal(signal.SIGINT, _interrupt)
        return run()
    except KeyboardInterrupt:  # outside of what `run` catches
        _leave()
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, _leave)
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # else it kills Python, which tidies up


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import, which may turn that into any other error, leave at once."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> NoReturn:
    os.write(2, b"vaegan: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
