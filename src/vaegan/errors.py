"""Errors of the user, in one line: what is wrong, where, and how to fix it; and that training was stopped."""

import difflib
import os
import re
import signal
import unicodedata
from collections.abc import Iterable
from typing import Any


class UserError(ValueError):
    """An error that the user can fix, in one line; the commands print it and exit with code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal (its ``number``), with everything saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code of a process that a signal ended, as shells have it: 128 + its number."""
        return 128 + self.number


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: of Python, of NumPy, of a library that is loaded, or of torch on any device."""
    words, said = str(error).lower(), ("allocate memory", "out of memory", "failed to map segment")
    is_of_kind = isinstance(error, RuntimeError | ImportError | OSError)
    return isinstance(error, MemoryError) or (is_of_kind and any(each in words for each in said))


def nearest_option(name: str, options: Iterable[str]) -> str:
    """Return `nearest` for a dotted name: that of the most similar last part, also in another group."""
    by_part = [(option.removeprefix("--").rpartition(".")[2], option) for option in options]
    part = name.removeprefix("--").rpartition(".")[2]
    close = difflib.get_close_matches(part, [each for each, _ in by_part], n=1, cutoff=0.6)
    return nearest(name, [option for each, option in by_part if each in close], 0)


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``" (perhaps you meant 'x')"`` for the choice most similar to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=cutoff)
    return f" (perhaps you meant '{matches[0]}')" if matches else ""


def one_of(what: str, name: str, choices: Iterable[str]) -> str:
    """Return ``name`` if it is among ``choices``, else raise `UserError` with the nearest of them."""
    choices = tuple(choices)
    if name not in choices:
        raise UserError(f"{what} '{name}' is unknown{nearest(name, choices)}; choose among {', '.join(choices)}")
    return name


def check_shapes(made: Any, real: Any) -> None:
    """Raise UserError unless two tensors have one shape: a difference of others would be computed, and wrong."""
    if made.shape != real.shape:
        raise UserError(f"{tuple(made.shape)} cannot be compared with {tuple(real.shape)}: shapes must be equal")


def data_hint(word: str) -> str:
    """Return how to name images, where a misplaced word is a folder or a file of images; else ''."""
    is_file = os.path.isfile(word) and word.lower().endswith((".zip", ".tar", ".npy", ".npz"))  # noqa: PTH113, any text
    return f"; to use these images, write --data {word}" if is_file or os.path.isdir(word) else ""  # noqa: PTH112


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def offered(word: str, choices: Iterable[str]) -> str:
    """Return `nearest` and the choices, of many the first 20: ``" (perhaps you meant 'x'); available: x, y"``."""
    names = list(choices)
    first = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"{nearest(word, names)}; available: {first}"


def shown(url: str) -> str:
    """Return an address or path without what may be a credential."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if mark else url


def printable(text: str) -> str:
    """Return a name as it can be listed: line breaks, control characters and lone surrogates are escaped."""
    if text.isprintable():
        return text
    is_plain = [c.isprintable() or unicodedata.category(c) == "Zs" for c in text]  # Zs: blanks of all widths
    return "".join(c if plain else c.encode("unicode_escape").decode() for c, plain in zip(text, is_plain, strict=True))
