"""Errors of the user, in one line: what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error that the user can fix, in one line; the commands print it and exit with code 2."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``" (perhaps you meant 'x')"`` for the choice most similar to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (perhaps you meant '{matches[0]}')" if matches else ""


def printable(text: str) -> str:
    """Return a name as it can be listed: line breaks, control characters and lone surrogates are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
