"""Output of commands that make more than one file: a folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from .pictures import PictureOptions


def folder_of(options: PictureOptions, name: str) -> Path:
    """Return the folder for the results; what lies there under the same names may be replaced.

    Args:
        options: of the command.
        name: of the folder in ``pictures/`` of the run if the user named none.

    Raises:
        UserError: if the user named something that is there already and did not allow to replace it, or a file.
    """
    if options.out is None:
        return (Path(options.run) if Path(options.run).is_dir() else Path()) / "pictures" / name
    out = options.out
    if out.is_file() or out.suffix:
        raise UserError(f"--out {out}: this command makes several files; name a folder")
    if out.is_dir() and any(out.iterdir()) and not options.overwrite:
        raise UserError(f"{out} exists; choose another name or allow it to be replaced (--overwrite)")
    return out
