"""What a view is: pictures in rows and columns, with the codes, facts and words that belong to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..pixels import Numbers, Shown
from ..report.grid import Bytes, grid, sheet


@dataclass(frozen=True)
class View:
    """Pictures to show in a file, on a page, in a JSON answer or in a snapshot."""

    images: Numbers  # `(R, K, H, W, C)`, of the format of `shown`
    rows: Sequence[str] = ()  # R names, or none
    columns: Sequence[str] = ()  # K names, or none
    codes: Tensor | None = None  # `(R, K, Z)` that the images were decoded from, or None
    originals: Numbers | None = None  # what the images reconstruct, of the same shape, or None
    labels: NDArray[np.int64] | Tensor | None = None  # int `(R K,)`, or None
    names: Sequence[str] | None = None  # R K names of the images, or None
    # whether the images are one sequence that wraps at any width, as samples are; otherwise rows and columns have a
    # meaning
    is_sequence: bool = False
    per_row: int | None = None  # images in a row where a sequence wraps; chosen if None
    plays_back: bool = False  # whether an animation runs back to its start
    facts: Sequence[tuple[str, str]] = ()  # names and values, as text
    caption: str = ""  # what the images show
    shown: Shown = field(default_factory=Shown)  # how the images become bytes

    @property
    def pictures(self) -> Bytes:
        """The images as they are shown, uint8 `(R, K, H, W, 1 or 3)`."""
        return self.shown(self.images)

    @property
    def original_pictures(self) -> Bytes | None:
        """The originals likewise."""
        return None if self.originals is None else self.shown(self.originals)

    def frames(self) -> Iterator[Bytes]:
        """Yield the pictures of an animation: of a sequence an image each, else a column each with all rows."""

        def in_steps(images: Bytes) -> Bytes:
            return images[0][:, None] if self.is_sequence else images.swapaxes(0, 1)

        images, originals = in_steps(self.pictures), self.original_pictures
        originals = None if originals is None else in_steps(originals)
        steps = list(range(len(images)))
        for step in steps + (steps[-2:0:-1] if self.plays_back else []):
            above = None if originals is None else originals[step]
            yield grid(images[step], self.per_row, originals=above)

    def transposed(self) -> "View":
        """Return the same pictures with rows and columns exchanged."""
        return replace(
            self,
            images=self.images.swapaxes(0, 1),
            originals=None if self.originals is None else self.originals.swapaxes(0, 1),
            codes=None if self.codes is None else self.codes.transpose(0, 1),
            rows=self.columns,
            columns=self.rows,
            names=None,
        )

    def picture(self) -> Bytes:
        """Return all images as one picture, uint8 `(H', W', C)`, with names at its edge."""
        images, originals = self.pictures, self.original_pictures
        if self.rows or self.columns:
            return sheet(images, self.columns, self.rows)
        flat = images.reshape(-1, *images.shape[2:])
        per_row = self.per_row if self.is_sequence else images.shape[1]
        originals = None if originals is None else originals.reshape(flat.shape)
        return grid(flat, per_row, originals=originals)
