"""Images and codes in the requested format: JSON with each image as a PNG in it, one PNG, a GIF, or arrays."""

import base64
import io
import re
import tempfile
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from fastapi.responses import Response
from numpy.typing import NDArray
from torch import Tensor

from ..pixels import Numbers, Shown
from ..report.grid import Bytes, to_image
from ..views.view import View
from ..views.write import write_view
from .http_errors import JSON

Form = Literal["json", "png", "gif", "npz"]
_TYPES = {"png": "image/png", "gif": "image/gif", "npz": "application/octet-stream"}
DIGITS = 6  # of numbers in JSON; float32 has about 7


def view_response(form: Form, view: View, *, name: str, **more: Any) -> Response:
    """Return a view as JSON with more fields, PNG, GIF (a frame per image or column) or npz (images, codes)."""
    if form == "json":
        plain: dict[str, Any] = {"images": [data_uri(image) for row in view.pictures for image in row]}
        if view.codes is not None:
            plain["codes"] = rounded(view.codes.flatten(0, 1))
        return JSON(plain | more)
    if form == "png":
        return attachment(png(view.picture()), f"{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"view.{form}"
        write_view(path, view)
        return attachment(path.read_bytes(), f"{name}.{form}")


def sequence(shown: Shown, images: Tensor | Numbers, codes: Tensor | None = None) -> View:
    """Return images, floats `(N, C, H, W)` in [0, 1] or numbers `(N, H, W, C)`, and codes `(N, Z)` as a view."""
    numbers = shown.pixels.from_unit(images) if isinstance(images, Tensor) else images
    return View(numbers[None], codes=None if codes is None else codes[None], is_sequence=True, shown=shown)


def npz_response(name: str, **arrays: Any) -> Response:
    """Return named arrays as one compressed .npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return attachment(file.getvalue(), f"{name}.npz")


def attachment(content: bytes, name: str) -> Response:
    """Return a file; the ending of its name gives the media type. Names of any letters are written as RFC 6266 says."""
    media_type = _TYPES[name.rpartition(".")[2]]
    plain = re.sub(r"[^\w .()+-]", "_", name, flags=re.ASCII)
    words = f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return Response(content, media_type=media_type, headers={"Content-Disposition": words})


def png(picture: Bytes) -> bytes:
    """Return uint8 `(H, W, C)` as a PNG, compressed fast rather than well."""
    file = io.BytesIO()
    to_image(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def data_uri(picture: Bytes) -> str:
    """Return uint8 `(H, W, C)` as a PNG in a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"


def rounded(values: Tensor | NDArray[Any]) -> Any:
    """Return numbers as nested lists, rounded to `DIGITS`; None for NaN and infinity."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, np.float64)
    flat = [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in array.ravel()]
    return np.array(flat, object).reshape(array.shape).tolist()
