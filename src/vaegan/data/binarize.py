"""Binarisation: black and white images, each pixel white with its grey value as probability.

All images are drawn once here, always the same way: models are measured on these. Dynamic binarisation draws training
images again for each batch (`augment.augmented_batch`).
"""

from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..files import short_hash
from ..pixels import Numbers
from .dataset import ImageData, ImageSet

_MOST = 2**31  # bytes
_AT_ONCE = 1024


def binarized(data: ImageData) -> ImageData:
    """Return the same data in black and white, with the training images as they were under ``grey``.

    Raises UserError if there are more than are held in memory.
    """
    if (size := data.train.images.nbytes + data.test.images.nbytes) > _MOST:
        raise UserError(
            f"{data.name}: --data.binarize holds all images in memory, and these are {size / 1e9:.1f} GB, more than "
            f"{_MOST / 1e9:.1f}; set --data.limit, or a smaller --data.size"
        )
    train, test = (replace(side, images=_drawn(side, seed)) for seed, side in enumerate((data.train, data.test)))
    fingerprint = short_hash(f"{data.fingerprint} binarized")
    details = (*data.details, "each pixel drawn black or white")
    return replace(data, train=train, test=test, grey=data.train, fingerprint=fingerprint, details=details)


def _drawn(side: ImageSet, seed: int) -> Numbers:
    rng, pixels, images = np.random.default_rng(seed), side.pixels, np.empty_like(side.images, subok=False)
    for start in range(0, len(images), _AT_ONCE):
        grey = pixels.fraction(side.images[start : start + _AT_ONCE])
        is_white = rng.random(grey.shape, np.float32) < grey
        images[start : start + _AT_ONCE] = np.where(is_white, pixels.high, pixels.low)
    return images
