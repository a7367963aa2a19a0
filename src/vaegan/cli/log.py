"""What the commands say: progress lines, warnings, mistakes; for a person on a terminal or for a log file.

Progress goes to standard output, warnings and mistakes to standard error. Of several processes (torchrun) only
the first reports progress; a mistake names the process if it is not the first.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO


def is_first_process() -> bool:
    """Return whether this is the process that prints."""
    return os.environ.get("RANK", "0") == "0"


def set_up() -> None:
    """Send the lines of ``logging.getLogger("vaegan")`` to the streams as they are now."""
    logger = logging.getLogger("vaegan")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    progress = _progress_handler()
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    logger.addHandler(progress)
    warnings = _Lines(sys.stderr)
    warnings.setLevel(logging.WARNING)
    warnings.setFormatter(logging.Formatter("vaegan: %(message)s"))
    logger.addHandler(warnings)


class _Lines(logging.StreamHandler[TextIO]):
    """Plain lines; work goes on if nobody reads them any more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name is logging's
        """Ignore a closed pipe, report anything else."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


def _progress_handler() -> logging.Handler:
    """Return a handler that rich draws on a terminal, above any progress bar, and that writes lines elsewhere."""
    if not sys.stdout.isatty():
        return _Lines(sys.stdout)
    import rich
    from rich.logging import RichHandler

    return RichHandler(console=rich.get_console(), show_time=False, show_level=False, show_path=False)


def complain(who: str, message: str) -> None:
    """Tell a mistake in one line of standard error.

    Args:
        who: the command, such as ``vaegan train``.
        message: what, where, what to do.
    """
    process = "" if is_first_process() else f" (process {os.environ['RANK']})"
    line = f"{who}{process}: {' '.join(message.split())}"
    # In one write: lines of several processes do not run into each other.
    sys.stderr.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
