"""Sources that are drawn: image i of either part is a function of (part, i) alone, and so the same everywhere.

The factors of image i are row i of ``PCG64((SEED, part)).random((N, F))``, which fills row by row: a longer set
begins with the shorter one, and the parts have streams of their own. The pictures are drawn in batches into the
usual cache of decoded images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .drawing import Floats, in_pieces
from .images import Collection, ImageData, Look, Options
from .picture import Target
from .prepare import prepare_data

NUM_TRAIN = 20_000
NUM_TEST = 2_000
SIZE = 64
_SEED = 1512_09300
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Drawing:
    """A family of pictures.

    Attributes:
        name: of the source.
        version: raised when the same factors begin to give other pictures.
        paint: draws factors ``(B, F)`` at a size as uint8 ``(B, size, size, 3)``. The first factor is the index of
            the label, if there are labels; then come the attributes.
        label_names: name of each class; none if empty.
        attribute_names: of the factors in [0, 1].
        num_binary: so many of the attributes, the first, are 0 or 1, each with probability one half.
    """

    name: str
    version: int
    paint: Callable[[Floats, int], NDArray[np.uint8]]
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    num_binary: int = 0

    def open(self, options: Options) -> ImageData:
        """Open 20,000 images, or as many as the limit says, and 2,000 held out; drawn if that was not done before."""
        num_train = options.limit or NUM_TRAIN
        parts = (np.arange(NUM_TEST, NUM_TEST + num_train), np.arange(NUM_TEST))
        factors = np.concatenate([self.factors(1, NUM_TEST), self.factors(0, num_train)])
        has_labels = bool(self.label_names)
        collection = Collection(
            where=self.name,
            names=[f"test-{i:06}" for i in range(NUM_TEST)] + [f"train-{i:06}" for i in range(num_train)],
            keys=list(factors),
            reader=DrawingReader(self.paint),
            digest=f"drawn {self.name} {self.version}",
            look=Look(SIZE, SIZE, True),
            labels=factors[:, 0].astype(np.int64) if has_labels else None,
            label_names=self.label_names,
            attributes=factors[:, 1:] if has_labels else factors,
            attribute_names=self.attribute_names,
        )
        return prepare_data(self.name, collection, parts, options)

    def factors(self, part: int, num_images: int) -> Floats:
        """Return the factors of a part's first images, float32 ``(N, F)``; part 0 is to train on, 1 held out."""
        num_labels = len(self.label_names)
        first = int(num_labels > 0)
        stream = np.random.Generator(np.random.PCG64((_SEED, part)))
        factors = stream.random((num_images, first + len(self.attribute_names)))
        if num_labels:
            factors[:, 0] = np.floor(factors[:, 0] * num_labels)
        binary = factors[:, first : first + self.num_binary]
        binary[:] = binary >= 0.5
        return factors.astype(np.float32)


class DrawingReader:
    """Draws whole chunks; see `vaegan.data.picture.ChunkReader`."""

    def __init__(self, paint: Callable[[Floats, int], NDArray[np.uint8]]) -> None:
        self.paint = paint

    def read_chunk(self, keys: Sequence[Floats], target: Target) -> NDArray[np.uint8]:
        """Draw the factors ``keys`` as uint8 ``(n, H, W, C)``."""
        images = in_pieces(self.paint, np.stack(keys), target.height)
        return images if target.channels == 3 else (images @ _GREY + 0.5).astype(np.uint8)[..., None]
