"""Images that are rows of an array already: resized and cached like files, or used as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from .cache import fingerprint, pixel_hash
from .images import Collection, ImageData, Look, Options
from .prepare import Positions, prepare_data, resolve_target

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
