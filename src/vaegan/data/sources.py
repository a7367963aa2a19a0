"""Where images come from: named sources, and paths. A new source is one file and one entry in `SOURCES`."""

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..files import expanded
from ..pixels import PixelFormat
from ..settings import DataSettings
from ..settings_io import checked
from .arrays import list_array
from .binarize import binarized
from .dataset import Collection, ImageData, Progress
from .decoded import prepare_data
from .folder import is_image, list_folder, list_zip
from .hf_datasets import HUB, list_hub
from .named.binary_records import CIFAR10, STL10
from .named.celeba import list_celeba
from .named.lfw import list_lfw
from .named.mnist import FASHION_MNIST, MNIST, list_demo, list_digits
from .shards import is_pattern, list_shards
from .stream import open_stream
from .synthetic.faces import FACES_SOURCE
from .synthetic.shapes import SHAPES_SOURCE

_log = logging.getLogger("vaegan")
_DRAWN = "drawn from known factors, any size; 20,000 + 2,000 unless limited"
_BY_HAND = "cropped as in the paper; downloaded by hand"


@dataclass(frozen=True)
class Source:
    """A named source."""

    name: str  # on the command line
    description: str  # one line
    image_shape: tuple[int, int, int]  # ``(C, H, W)`` of its images
    needs_root: bool  # whether it reads files from ``root``
    # lists its images, to be decoded as the settings say, or returns them as they are
    open: Callable[[DataSettings], Collection | ImageData]


_ALL = (
    Source("digits", "1,797 handwritten digits from scikit-learn; the default", (1, 8, 8), False, list_digits),
    Source("shapes", f"squares, ellipses, triangles, hearts; {_DRAWN}", (3, 64, 64), False, SHAPES_SOURCE.open),
    Source("shapes-faces", f"cartoon faces with 16 attributes; {_DRAWN}", (3, 64, 64), False, FACES_SOURCE.open),
    Source("mnist", "60,000 + 10,000 handwritten digits (official IDX files)", (1, 28, 28), True, MNIST.open),
    Source("demo", "1,000 + 500 digits of MNIST, which come with the model `demo`", (1, 28, 28), False, list_demo),
    Source("fashion-mnist", "60,000 + 10,000 clothes (official IDX files)", (1, 28, 28), True, FASHION_MNIST.open),
    Source("cifar10", "50,000 + 10,000 photographs of ten classes (binary version)", (3, 32, 32), True, CIFAR10.open),
    Source("stl10", "105,000 + 8,000 photographs, most unlabelled (binary version)", (3, 96, 96), True, STL10.open),
    Source("celeba", f"182,637 + 19,962 aligned faces, 40 attributes; {_BY_HAND}", (3, 64, 64), True, list_celeba),
    Source("lfw", "13,233 faces with 73 attributes; split by person", (3, 64, 64), True, list_lfw),
)
SOURCES = {source.name: source for source in _ALL}

FILES: dict[str, Callable[[Path], Collection]] = {
    ".zip": list_zip,
    ".tar": list_shards,
    ".npy": list_array,
    ".npz": list_array,
}
_PATHS = "a folder of images, .zip, .tar, .npy or .npz"


def open_data(
    source: str | Path | DataSettings,
    *,
    on_progress: Progress | None = None,
    quiet: bool = False,
    pixels: PixelFormat | None = None,
    **settings: Any,
) -> ImageData:
    """Open a source, decoding it unless the cache has it.

    Args:
        source: a name in `SOURCES`, ``hf:NAME`` (see `vaegan.data.hf_datasets`), the path of a folder, .zip, .npy,
            .npz or .tar (also a pattern of shards, see `vaegan.data.shards`), or settings, which name their source.
        on_progress: called with ``(done, total)`` while images are decoded.
        quiet: leave it to the caller to log the notes on the data.
        pixels: type and range of the images' numbers; as in the files if None.
        settings: any other fields of `vaegan.settings.DataSettings`, such as ``size=64``.

    Raises:
        UserError: if the source is unknown, missing or unreadable, or a setting is not allowed.
    """
    base = source.model_dump() if isinstance(source, DataSettings) else {"source": str(source)}
    opening = checked(DataSettings, base | settings)
    images = open_stream(opening, on_progress, pixels) if opening.stream else _find(opening)
    data = images if isinstance(images, ImageData) else prepare_data(images, opening, on_progress, pixels)
    data = data if opening.binarize == "none" else binarized(data)
    for note in () if quiet else data.notes:
        _log.warning("%s", note)
    return data


def _find(settings: DataSettings) -> Collection | ImageData:
    source = settings.source
    if source in SOURCES:
        return SOURCES[source].open(settings)
    if source.startswith(HUB):
        return list_hub(source)
    path = existing(source)
    if is_pattern(source):
        return list_shards(path)
    if path.is_dir():
        return list_folder(path)
    if is_image(path.name) and path.is_file():
        raise UserError(f"{source}: a single image; put it into a folder and give the folder as --data")
    if path.suffix.lower() not in FILES or not path.is_file():
        raise UserError(f"{source}: neither a folder nor a file of kind .zip, .tar, .npy or .npz; give one of these")
    return FILES[path.suffix.lower()](path)


def is_path(source: str) -> bool:
    """Whether a source is a path, not a name."""
    return source not in SOURCES and not source.startswith(HUB) and "://" not in source


def existing(source: str) -> Path:
    """Return the path that ``source`` is; UserError if it is not one."""
    wanted = f"--data takes {_PATHS}, hf:NAME from the Hugging Face hub, or {', '.join(SOURCES)}"
    try:
        path = Path(source).expanduser()
        if source and (is_pattern(source) or path.stat()):
            return path
    except (OSError, ValueError, RuntimeError) as error:  # missing or too long; a zero byte; an unknown ~user
        if not isinstance(error, FileNotFoundError):
            raise UserError(f"{source!r}: {getattr(error, 'strerror', None) or error}; {wanted}") from error
    raise UserError(f"no such path: {source!r}{_guess(source)}; {wanted}")


def _guess(source: str) -> str:
    """Return what the user may have meant: images in the same folder, else a named source; '' if nothing is alike."""
    folder, name = os.path.split(source)
    local: list[str] = []
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        entries = Path(folder).expanduser().iterdir()
        local = [entry.name for entry in entries if entry.suffix.lower() in FILES or entry.is_dir()]
    return nearest(name, local, 0.7) or nearest(source, SOURCES, 0.7)


def absolute(settings: DataSettings) -> dict[str, str]:
    """Return the absolute path of each path among the settings source, root and cache, by what the user wrote."""
    paths = [str(path) for path in (settings.root, settings.cache) if path is not None]
    if is_path(settings.source):
        paths.append(settings.source)
    return {path: os.path.abspath(expanded(path)) for path in paths}  # noqa: PTH100, resolve() follows links
