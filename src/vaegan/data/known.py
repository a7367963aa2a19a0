"""What is known about images, attributes and labels alike, as one table of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .images import ImageSet


def known_attributes(images: ImageSet) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return all attributes of images, then one column of 0 and 1 for each label.

    Returns:
        float32 ``(N, A)``, NaN where unknown, and A names; a label's name that an attribute has already is written
        ``label NAME``. A is 0 if nothing is known.
    """
    columns, names = [np.empty((len(images), 0), np.float32)], list(images.attribute_names)
    if images.attributes is not None:
        columns.append(images.attributes)
    if images.labels is not None:
        columns.append(np.equal.outer(images.labels, np.arange(len(images.label_names))).astype(np.float32))
        names += [f"label {name}" if name in images.attribute_names else name for name in images.label_names]
    return np.concatenate(columns, axis=1), tuple(names)
