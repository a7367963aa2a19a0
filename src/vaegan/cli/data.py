"""``vaegan data``: list the image sources."""

from __future__ import annotations

from ..config import Settings
from . import console
from .console import print_table


class Options(Settings):
    """List the image sources for `--data`; besides these, any folder, .zip, .tar, .npy or .npz file of images."""


def run(options: Options) -> None:
    """Print the sources, one line each."""
    from ..data import SOURCES

    rows = [(name, _size(source.image_shape), source.description) for name, source in SOURCES.items()]
    rows.append(("PATH", "any", "a folder of images (class subfolders become labels), .zip, .tar shards, .npy or .npz"))
    rows.append(("hf:NAME", "any", "a data set of the Hugging Face hub; needs the extra 'hf'"))
    if console.is_first_process():
        print_table(("source", "size", "what"), rows)


def _size(image_shape: tuple[int, int, int]) -> str:
    channels, height, width = image_shape
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'}"
