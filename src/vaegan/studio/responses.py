"""Images and codes in the form that was requested: JSON with each image as a PNG in it, one PNG, a GIF, or arrays."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi.responses import JSONResponse, Response
from numpy.typing import NDArray
from torch import Tensor

from ..pixels import to_uint8
from ..report.grid import Bytes, grid, to_image
from ..views.view import View
from ..views.write import write_view

Form = Literal["json", "png", "gif", "npz"]
_TYPES = {"png": "image/png", "gif": "image/gif", "npz": "application/octet-stream"}
DIGITS = 6  # of numbers in JSON; float32 has about 7


def image_response(
    form: Form,
    images: Tensor | Bytes,
    codes: Tensor | None = None,
    *,
    name: str,
    columns: int | None = None,
    shape: Sequence[int] = (),
    **more: Any,
) -> Response:
    """Return images in a form.

    Args:
        form: 'json', 'png' (a grid), 'gif' (one image per frame) or 'npz' (images uint8, codes).
        images: floats `(N, C, H, W)` in [0, 1] or uint8 `(N, H, W, C)`, at least one.
        codes: `(N, Z)`.
        name: of the file, without its ending.
        columns: of the grid.
        shape: (R, K) with R K = N, if the images are rows: a GIF then shows all rows, in K frames.
        more: further fields of the JSON.
    """
    pixels = to_uint8(images)
    if form == "json":
        plain = {"images": [data_uri(image) for image in pixels]}
        return JSONResponse(plain | ({} if codes is None else {"codes": rounded(codes)}) | more)
    if form == "png":
        return attachment(png(grid(pixels, columns)), f"{name}.png")
    if form == "npz":
        return npz_response(name, images=pixels, **({} if codes is None else {"codes": np.asarray(codes.cpu())}))
    rows = pixels.reshape(*shape, *pixels.shape[1:]) if shape else pixels[None]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.gif"
        write_view(path, View(rows, is_sequence=not shape, per_row=columns if shape else None))
        return attachment(path.read_bytes(), path.name)


def npz_response(name: str, **arrays: Any) -> Response:
    """Return named arrays as one compressed .npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return attachment(file.getvalue(), f"{name}.npz")


def attachment(content: bytes, name: str) -> Response:
    """Return a file; the ending of its name gives the media type."""
    media_type = _TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'inline; filename="{name}"'})


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
