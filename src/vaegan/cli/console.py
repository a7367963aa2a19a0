"""Output of the commands: progress lines, warnings, errors, tables; for a terminal or a log file.

Progress goes to standard output, warnings and errors to standard error. Of several processes (torchrun) only the first
reports progress; an error names the process if it is not the first. Tables are drawn by rich on a terminal and are
plain aligned columns elsewhere, so that grep and cut work on them. Any terminal will do: see `prepare_streams`.
"""

import codecs
import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from ..progress import log

_ASCII = {"−": "-", "–": "-", "±": "+-", "×": "x", "“": '"', "”": '"', "é": "e"}
_FORMAT = logging.Formatter("vaegan: %(message)s")


def is_first_process() -> bool:
    """Return whether this is the process that prints."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def ensure_utf8() -> None:
    """Start again in Python's UTF-8 mode if names of files and options would be read in another encoding.

    Other libraries fail at such names. What is printed stays in the encoding of the terminal.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.executable and "utf8" not in sys._xoptions:
        os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", "ascii"))
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def prepare_streams() -> None:
    """Make standard streams and COLUMNS usable, whatever the terminal.

    A closed stream leads nowhere, also for child processes and files opened later; what an encoding lacks is written in
    ASCII; a width that is none, or beyond reason, is ignored.
    """
    codecs.register_error("vaegan", _in_ascii)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, unless the stream's is taken
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, "w" if number else "r"))
        elif number and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="vaegan")
    if not re.fullmatch("[2-9][0-9]|[1-9][0-9]{2}", os.environ.get("COLUMNS", "80")):
        del os.environ["COLUMNS"]


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks: '-' for a minus sign, an escape for other letters."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


def prefix_warnings() -> None:
    """Print warnings and log lines of other libraries like ours: with the prefix, a warning in one line."""
    warnings.showwarning = lambda message, *_: log.warning("%s", " ".join(str(message).split()))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_FORMAT)


def set_up() -> None:
    """Send the lines of ``logging.getLogger("vaegan")`` to the streams as they are now."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
    log.propagate = False
    log.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    progress = _progress_handler()
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    log.addHandler(progress)
    errors = _Lines(sys.stderr)
    errors.setLevel(logging.WARNING)
    errors.setFormatter(_FORMAT)
    log.addHandler(errors)


class _Lines(logging.StreamHandler[TextIO]):
    """Plain lines; a closed pipe or a full disk does not stop the work."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name is logging's
        """Ignore a stream that takes no more, report anything else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _progress_handler() -> logging.Handler:
    """Return a handler that rich draws on a terminal, above any progress bar, and that writes lines elsewhere."""
    if not sys.stdout.isatty():
        return _Lines(sys.stdout)
    import rich
    from rich.logging import RichHandler

    return RichHandler(console=rich.get_console(), show_time=False, show_level=False, show_path=False)


def complain(who: str, message: str) -> None:
    """Print an error of a command as one line to standard error."""
    process = "" if is_first_process() else f" (process {os.environ['RANK']})"
    with contextlib.suppress(OSError):  # a closed pipe
        # In one write: lines of several processes do not run into each other.
        sys.stderr.write(f"{who}{process}: {' '.join(message.split())}\n")


def show(text: str, end: str = "\n") -> None:
    """Print a text, if this is the process that prints."""
    if is_first_process():
        print(text, end=end)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, likewise; columns whose cells are all numbers are aligned right."""
    right = [all(row[i].replace(",", "").isdigit() for row in rows) for i in range(len(head))]
    if sys.stdout.isatty() and is_first_process():
        _show_rich(head, rows, right)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        show("  ".join(cells).rstrip())


def _show_rich(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for i, (name, to_right) in enumerate(zip(head, right, strict=True)):
        table.add_column(name, justify="right" if to_right else "left", style="cyan" if i == 0 else "", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
