"""What the user did wrong, in one line: what, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's, told in one line; the commands print it and leave with exit code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (perhaps you meant 'x')"`` for the known word nearest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (perhaps you meant '{matches[0]}')" if matches else ""
