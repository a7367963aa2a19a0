"""``vaegan data``: list the image sources."""

from .console import show, show_table
from .options import CommandOptions


class Options(CommandOptions):
    """List the image sources for `--data`; besides these, any folder, .zip, .tar, .npy or .npz file of images."""


def run(options: Options) -> None:
    """Print the sources, one line each."""
    from ..data import SOURCES

    rows = []
    for name, source in SOURCES.items():
        channels, height, width = source.image_shape
        rows.append((name, f"{height}x{width} {'grey' if channels == 1 else 'colour'}", source.description))
    rows.append(("PATH", "any", "a folder of images (class subfolders become labels), .zip, .tar shards, .npy or .npz"))
    rows.append(("hf:NAME", "any", "a data set of the Hugging Face hub; needs the extra 'hf'"))
    show_table(("source", "size", "what"), rows)
    show("\n`vaegan train --data PATH` reports what it finds there before it trains: images, labels, what is left out.")
