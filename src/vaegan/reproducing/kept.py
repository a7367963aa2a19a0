"""Results that are computed once: JSON that says what it was computed of, and is computed anew where that differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..files import write_json


def kept(path: Path, of: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
    """Return what the file holds if that is of just this, else compute it and write the file.

    Args:
        path: of the file.
        of: all that decides the result, JSON-able.
        compute: returns the result, JSON-able.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and found.get("of") == json.loads(json.dumps(of)):
        return found["result"]
    result = compute()
    write_json(path, {"of": of, "result": result})
    return result
