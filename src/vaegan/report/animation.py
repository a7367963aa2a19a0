"""Films as GIF: frames of equal size, repeated for ever, the last one held longer.

Grey frames keep all their 256 levels. Each colour frame gets the 256 colours that suit it best (median cut), and the
error of each pixel is passed on to its neighbours (Floyd and Steinberg 1976), which keeps soft shades soft.

Pillow writes the file; only the palettes are chosen here, so that no video library is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import written_beside
from .grid import to_image


def write_gif(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    seconds_per_frame: float = 0.12,
    last_seconds: float = 1.0,
) -> None:
    """Write frames uint8 `(H, W, 1 or 3)`, all of one size, as an animation that repeats for ever.

    Times are in hundredths of a second, as GIF counts them. Equal frames that follow one another are stored once, with
    their times added. Raises UserError if the file cannot be written.
    """
    images = [_paletted(frame) for frame in frames]
    durations = [round(100 * seconds_per_frame) * 10] * (len(images) - 1) + [round(100 * last_seconds) * 10]
    with written_beside(path) as beside:
        images[0].save(
            beside, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False
        )


def film_of_folder(
    folder: Path,
    path: Path,
    max_frames: int = 100,
    seconds_per_frame: float = 0.12,
    last_seconds: float = 1.5,
) -> int:
    """Make the PNGs of a folder, in the order of their names, into one animation; return its number of frames.

    Pictures of another size than the last one's are left out. Of more than ``max_frames`` so many are chosen evenly,
    the first and the last among them. Without any, nothing is written.
    """
    return write_film(numbered_pictures(folder), path, max_frames, seconds_per_frame, last_seconds)


def write_film(
    paths: Sequence[Path], path: Path, max_frames: int = 100, seconds_per_frame: float = 0.12, last_seconds: float = 1.5
) -> int:
    """Make these PNGs into one film; arguments and result as of `film_of_folder`."""
    if not paths:
        return 0
    shape = _read(paths[-1]).shape
    frames = [frame for path in _evenly(paths, max_frames) if (frame := _read(path)).shape == shape]
    write_gif(path, frames, seconds_per_frame, last_seconds)
    return len(frames)


def numbered_pictures(folder: Path) -> list[Path]:
    """Return the PNGs of a folder, in the order of their numbers: 9.png comes before 10.png."""
    paths = [path for path in folder.glob("*.png") if not path.name.startswith(".")]
    return sorted(paths, key=lambda path: (len(path.stem), path.stem))


def _paletted(frame: NDArray[np.uint8]) -> Image.Image:
    image = to_image(frame)
    if image.mode == "L":
        return image
    palette = image.quantize(256, method=Image.Quantize.MEDIANCUT)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def _evenly(paths: Sequence[Path], num: int) -> list[Path]:
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(num, len(paths))).round().astype(int))
    return [paths[i] for i in chosen]
