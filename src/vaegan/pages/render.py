"""Sections -> a self-contained HTML page, with pictures as data URIs of bounded size.

A picture is a PNG if that is short enough, else a WebP, halved in size until it fits.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..report.grid import Bytes, grid, to_image
from ..version import __version__
from .content import Facts, Picture, Section, Strips

_FOLDER = Path(__file__).parent


def render_page(title: str, lead: str, facts: Facts, sections: Sequence[Section], kicker: str = "vaegan report") -> str:
    """Return HTML that needs nothing from outside; the kicker above the title says what kind of page it is."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2")
    return page.render(title=title, lead=lead, facts=facts, sections=sections, kicker=kicker, version=__version__)


PICTURE_LIMIT = 500_000
"""Characters of one picture."""
STRIPS_LIMIT = 1_500_000
"""Characters of all rows of strips together."""
_QUALITY = 88
_WEBP_SIDE = 16_383  # pixels, at most


def data_uri(image: Image.Image, limit: int) -> str:
    """Return an image as a data URI of at most `limit` characters, at full size if that is possible."""
    uri = _encoded(image, "PNG")
    if len(uri) <= limit:
        return uri
    image = image.convert("RGB")
    while max(image.size) > _WEBP_SIDE or (len(uri := _encoded(image, "WEBP")) > limit and max(image.size) > 1):
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)
    return uri


def picture(pixels: Bytes, alt: str, caption: str) -> Picture:
    """Return uint8 `(H, W, C)` as a block."""
    image = to_image(pixels)
    return Picture(data_uri(image, PICTURE_LIMIT), image.size, alt, caption)


def strips(
    images: Bytes,
    caption: str,
    alts: Sequence[str],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    lines: int = 1,
) -> Strips:
    """Return uint8 `(R, K, H, W, C)` as rows of images, broken into lines; R descriptions, R row and K column names."""
    pictures = [to_image(grid(row, columns=-(-len(row) // lines))) for row in images]
    limit = STRIPS_LIMIT // len(pictures)
    names = rows or [""] * len(pictures)
    uris = [data_uri(image, limit) for image in pictures]
    return Strips(list(zip(names, uris, alts, strict=True)), pictures[0].size, caption, columns)


def named_strips(images: Mapping[str, Bytes], caption: str, lines: int = 1) -> Strips:
    """Return uint8 `(K, H, W, C)` each by its name, as `strips`."""
    alts = [f"Images of {name}" for name in images]
    return strips(np.stack(list(images.values())), caption, alts, list(images), lines=lines)


def _encoded(image: Image.Image, form: str) -> str:
    file = io.BytesIO()
    image.save(file, form, quality=_QUALITY)  # PNG ignores it
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
