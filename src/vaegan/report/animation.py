"""Animations as GIF: frames of equal size, repeated forever, the last one held longer.

Grey frames keep all their 256 levels. Each colour frame gets its own 256 colours (median cut), with error diffusion
(Floyd and Steinberg 1976), which keeps gradients smooth. Pillow writes the file; only the palettes are chosen here, so
no video library is needed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import written_beside
from .grid import to_image

MILLISECONDS = 120
"""Of each frame but the last."""
_Item = TypeVar("_Item")


def write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], last_milliseconds: int = 1000) -> None:
    """Write frames uint8 `(H, W, 1 or 3)`, all of one size, as an animation that loops forever.

    Times are multiples of 10 ms, as in GIF. Equal consecutive frames are stored once, with their times added. Raises
    UserError if the file cannot be written.
    """
    images = [_paletted(frame) for frame in frames]
    durations = [MILLISECONDS] * (len(images) - 1) + [last_milliseconds]
    with written_beside(path) as beside:
        images[0].save(
            beside, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False
        )


def write_animation(path: Path, pictures: Sequence[Path], max_frames: int = 100) -> int:
    """Write PNGs as one animation; return its number of frames.

    Damaged pictures and those of another size than the last one are left out; of more than ``max_frames``, evenly
    spaced ones are used. Without pictures, nothing is written.
    """
    read = map(read_picture, evenly(pictures, max_frames))
    whole = [np.atleast_3d(np.asarray(image)) for image in read if image is not None]
    if not whole:
        return 0
    frames = [frame for frame in whole if frame.shape == whole[-1].shape]
    write_gif(path, frames, 1500)
    return len(frames)


def numbered_pictures(folder: Path) -> list[Path]:
    """Return the PNGs of a folder that are named by numbers, in their order: 9.png comes before 10.png."""
    paths = [path for path in folder.glob("*.png") if path.stem.isdecimal()]
    return sorted(paths, key=lambda path: (len(path.stem), path.stem))


def _paletted(frame: NDArray[np.uint8]) -> Image.Image:
    image = to_image(frame)
    if image.mode == "L":
        return image
    palette = image.quantize(256, method=Image.Quantize.MEDIANCUT)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def read_picture(path: Path) -> Image.Image | None:
    """Return a picture, None if the file is damaged."""
    try:
        with Image.open(path) as image:
            return image.copy()
    except (OSError, SyntaxError, ValueError):  # Pillow raises them all for a damaged file
        return None


def evenly(items: Sequence[_Item], num: int) -> list[_Item]:
    """Return `num` of the items (all, if there are no more), evenly spaced, with the first and the last."""
    if len(items) <= num:
        return list(items)
    return [items[round(i * (len(items) - 1) / (num - 1))] for i in range(num)]
