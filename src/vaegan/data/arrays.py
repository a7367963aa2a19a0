"""Images in a .npy or .npz file of NumPy's.

Images that are rows of an array already: resized and cached like files, or used as they are.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from .cache import fingerprint, pixel_hash
from .dataset import Collection, ImageData, Look, Options
from .decoded import Positions, prepare_data, resolve_target

_KEYS = (("images", "labels"), ("x", "y"))


def list_array(path: Path) -> Collection:
    """Open the images of a file; a .npy is mapped, a .npz read.

    Images are uint8, or float in [0, 1], of shape ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with C 1
    or 3. In a .npz they are called ``images`` or ``x``, their labels (numbers or text, ``(N,)``) ``labels`` or
    ``y``; an only array needs no name.

    Raises:
        UserError: if the file is none of this.
    """
    try:
        content = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            images, labels = content, None
        else:
            with content:
                images, labels = _pick(content, path)
        stat = path.stat()
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: not a readable array of images ({_line(error)}); save it with numpy.save") from error
    images = _as_rows(images, path)
    indices, label_names = (None, ()) if labels is None else _as_labels(labels, len(images), path)
    digest = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return collect_rows(images, str(path), digest, indices, label_names)


def _pick(content: Any, path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    for images, labels in _KEYS:
        if images in content:
            return content[images], content.get(labels)
    if len(content.files) != 1:
        raise UserError(f"{path}: holds {content.files}; name the images 'images' and the labels 'labels'")
    return content[content.files[0]], None


def _as_rows(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return a view ``(N, H, W, C)``."""
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise UserError(f"{path}: images are {images.dtype}; give uint8, or floats in [0, 1]")
    if images.ndim == 3:
        rows = images[..., None]
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        rows = images
    elif images.ndim == 4 and images.shape[1] in (1, 3):
        rows = np.moveaxis(images, 1, 3)
    else:
        raise UserError(f"{path}: shape {images.shape} is not (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3")
    if rows.size == 0:
        raise UserError(f"{path}: holds no images (shape {images.shape})")
    return rows


def _as_labels(labels: NDArray[Any], num_images: int, path: Path) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if labels.shape != (num_images,) or labels.dtype.kind not in "iuUb":
        raise UserError(
            f"{path}: labels are {labels.dtype} of shape {labels.shape}; give one number or text for each of "
            f"{num_images} images"
        )
    values, indices = np.unique(labels, return_inverse=True)
    return indices.astype(np.int64), tuple(map(str, values))


def _line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


_SMALL = 2**28  # bytes; so much stays in memory instead of being copied to the cache


class RowReader:
    """Opens rows of an array as images.

    Args:
        images: uint8, or float in [0, 1], ``(N, H, W, C)``.
        where: path or source, for messages.
    """

    def __init__(self, images: NDArray[Any], where: str) -> None:
        self.images = images
        self.where = where

    def open(self, key: int) -> Image.Image:
        """Return row ``key``.

        Raises:
            UserError: if it is float and leaves [0, 1].
        """
        row = np.asarray(self.images[key])
        if row.dtype != np.uint8:
            if not (row.min() >= 0 and row.max() <= 1):
                raise UserError(f"{self.where}: values of image {key} leave [0, 1]; give floats in [0, 1] or uint8")
            row = np.round(row * 255).astype(np.uint8)
        return Image.fromarray(row[..., 0] if row.shape[-1] == 1 else np.ascontiguousarray(row))


def collect_rows(
    images: NDArray[Any],
    where: str,
    digest: str,
    labels: NDArray[np.int64] | None = None,
    label_names: tuple[str, ...] = (),
) -> Collection:
    """Make a collection of an array.

    Args:
        images: uint8, or float in [0, 1], ``(N, H, W, C)``.
        where: path or source, for messages.
        digest: changes whenever the images do.
        labels: int64 ``(N,)``, indices into ``label_names``.
        label_names: name of each class.
    """
    num_images, height, width, channels = images.shape
    return Collection(
        where=where,
        names=[str(i) for i in range(num_images)],
        keys=range(num_images),
        reader=RowReader(images, where),
        digest=digest,
        look=Look(width, height, channels == 3),
        labels=labels,
        label_names=label_names,
    )


def open_rows(name: str, collection: Collection, parts: tuple[Positions, Positions], options: Options) -> ImageData:
    """Open a collection of rows, without the cache if they are few and wanted as they are.

    Args:
        name: of the source.
        collection: from `collect_rows`.
        parts: positions of the images to train on and of those held out.
        options: size, channels, crop, limit, cache ...
    """
    images = collection.reader.images
    assert collection.look is not None
    shape = resolve_target(collection.look, options).shape
    if images.dtype != np.uint8 or images.nbytes > _SMALL or shape != images.shape[1:]:
        return prepare_data(name, collection, parts, replace(options, workers=1))
    sets, hashes = [], []
    for positions in (parts[0][: options.limit], parts[1]):
        sets.append(collection.chosen(np.ascontiguousarray(images[positions]), positions))
        hashes.append(pixel_hash(shape))
        hashes[-1].update(sets[-1].images.tobytes())
    return ImageData(name, sets[0], sets[1], fingerprint(*hashes))
