"""Where images come from: named sources, and paths. A new source is one file and one entry in `SOURCES`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError, nearest
from .arrays import list_array, open_rows
from .dataset import Collection, ImageData, Options, Progress
from .decoded import Positions, prepare_data
from .folder import list_folder, list_zip
from .hf_datasets import HUB, open_hub
from .named.binary_records import CIFAR10, STL10
from .named.celeba import open_celeba
from .named.digits import open_digits
from .named.lfw import open_lfw
from .named.mnist import FASHION_MNIST, MNIST
from .shards import is_pattern, list_shards
from .split import hashed_split
from .synthetic.faces import FACES_SOURCE
from .synthetic.shapes import SHAPES_SOURCE

_Open = Callable[[str, Collection, tuple[Positions, Positions], Options], ImageData]


@dataclass(frozen=True)
class Source:
    """A named source.

    Attributes:
        name: what the user calls it.
        description: one line.
        image_shape: ``(C, H, W)`` of its images.
        needs_root: whether it reads files from ``root``.
        open: makes the data set.
    """

    name: str
    description: str
    image_shape: tuple[int, int, int]
    needs_root: bool
    open: Callable[[Options], ImageData]


_ALL = (
    Source(
        "digits",
        "1,797 handwritten digits that scikit-learn carries; the embedded default",
        (1, 8, 8),
        False,
        open_digits,
    ),
    Source(
        "shapes",
        "squares, ellipses, triangles, hearts drawn from known factors; any size and number, 20,000 + 2,000 if not set",
        (3, 64, 64),
        False,
        SHAPES_SOURCE.open,
    ),
    Source(
        "shapes-faces",
        "cartoon faces drawn from 16 known attributes; any size and number, 20,000 + 2,000 if not set",
        (3, 64, 64),
        False,
        FACES_SOURCE.open,
    ),
    Source("mnist", "60,000 + 10,000 handwritten digits (official IDX files)", (1, 28, 28), True, MNIST.open),
    Source(
        "fashion-mnist",
        "60,000 + 10,000 pictures of clothes (official IDX files)",
        (1, 28, 28),
        True,
        FASHION_MNIST.open,
    ),
    Source(
        "cifar10", "50,000 + 10,000 small photographs of ten classes (binary version)", (3, 32, 32), True, CIFAR10.open
    ),
    Source(
        "stl10",
        "105,000 + 8,000 photographs, most without a label (binary version)",
        (3, 96, 96),
        True,
        STL10.open,
    ),
    Source(
        "celeba",
        "182,637 + 19,962 aligned faces with 40 attributes, cut as in the paper; fetched by hand",
        (3, 64, 64),
        True,
        open_celeba,
    ),
    Source("lfw", "13,233 faces with 73 attributes; people are held out whole", (3, 64, 64), True, open_lfw),
)
SOURCES = {source.name: source for source in _ALL}

_FILES: dict[str, tuple[Callable[[Path], Collection], _Open]] = {
    ".zip": (list_zip, prepare_data),
    ".tar": (list_shards, prepare_data),
    ".npy": (list_array, open_rows),
    ".npz": (list_array, open_rows),
}
_KINDS = "a folder of images, .zip, .tar, .npy or .npz"


def open_data(
    source: str | Path,
    *,
    root: Path | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    crop: Literal["center", "none"] = "center",
    crop_size: int | None = None,
    held_out: float = 0.1,
    max_unreadable: float = 0.05,
    limit: int | None = None,
    workers: int | None = None,
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> ImageData:
    """Open a source, decoding it if that was not done before.

    Args:
        source: a name in `SOURCES`, ``hf:NAME`` (see `vaegan.data.hf_datasets`), or the path of a folder,
            .zip, .npy, .npz or .tar (also a pattern of shards, see `vaegan.data.shards`).
        root: folder of a named source's official files; they are downloaded into it if missing.
        size: height and width of the images; their own if None and all are alike.
        channels: 1 or 3; 3 if None and any image has colour.
        crop: 'center' cuts the largest centred square before resizing, 'none' squeezes.
        crop_size: side in pixels of that square.
        held_out: share of a path's images held out, by a hash of their names.
        max_unreadable: share of unreadable files that are put up with.
        limit: use only so many training images.
        workers: processes that decode; the number of cores if None.
        cache: folder for decoded images; ``~/.cache/vaegan`` if None.
        on_progress: told ``(done, total)`` while images are decoded.

    Raises:
        UserError: if the source is unknown, missing, unreadable, or not what it should be.
    """
    options = Options(
        None if root is None else Path(root).expanduser(),
        size,
        channels,
        crop,
        crop_size,
        held_out,
        max_unreadable,
        limit,
        workers,
        None if cache is None else Path(cache).expanduser(),
        on_progress,
    )
    if source in SOURCES:
        return SOURCES[str(source)].open(options)
    if str(source).startswith(HUB):
        return open_hub(str(source), options)
    return _open_path(str(source), options)


def _open_path(source: str, options: Options) -> ImageData:
    path = _existing(source)
    suffix = path.suffix.lower()
    if not path.is_dir() and suffix not in _FILES:
        raise UserError(f"{source}: neither a folder nor a file of kind .zip, .tar, .npy or .npz; give one of these")
    list_images, open_images = (list_folder, prepare_data) if path.is_dir() else _FILES[suffix]
    collection = list_images(path)
    parts = hashed_split(collection.names, options.held_out, collection.where)
    name = path.resolve().name if path.is_dir() else path.stem
    return open_images(name, collection, parts, options)


def _existing(source: str) -> Path:
    """Return the path that ``source`` is, or say what is wrong with it."""
    try:
        path = Path(source).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # missing or too long; a zero byte; an unknown ~user
        if isinstance(error, FileNotFoundError) and is_pattern(source):
            return path
        if os.sep in source or source.startswith(("~", ".")) or Path(source).suffix.lower() in _FILES:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(f"{source!r}: {reason}; give {_KINDS}") from error
    else:
        if source:
            return path
    raise UserError(
        f"unknown data source {source!r}{nearest(source, SOURCES)}; known are {', '.join(SOURCES)}, "
        f"hf:NAME of the Hugging Face hub, and paths: {_KINDS}"
    )
