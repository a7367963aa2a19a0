"""Codes go in, images come out: decoded, edited, between codes, along dimensions."""

from __future__ import annotations

from typing import Annotated

import torch
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ...latent.paths import How, mix, traverse
from ..batched_inference import MOST_CODES, Code, Codes, codes_of, decode, decode_soon, edited
from ..conditions import Finite, Told
from ..http_errors import Refused
from ..registry import OfModel
from ..responses import Form, answer

router = APIRouter(tags=["codes"])
_FEW = 4  # images that are packed at once, without a thread of their own
Share = Annotated[float, Field(ge=0, le=1)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    told: Told | None = None
    form: Form = "json"


class ToDecode(_Asked):
    """Codes, and what is done to them first."""

    codes: Codes = Field(description="codes (B, Z)")
    attributes: dict[str, Finite] = Field(
        default={}, max_length=200, description="attribute vectors to add: name -> strength"
    )
    dimensions: dict[int, Finite] = Field(default={}, max_length=4096, description="dimensions to set: number -> value")


class Between(_Asked):
    """Two to four codes."""

    codes: Annotated[list[Code], Field(min_length=2, max_length=4)]
    how: How = "linear"
    steps: int = Field(default=8, ge=2, le=22, description="images on each side")
    places: list[tuple[Share, Share]] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_CODES,
        description="where between them, right and down, instead of steps",
    )


class Along(_Asked):
    """A code, and the dimensions to walk along."""

    code: Code
    dimensions: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=32)
    reach: float = Field(default=3.0, gt=0, le=100, description="values go from minus this to this")
    steps: int = Field(default=9, ge=2, le=16)


@router.post("/api/models/{model}/decode")
async def decode_codes(opened: OfModel, asked: ToDecode) -> Response:
    """Decode codes, after adding attribute vectors and setting single dimensions."""
    # Where model or vectors may have to be read first, that shall keep nobody else waiting.
    quick = opened.is_current() and not asked.attributes
    z = _changed(opened, asked) if quick else await run_in_threadpool(_changed, opened, asked)
    images = await decode_soon(opened, z, asked.told)
    if len(images) <= _FEW and asked.form in ("json", "png"):
        return answer(asked.form, images, z, name=f"{opened.name}-decoded")
    return await run_in_threadpool(answer, asked.form, images, z, name=f"{opened.name}-decoded")


@router.post("/api/models/{model}/interpolate")
def interpolate_codes(opened: OfModel, asked: Between) -> Response:
    """Decode what lies between two (a row), three or four codes (a square); a film goes there and back, or around."""
    corners = codes_of(opened.model(), asked.codes)
    places = torch.tensor(asked.places) if asked.places else _places(len(corners), asked.steps, asked.form == "gif")
    z = mix(corners, places, asked.how)
    columns = None if asked.places else asked.steps
    images = decode(opened, z, asked.told)
    name = f"{opened.name}-interpolation"
    return answer(asked.form, images, z, name=name, columns=columns, places=places.tolist())


@router.post("/api/models/{model}/traverse")
def traverse_code(opened: OfModel, asked: Along) -> Response:
    """Decode a code with one dimension after another set to values from -reach to reach, a row for each dimension."""
    model = opened.model()
    if (highest := max(asked.dimensions)) >= model.latent_dim:
        raise Refused(422, f"there is no dimension {highest}; there are 0 to {model.latent_dim - 1}")
    values = torch.linspace(-asked.reach, asked.reach, asked.steps)
    z = traverse(codes_of(model, [asked.code])[0], asked.dimensions, values)
    images, flat = decode(opened, z.flatten(0, 1), asked.told), z.flatten(0, 1)
    more = {"dimensions": asked.dimensions, "values": values.tolist()}
    name = f"{opened.name}-dimensions"
    return answer(asked.form, images, flat, name=name, columns=asked.steps, shape=z.shape[:2], **more)


def _changed(opened: OfModel, asked: ToDecode) -> torch.Tensor:
    model = opened.model()
    z = edited(opened, codes_of(model, asked.codes), asked.attributes)
    for dimension, value in asked.dimensions.items():
        if not 0 <= dimension < model.latent_dim:
            raise Refused(422, f"there is no dimension {dimension}; there are 0 to {model.latent_dim - 1}")
        z[:, dimension] = value
    return z


def _places(num: int, steps: int, film: bool) -> torch.Tensor:
    """Return places `(P, 2)` between so many codes: a row, a square, or a way around for a film."""
    t = torch.linspace(0, 1, steps)
    zero = torch.zeros(steps)
    if num == 2:
        row = torch.stack([t, zero], 1)
        return torch.cat([row, row.flip(0)[1:-1]]) if film else row
    if not film:
        return torch.stack([t.repeat(steps), t.repeat_interleave(steps)], 1)
    one = torch.ones(steps)
    sides = [(t, zero), (one, t), *([(1 - t, one)] if num == 4 else []), (zero, 1 - t)]
    return torch.cat([torch.stack(side, 1)[:-1] for side in sides])
