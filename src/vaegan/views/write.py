"""Write a view in the format that the extension of the path names.

| extension | format |
|---|---|
| .png | one grid with the names of rows and columns at its edge; originals in rows above their images |
| .gif | an animation: a frame for each image of a sequence, else for each column |
| none | a folder of numbered PNGs 00000.png, 00001.png ..., with opacity, and originals as 00000_original.png |
| .npz | arrays: images (N, H, W, C) in the model's type, and where there are any originals, codes, labels, names |

Folder and arrays hold row after row; names are ``ROW / COLUMN`` where images have none of their own. All are written to
a temporary path and then renamed, so none is ever incomplete.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from ..errors import UserError
from ..files import check_free, check_writable, folder_beside, written_beside
from ..pixels import Numbers
from ..report.animation import write_gif
from ..report.grid import to_image, write_picture
from .view import View

_FORMS = ".png (a grid), .gif (an animation), no extension (a folder of numbered PNGs) or .npz (arrays)"
_ENDINGS = (".png", ".gif", ".npz")
_OURS, _SOFTWARE = re.compile(r"\d{5,}(_original)?\.png"), ("Software", "vaegan")


def check_output(out: Path, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a path that `write_view` would refuse.

    Raises UserError if the format is unknown, nothing can be written there, or something exists that may not be
    replaced. A folder is only replaced if it contains nothing but numbered PNGs that we wrote.
    """
    folder = _is_folder(out)
    if not folder and out.suffix.lower() not in _ENDINGS:
        raise UserError(f"cannot tell from {out} what to write; end it in {_FORMS}")
    check_writable(out)
    if not out.exists():
        return
    if folder and not out.is_dir():
        raise UserError(f"{out} is a file; choose another name, ending in {_FORMS}")
    if folder and (others := [entry.name for entry in sorted(out.iterdir()) if not _is_ours(entry)]):
        raise UserError(f"folder {out} contains other files ({others[0]}); choose a new one")
    if not folder or any(out.iterdir()):
        check_free(out, overwrite)


def write_view(out: Path, view: View, *, overwrite: bool = False) -> None:
    """Write a view in the form that the ending of `out` names; raises UserError as `check_output` does."""
    check_output(out, overwrite)
    ending = "" if _is_folder(out) else out.suffix.lower()
    if ending == ".png":
        write_picture(out, view.picture())
    elif ending == ".gif":
        write_gif(out, view.frames())
    elif ending == ".npz":
        _write_npz(out, view)
    else:
        _write_folder(out, view)


def _is_ours(path: Path) -> bool:
    """Whether a file is a numbered PNG that `_write_folder` wrote."""
    if not _OURS.fullmatch(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        return "\0".join(_SOFTWARE).encode() in file.read(200)


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _write_npz(path: Path, view: View) -> None:
    names = view.names
    if names is None and view.rows and view.columns:
        names = [f"{row} / {column}" for row in view.rows for column in view.columns]
    arrays: dict[str, Any] = {
        "images": _flat(view.images),
        "originals": None if view.originals is None else _flat(view.originals),
        "codes": None if view.codes is None else view.codes.detach().cpu().flatten(0, 1).float().numpy(),
        "labels": None if view.labels is None else np.asarray(view.labels),
        "names": None if names is None else np.asarray(names, dtype=np.str_),
    }
    with written_beside(path) as beside, beside.open("wb") as file:  # to a name NumPy may add an ending
        np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})


def _flat(images: Numbers) -> Numbers:
    """Return images row after row, `(R K, H, W, C)`."""
    return images.reshape(-1, *images.shape[2:])


def _write_folder(out: Path, view: View) -> None:
    """Write numbered PNGs into a folder that takes the place of `out`."""
    made_by = PngInfo()
    made_by.add_text(*_SOFTWARE)
    with folder_beside(out) as beside:
        for ending, images in (("", view.images), ("_original", view.originals)):
            for index, image in enumerate([] if images is None else _flat(images)):
                picture = to_image(view.shown(image, alpha=True))  # one at a time, as it takes floats to make bytes
                picture.save(beside / f"{index:05d}{ending}.png", pnginfo=made_by)
