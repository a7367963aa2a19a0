"""``shapes-faces``: a cartoon face from sixteen numbers, all of them attributes, all independent.

Nine are 0 or 1, each with probability one half; the others are uniform in [0, 1], from the first word to the second:
``hair_length`` short, long; ``skin_tone`` light, dark; ``eyebrow_thickness`` thin, thick; ``head_tilt`` to the left,
to the right; ``head_width`` narrow, wide; ``background`` and ``shirt`` a hue from red to violet. What an attribute
changes is never hidden by another: bangs end above the brows and show below a hat, a mustache leaves the mouth free.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .drawing import Canvas, Drawing, Floats, Size, between, blend, box, ellipse, hue_colour, turned

BINARY = ("smiling", "eyeglasses", "hat", "beard", "mustache", "bangs", "blond_hair", "eyes_open", "rosy_cheeks")
CONTINUOUS = ("hair_length", "skin_tone", "eyebrow_thickness", "head_tilt", "head_width", "background", "shirt")
_MAX_TILT = math.radians(12.0)
_NECK = 0.75  # v of the point around which the head tilts
_INK, _WHITE = (0.16, 0.13, 0.17), (1.0, 1.0, 1.0)
_EYE_U, _EYE_V = 0.2, 0.06
_Lay = Callable[..., None]  # `Canvas.lay` in some window


@dataclass(frozen=True)
class _Face:
    """What the features of a face are drawn from."""

    canvas: Canvas  # they are painted on
    u: Floats  # ``(B, H, W)`` in the frame of the tilted head
    v: Floats  # likewise
    is_on: dict[str, Floats]  # attributes by name, ``(B,)``
    half_width: Floats  # of the head, ``(B, 1, 1)``
    skin: Floats  # colour ``(B, 3)``
    hair: Floats  # likewise
    beard: Floats  # likewise; more saturated than any skin, so that it stands out from all

    def within(self, left: float, top: float, right: float, bottom: float) -> tuple[Floats, Floats, _Lay]:
        """Return u and v ``(B, h, w)`` inside these bounds of the canvas, and what paints on it there."""
        window = self.canvas.window(left, top, right, bottom)
        return self.u[window], self.v[window], partial(self.canvas.lay, window=window)


def paint_faces(factors: Floats, size: Size) -> NDArray[np.uint8]:
    """Draw ``(B, 16)`` factors, in the order of `BINARY` and `CONTINUOUS`, as uint8 ``(B, H, W, 3)``."""
    is_on = dict(zip(BINARY + CONTINUOUS, factors.T, strict=True))
    canvas = Canvas(hue_colour(is_on["background"], 0.32, 0.95), size)
    u, v = canvas.grid()
    u, v = turned(u, v - _NECK, (2 * is_on["head_tilt"] - 1) * _MAX_TILT)
    skin = _tone(is_on["skin_tone"])
    hair = blend((0.22, 0.14, 0.11), (0.94, 0.79, 0.42), is_on["blond_hair"])
    beard = blend((0.19, 0.12, 0.10), (0.84, 0.62, 0.18), is_on["blond_hair"])
    half_width = between(0.40, 0.54, is_on["head_width"])
    face = _Face(canvas, u, v + _NECK, is_on, half_width, skin, hair, beard)
    layers = (_back_hair, _body, _head, _cheeks, _beard, _front_hair, _nose, _eyes, _brows, _mouth, _mustache)
    for draw in (*layers, _glasses, _hat):
        draw(face)
    return canvas.pixels()


def _tone(share: Floats) -> Floats:
    """Return skin colours, light to dark over a middle tone."""
    light = blend((1.0, 0.88, 0.78), (0.87, 0.65, 0.47), np.minimum(2 * share, 1))
    return light + blend((0, 0, 0), (-0.43, -0.38, -0.29), np.maximum(2 * share - 1, 0))


def _back_hair(face: _Face) -> None:
    bottom = between(0.12, 0.86, face.is_on["hair_length"])
    half = (bottom + 0.6) / 2
    distance = box(face.u, face.v - (bottom - half), face.half_width + 0.11, half, 0.34)
    face.canvas.lay(distance, face.hair * 0.88)


def _body(face: _Face) -> None:
    canvas = face.canvas
    u, v = canvas.grid()
    window = canvas.window(-1, 0.7, 1, canvas.bottom)
    shirt = np.broadcast_to(ellipse(u, np.minimum(v - 1.25, 0), 0.78, 0.5), face.u.shape)
    canvas.lay(shirt[window], hue_colour(face.is_on["shirt"], 0.6, 0.75), window)
    u, v, lay = face.within(-0.4, 0.5, 0.4, 0.98)
    lay(box(u, v - 0.68, 0.16, 0.2, 0.12), face.skin * 0.84)


def _head(face: _Face) -> None:
    u, v, lay = face.within(-0.8, -0.7, 0.8, 0.8)
    u = np.abs(u)
    lay(ellipse(u - face.half_width, v - 0.1, 0.075, 0.11), face.skin * 0.9)
    lay(ellipse(u, v - 0.07, face.half_width, 0.58), face.skin)


def _cheeks(face: _Face) -> None:
    u, v, lay = face.within(-0.7, -0.05, 0.7, 0.6)
    rosy = face.skin * 0.6 + np.array((0.38, 0.10, 0.12), np.float32)
    lay(ellipse(np.abs(u) - 0.24, v - 0.25, 0.095, 0.07), rosy, opacity=face.is_on["rosy_cheeks"])


def _beard(face: _Face) -> None:
    u, v, lay = face.within(-0.8, -0.1, 0.8, 0.9)
    jaw = ellipse(u, v - 0.1, face.half_width + 0.02, 0.62)
    free = ellipse(u, v - 0.05, face.half_width * 0.96, 0.36)
    distance = np.maximum(np.maximum(jaw, -free), 0.1 - v)
    lay(distance, face.beard, opacity=face.is_on["beard"])


def _front_hair(face: _Face) -> None:
    u, v, lay = face.within(-0.85, -0.75, 0.85, 0.3)
    skull = ellipse(u, v - 0.02, face.half_width + 0.07, 0.62)
    free = ellipse(u, v - 0.26, face.half_width * 0.9, 0.62)
    lay(np.maximum(np.maximum(skull, -free), v - 0.05), face.hair)
    fringe = np.maximum(skull, v + 0.20 + 0.1 * np.abs(u))
    lay(fringe, face.hair, opacity=face.is_on["bangs"])


def _nose(face: _Face) -> None:
    u, v, lay = face.within(-0.3, 0.0, 0.3, 0.4)
    lay(ellipse(u, v - 0.2, 0.055, 0.05), face.skin * 0.78)


def _eyes(face: _Face) -> None:
    u, v, lay = face.within(-0.5, -0.25, 0.5, 0.35)
    u, v = np.abs(u) - _EYE_U, v - _EYE_V
    is_open = face.is_on["eyes_open"]
    lay(ellipse(u, v, 0.115, 0.095), _WHITE, opacity=is_open)
    lay(ellipse(u, v, 0.055, 0.065), _INK, opacity=is_open)
    lid = np.maximum(np.abs(v - 0.035 + 4 * u * u) - 0.022, np.abs(u) - 0.11)
    lay(lid, _INK, opacity=1 - is_open)


def _brows(face: _Face) -> None:
    u, v, lay = face.within(-0.55, -0.4, 0.55, 0.2)
    u, v = np.abs(u) - _EYE_U, v + 0.14
    thickness = between(0.014, 0.048, face.is_on["eyebrow_thickness"])
    distance = np.maximum(np.abs(v + 1.5 * u * u) - thickness, np.abs(u) - 0.12)
    lay(distance, face.beard * np.array((0.7, 0.5, 0.15), np.float32))


def _mouth(face: _Face) -> None:
    u, v, lay = face.within(-0.45, 0.2, 0.45, 0.75)
    v = v - 0.4
    smile = np.maximum(ellipse(u, v, 0.21, 0.15), -v)
    smiling = face.is_on["smiling"]
    lay(smile, (0.68, 0.16, 0.20), opacity=smiling)
    teeth = np.maximum(smile + 0.02, v - 0.06)
    lay(teeth, _WHITE, opacity=smiling)
    line = box(u, v - 0.045 - 0.5 * u * u, 0.13, 0.028, 0.028)
    lay(line, (0.68, 0.16, 0.20), opacity=1 - smiling)


def _mustache(face: _Face) -> None:
    u, v, lay = face.within(-0.5, 0.1, 0.5, 0.6)
    u, v = np.abs(u) - 0.1, v - 0.31
    lay(ellipse(u, v - 0.3 * u, 0.13, 0.055), face.beard * 0.8, opacity=face.is_on["mustache"])


def _glasses(face: _Face) -> None:
    u, v, lay = face.within(-0.85, -0.25, 0.85, 0.4)
    u, v = np.abs(u), v - _EYE_V
    worn = face.is_on["eyeglasses"]
    lens = box(u - 0.215, v, 0.165, 0.13, 0.1)
    lay(lens, (0.75, 0.9, 1.0), opacity=worn * 0.25)
    rim = np.abs(lens) - 0.022
    bars = np.maximum(np.abs(v + 0.03) - 0.018, np.minimum(u - 0.06, np.abs(u - 0.42) - 0.05))
    lay(np.minimum(rim, bars), _INK, opacity=worn)


def _hat(face: _Face) -> None:
    u, v, lay = face.within(-1, -1, 1, 0)
    crown = box(u, v + 0.66, face.half_width * 0.86, 0.26, 0.12)
    brim = box(u, v + 0.40, face.half_width + 0.17, 0.05, 0.05)
    band = np.maximum(crown, np.abs(v + 0.50) - 0.05)
    worn = face.is_on["hat"]
    lay(np.minimum(crown, brim), (0.25, 0.28, 0.42), opacity=worn)
    lay(band, (0.86, 0.30, 0.28), opacity=worn)


FACES_SOURCE = Drawing(
    name="shapes-faces",
    version=1,
    paint=paint_faces,
    label_names=(),
    attribute_names=BINARY + CONTINUOUS,
    num_binary=len(BINARY),
)
