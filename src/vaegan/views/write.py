"""Images into files, in the form that the ending of the path names.

| ending | form |
|---|---|
| .png | one grid; with originals, rows of originals above rows of reconstructions |
| .gif | a film, one frame per image or per step of a path |
| none | a folder of numbered PNGs 00000.png, 00001.png ..., with originals as 00000_original.png |
| .npz | arrays: images uint8 (N, H, W, C), and where given originals, codes float32 (N, Z), labels, names |

All are written beside and then renamed: there is never half of one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..files import check_free, written_beside
from ..pixels import to_uint8
from ..report.animation import write_gif
from ..report.grid import Bytes, grid, pairs, to_image, write_picture
from .view import View

if TYPE_CHECKING:
    from torch import Tensor

    Images = Tensor | NDArray[Any]

_FORMS = ".png (a grid), .gif (a film), no ending (a folder of numbered PNGs) or .npz (arrays)"
_ENDINGS = (".png", ".gif", ".npz")
_OURS = re.compile(r"\d{5,}(_original)?\.png")


def check_output(out: str | Path, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a path that `write_images` would refuse.

    Args:
        out: where the images shall go.
        overwrite: whether something that is there already may be replaced.

    Raises:
        UserError: if the ending names no form, or something is there that must not be replaced. A folder is only ever
            replaced if nothing but numbered PNGs is in it.
    """
    out = Path(out)
    folder = _is_folder(out)
    if not folder and out.suffix.lower() not in _ENDINGS:
        raise UserError(f"cannot tell from {out} what to write; end it in {_FORMS}")
    if not out.exists():
        return
    if folder != out.is_dir():
        raise UserError(f"{out} is a {'file' if folder else 'folder'}; choose another name, ending in {_FORMS}")
    if folder and (others := [entry.name for entry in out.iterdir() if not _OURS.fullmatch(entry.name)]):
        raise UserError(f"folder {out} holds other things ({others[0]}); choose a new one")
    if not folder or any(out.iterdir()):
        check_free(out, overwrite)


def write_view(out: str | Path, view: View, *, overwrite: bool = False) -> None:
    """Write a view in the form that the ending of `out` names (see the module).

    Only a .png has the names of rows and columns at its edge; a .gif shows one column after another, a folder and an
    .npz hold row after row, the .npz with names ``ROW / COLUMN``.

    Args:
        out: file or folder.
        view: what to write.
        overwrite: whether to replace what is there.

    Raises:
        UserError: as `check_output`, or if the disk is full.
    """
    out = Path(out)
    check_output(out, overwrite)
    if out.suffix.lower() == ".png":
        write_picture(out, view.picture())
        return
    names = view.names
    if names is None and view.rows and view.columns:
        names = [f"{row} / {column}" for row in view.rows for column in view.columns]
    axes = view if view.is_sequence else view.transposed()
    images = axes.images[0] if view.is_sequence else axes.images
    originals, codes = (
        part[0] if view.is_sequence and part is not None else part for part in (axes.originals, axes.codes)
    )
    if view.plays_back and out.suffix.lower() == ".gif":
        images = np.concatenate([images, images[-2:0:-1]])
    write_images(
        out,
        images,
        originals=originals,
        codes=codes,
        labels=view.labels,
        names=names,
        overwrite=overwrite,
        columns=view.per_row,
    )


def write_images(
    out: str | Path,
    images: Images,
    *,
    originals: Images | None = None,
    codes: Images | None = None,
    labels: Sequence[int] | NDArray[Any] | Tensor | None = None,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    columns: int | None = None,
    scale: int | None = None,
    seconds_per_frame: float = 0.12,
    last_seconds: float = 1.0,
) -> None:
    """Write images in the form that the ending of `out` names (see the module).

    Images are floats `(N, C, H, W)` in [0, 1] or uint8 `(N, H, W, C)`. N paths of T steps have one axis more in front,
    `(T, N, ...)`: a film then shows all N at once, T frames long, a grid has a row for each path, and folder and
    arrays hold path after path.

    Args:
        out: the file or folder.
        images: what to write, at least one.
        originals: of the same shape, what the images reconstruct.
        codes: `(N, Z)` or `(T, N, Z)`; goes into .npz only, as do labels and names.
        labels: one per image.
        names: one per image.
        overwrite: whether to replace what is there.
        columns: images of a row in a grid or in a frame of a film of paths; chosen if None.
        scale: whole factor of enlargement in a grid or film; chosen if None.
        seconds_per_frame: of a film.
        last_seconds: time of a film's last frame.

    Raises:
        UserError: as `check_output`, or if the disk is full.
    """
    out = Path(out)
    check_output(out, overwrite)
    shown = to_uint8(images)
    shown_originals = None if originals is None else to_uint8(originals)
    form = "" if _is_folder(out) else out.suffix.lower()
    if form == ".gif":
        write_gif(out, _frames(shown, shown_originals, columns, scale), seconds_per_frame, last_seconds)
        return
    if shown.ndim == 5 and columns is None:
        columns = len(shown)
    shown = _path_after_path(shown, 4)
    shown_originals = None if shown_originals is None else _path_after_path(shown_originals, 4)
    if form == ".png":
        write_picture(out, _picture(shown, shown_originals, columns, scale))
    elif form == ".npz":
        arrays = {
            "images": shown,
            "originals": shown_originals,
            "codes": None if codes is None else _path_after_path(_array(codes).astype(np.float32), 2),
            "labels": None if labels is None else _array(labels),
            "names": None if names is None else np.asarray(names, dtype=np.str_),
        }
        _write_npz(out, arrays)
    else:
        _write_folder(out, shown, shown_originals)


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _array(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _path_after_path(array: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Turn `(T, N, ...)` into `(N T, ...)`; leave what has `ndim` axes already."""
    return array if array.ndim == ndim else array.swapaxes(0, 1).reshape(-1, *array.shape[2:])


def _frames(images: Bytes, originals: Bytes | None, columns: int | None, scale: int | None) -> Iterator[Bytes]:
    for step, image in enumerate(images):
        shown = image.reshape(-1, *image.shape[-3:])
        if originals is None:
            yield grid(shown, columns, scale=scale)
        else:
            yield pairs(originals[step].reshape(shown.shape), shown, columns, scale=scale)


def _picture(images: Bytes, originals: Bytes | None, columns: int | None, scale: int | None) -> Bytes:
    if originals is None:
        return grid(images, columns, scale=scale)
    return pairs(originals, images, columns, scale=scale)


def _write_npz(path: Path, arrays: dict[str, Any]) -> None:
    with written_beside(path) as beside:
        np.savez_compressed(beside, **{name: array for name, array in arrays.items() if array is not None})


def _write_folder(out: Path, images: Bytes, originals: Bytes | None) -> None:
    """Write numbered PNGs into a folder beside, then put it in place of `out`."""
    out = out.resolve()
    beside, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        beside.mkdir(parents=True)
        for index, image in enumerate(images):
            to_image(image).save(beside / f"{index:05d}.png")
            if originals is not None:
                to_image(originals[index]).save(beside / f"{index:05d}_original.png")
        if out.exists():
            out.rename(old)
        beside.rename(out)
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror or error}; free some space or choose another place"
        ) from error
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
