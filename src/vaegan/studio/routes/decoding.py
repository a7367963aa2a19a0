"""Codes -> images: decoded, edited, interpolated, traversed."""

from dataclasses import replace
from typing import Annotated

import torch
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ...latent.code_paths import PathMethod, mix, traverse
from ...views.view import View
from ..batched_inference import (
    MAX_ATTRIBUTES,
    MAX_CODES,
    Code,
    Codes,
    Finite,
    RequestedCondition,
    add_attributes,
    check_dimensions,
    codes_of,
    condition_of,
    decode,
    decode_async,
    shared_condition,
)
from ..registry import Version
from ..responses import Form, sequence, view_response

router = APIRouter(tags=["codes"])
_MAX_INLINE = 4  # images that are compressed without a thread of their own
Share = Annotated[float, Field(ge=0, le=1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    condition: RequestedCondition | None = Field(default=None, alias="told", description="of conditional models")
    form: Form = "json"


class ToDecode(_Body):
    """Codes, and edits to apply before decoding."""

    codes: Codes = Field(description="codes (B, Z)")
    attributes: dict[str, Finite] = Field(
        default={}, max_length=MAX_ATTRIBUTES, description="attribute vectors to add: name -> strength"
    )
    dimensions: dict[int, Finite] = Field(default={}, max_length=4096, description="dimensions to set: number -> value")


class ToInterpolate(_Body):
    """Two to four codes, the corners."""

    codes: Annotated[list[Code], Field(min_length=2, max_length=4)]
    how: PathMethod = "linear"
    steps: int = Field(default=8, ge=2, le=22, description="images on each side")
    places: list[tuple[Share, Share]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CODES,
        description="points between the corners, right and down, instead of steps",
    )


class ToTraverse(_Body):
    """A code, and the dimensions to vary."""

    code: Code
    dimensions: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=32)
    reach: float = Field(default=3.0, gt=0, le=100, description="values run from -reach to reach")
    steps: int = Field(default=9, ge=2, le=16)


@router.post("/api/models/{model}/decode")
async def decode_codes(version: Version, body: ToDecode) -> Response:
    """Decode codes, after adding attribute vectors and setting single dimensions."""
    check_dimensions(version.model, list(body.dimensions))
    z = add_attributes(version, codes_of(version.model, body.codes), body.attributes)
    for dimension, value in body.dimensions.items():
        z[:, dimension] = value
    images = await decode_async(version, z, condition_of(version.model, body.condition, len(z)))
    name = f"{version.name}-decoded"
    if len(images) <= _MAX_INLINE and body.form in ("json", "png"):
        return view_response(body.form, sequence(version.shown, images, z), name=name)
    return await run_in_threadpool(view_response, body.form, sequence(version.shown, images, z), name=name)


@router.post("/api/models/{model}/interpolate")
def interpolate_codes(version: Version, body: ToInterpolate) -> Response:
    """Decode codes between two (a row), three or four corners (a square); a GIF runs there and back, or around."""
    corners = codes_of(version.model, body.codes)
    places = torch.tensor(body.places) if body.places else _places(len(corners), body.steps, body.form == "gif")
    z = mix(corners, places, body.how)
    images = decode(version, z, shared_condition(version.model, body.condition, len(z)))
    view = replace(sequence(version.shown, images, z), per_row=None if body.places else body.steps)
    return view_response(body.form, view, name=f"{version.name}-interpolation", places=places.tolist())


@router.post("/api/models/{model}/traverse")
def traverse_code(version: Version, body: ToTraverse) -> Response:
    """Decode a code with one dimension after another set to values from -reach to reach, a row for each dimension."""
    check_dimensions(version.model, body.dimensions)
    values = torch.linspace(-body.reach, body.reach, body.steps)
    z = traverse(codes_of(version.model, [body.code])[0], body.dimensions, values)
    flat = z.flatten(0, 1)
    decoded = decode(version, flat, shared_condition(version.model, body.condition, len(flat)))
    numbers = version.model.pixels.from_unit(decoded)
    names = [f"z{dimension}" for dimension in body.dimensions]
    view = View(
        numbers.reshape(*z.shape[:2], *numbers.shape[1:]),
        names,
        [f"{value:.3g}" for value in values.tolist()],
        z,
        shown=version.shown,
    )
    more = {"dimensions": body.dimensions, "values": values.tolist()}
    return view_response(body.form, view, name=f"{version.name}-dimensions", **more)


def _places(num: int, steps: int, looped: bool) -> torch.Tensor:
    """Return positions `(P, 2)` between the corners: a row or a square; looped, there and back or around."""
    t = torch.linspace(0, 1, steps)
    zero = torch.zeros(steps)
    if num == 2:
        row = torch.stack([t, zero], 1)
        return torch.cat([row, row.flip(0)[1:-1]]) if looped else row
    if not looped:
        return torch.stack([t.repeat(steps), t.repeat_interleave(steps)], 1)
    one = torch.ones(steps)
    sides = [(t, zero), (one, t), *([(1 - t, one)] if num == 4 else []), (zero, 1 - t)]
    return torch.cat([torch.stack(side, 1)[:-1] for side in sides])
