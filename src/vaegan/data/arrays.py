"""Images that are rows of an array: of a .npy or .npz file, or of a data set that is a single array."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, first_line, printable
from ..files import MAX_FILE
from .dataset import Collection, index_labels
from .downloads import stamp
from .image_file import ImageHeader
from .image_types import MAX_CHANNELS, ArrayImage, Opened, as_picture, depth_of

log = logging.getLogger("vaegan")
_KEYS = (("images", "labels"), ("x", "y"))
_MAX_RATIO = 100  # of a large array's bytes to those in the .npz; images take up no less


@dataclass(frozen=True)
class ArrayItems:
    """Rows of an array as images."""

    images: NDArray[Any]  # ``(N, H, W, C)``
    fingerprint: str  # changes with them

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Opened:
        """Return one row."""
        row = np.asarray(self.images[index])
        return as_picture(row) or ArrayImage(lambda: row, row.shape, row.dtype)


def collect_array(name: str, images: NDArray[Any], fingerprint: str, where: str = "", **fields: Any) -> Collection:
    """Return the collection of an array; ``where`` is the name if empty, ``fields`` are others of `Collection`."""
    num_images, height, width, channels = images.shape
    own = None if images.dtype == np.uint8 and channels in (1, 3) else channels
    header = ImageHeader(width, height, channels == 3, own, depth_of(images.dtype), alpha=False)
    names = [str(i) for i in range(num_images)]
    return Collection(name, where or name, ArrayItems(images, fingerprint), names, header=header, **fields)


def list_array(path: Path) -> Collection:
    """Open the images of a file; a .npy is memory-mapped, a .npz read; UserError if it is neither.

    Images are uint8, uint16 or float, of shape ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)``. In a .npz they are
    called ``images`` or ``x``, their labels (numbers or text, ``(N,)``) ``labels`` or ``y``; a single array may have
    any name.
    """
    try:
        content = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            images, labels = content, None
        else:
            with content:
                images, labels = _pick(content, path)
        fingerprint = stamp([path])
    except UserError:
        raise
    except Exception as error:  # damaged files make NumPy, zipfile and its decompressors raise nearly anything
        why = first_line(error)
        raise UserError(f"{path}: not a readable array of images ({why}); save it again, with numpy.save") from error
    images = _as_rows(images, path)
    indices, label_names = (None, ()) if labels is None else _as_labels(labels, len(images), path)
    return collect_array(printable(path.stem), images, fingerprint, str(path), labels=indices, label_names=label_names)


def _pick(content: Any, path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    for images, labels in _KEYS:
        if images in content:
            return _member(content, images), _member(content, labels) if labels in content else None
    if len(content.files) != 1:
        raise UserError(f"{path}: has the arrays {content.files}; name the images 'images' and the labels 'labels'")
    return _member(content, content.files[0]), None


def _member(content: Any, name: str) -> NDArray[Any]:
    """Return an array of a .npz; ValueError if it is none, or unpacks to far more than images do."""
    infos = (info for info in content.zip.infolist() if info.filename in (name, f"{name}.npy"))
    if any(info.file_size > max(MAX_FILE, _MAX_RATIO * info.compress_size) for info in infos):
        raise ValueError(f"{name} unpacks to more than {_MAX_RATIO} times its size")
    array = content[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is not an array")
    return array


def _as_rows(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return a view ``(N, H, W, C)``."""
    if images.dtype.kind != "f" and images.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UserError(f"{path}: images are {images.dtype}; give uint8, uint16 or floats")
    if images.ndim == 3:
        rows = images[..., None]
        if {1, 3, 4} & {images.shape[0], images.shape[2]}:
            log.warning(
                "%s: shape %s looks like one colour image, but is read as %d grey images of %dx%d; give (N, H, W, C)",
                path, images.shape, *images.shape,
            )  # fmt: skip
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        rows = images
    elif images.ndim == 4 and images.shape[1] in (1, 3):
        rows = np.moveaxis(images, 1, 3)
    elif images.ndim == 4 and min(images.shape[1], images.shape[3]) <= MAX_CHANNELS:
        is_first = images.shape[1] < min(images.shape[2:])
        rows = np.moveaxis(images, 1, 3) if is_first else images
        form = "(N, C, H, W)" if is_first else "(N, H, W, C)"
        log.info("%s: shape %s is read as %s, %d channels", path, images.shape, form, rows.shape[3])
    else:
        raise UserError(f"{path}: shape {images.shape} is not (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if rows.size == 0:
        raise UserError(f"{path}: has no images (shape {images.shape})")
    return rows


def _as_labels(labels: NDArray[Any], num_images: int, path: Path) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if labels.shape != (num_images,) or labels.dtype.kind not in "iuUb":
        raise UserError(
            f"{path}: labels are {labels.dtype} of shape {labels.shape}; give one number or text for each of "
            f"{num_images} images"
        )
    return index_labels(labels)
