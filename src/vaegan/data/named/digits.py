"""The 1,797 handwritten digits, 8 x 8 grey, that scikit-learn carries (Alpaydin and Kaynak, UCI, 1998)."""

from __future__ import annotations

import hashlib

import numpy as np

from ..arrays import collect_rows, open_rows
from ..dataset import ImageData, Options
from ..split import hashed_split

_HELD_OUT = 0.15  # of this source's own split, whatever the setting for folders says


def open_digits(options: Options) -> ImageData:
    """Open the digits; about 270 are held out, always the same."""
    from sklearn.datasets import load_digits  # takes a second to import

    values, labels = load_digits(return_X_y=True)
    images = np.round(values.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # values are 0 to 16
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    collection = collect_rows(images, "digits", digest, labels.astype(np.int64), tuple("0123456789"))
    return open_rows("digits", collection, hashed_split(collection.names, _HELD_OUT, "digits"), options)
