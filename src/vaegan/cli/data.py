"""``vaegan data``: where images can come from."""

from __future__ import annotations

from ..config import Settings
from . import log
from .table import print_table


class Options(Settings):
    """List the sources of images that `--data` knows; any folder, .zip, .npy or .npz of images is one as well."""


def run(options: Options) -> None:
    """Print the sources, one line each."""
    from ..data import SOURCES

    rows = [(name, source.summary) for name, source in SOURCES.items()]
    rows.append(("PATH", "a folder of images (class subfolders become labels), .zip, .npy or .npz"))
    if log.is_first_process():
        print_table(("source", "what"), rows)
