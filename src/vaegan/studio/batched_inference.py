"""Encoding and decoding through the batcher: codes and conditions of a request are checked before they join a batch."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..errors import UserError
from ..latent.attribute_vectors import apply
from ..models import Model
from .batching import Outputs
from .http_errors import Refused
from .responses import rounded
from .served_model import ModelVersion

MAX_CODES = 512
MAX_ATTRIBUTES = 4096
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-3e38, le=3e38)]  # as a float32, too
Code = Annotated[list[Finite], Field(min_length=1)]
Codes = Annotated[list[Code], Field(min_length=1, max_length=MAX_CODES)]


class RequestedCondition(BaseModel):
    """The condition of a conditional model; defaults: labels in turn, attributes of held-out images."""

    model_config = ConfigDict(extra="forbid")
    label: str | None = Field(default=None, max_length=200, description="name or number of a label")
    attributes: dict[str, Finite] = Field(
        default={}, max_length=MAX_ATTRIBUTES, description="name -> value as in the data"
    )


def condition_of(model: Model, requested: RequestedCondition | None, num: int) -> Tensor | None:
    """Return the condition `(num, A)` that a model takes; None if it is unconditional; Refused if it does not fit."""
    requested = requested or RequestedCondition()
    conditioning = model.conditioning
    if conditioning is None:
        if requested.label is not None or requested.attributes:
            raise Refused(400, "this model is unconditional; leave 'told' out")
        return None
    try:
        if requested.label is not None:
            return conditioning.of_labels([requested.label]).expand(num, -1)
        if requested.attributes:
            return conditioning.of_attributes(requested.attributes, num)
    except UserError as error:
        raise Refused(404, str(error)) from error
    return conditioning.in_turn(num)


def shared_condition(model: Model, requested: RequestedCondition | None, num: int) -> Tensor | None:
    """Return the condition `(num, A)` of images that belong together, such as a path: the same for all."""
    c = condition_of(model, requested, 1)
    return None if c is None else c.expand(num, -1)


def as_requested(model: Model, c: Tensor | None) -> list[dict[str, Any]] | None:
    """Return conditions `(B, A)`, each as `RequestedCondition` has it; None for unconditional models."""
    conditioning = model.conditioning
    if conditioning is None or c is None:
        return None
    if conditioning.kind == "labels":
        return [{"label": conditioning.names[label]} for label in c.argmax(1).tolist()]
    values = c * torch.tensor(conditioning.scale) + torch.tensor(conditioning.offset)
    return [{"attributes": dict(zip(conditioning.names, row, strict=True))} for row in rounded(values)]


def codes_of(model: Model, codes: Sequence[Sequence[float]]) -> Tensor:
    """Return codes `(B, Z)` of a request; Refused with 422 if their number of dimensions is not the model's."""
    if wrong := next((len(code) for code in codes if len(code) != model.latent_dim), None):
        raise Refused(422, f"codes of this model have {model.latent_dim} dimensions, not {wrong}")
    return torch.tensor(codes, dtype=torch.float32)


def check_dimensions(model: Model, dimensions: Sequence[int]) -> None:
    """Raise `Refused` with 422 if a code has not all of these dimensions."""
    if wrong := [d for d in dimensions if not 0 <= d < model.latent_dim]:
        raise Refused(422, f"there is no dimension {wrong[0]}; valid numbers are 0 to {model.latent_dim - 1}")


def add_attributes(version: ModelVersion, z: Tensor, strengths: dict[str, float]) -> Tensor:
    """Return codes with attribute vectors added, each times its strength; Refused with 409 or 404 if there is none."""
    if not strengths:
        return z
    vectors = version.vectors
    if vectors is None:
        fix = f"create them with `vaegan attributes {version.served.source}`"
        raise Refused(409, f"{version.name} has no attribute vectors; {fix}")
    for name, strength in strengths.items():
        if name not in vectors.names:
            raise Refused(404, f"no attribute '{name[:100]}'; available: {', '.join(vectors.names)}")
        z = apply(z, vectors[name], strength)
    return z


def decode(version: ModelVersion, z: Tensor, condition: Tensor | None) -> Tensor:
    """Return images `(B, C, H, W)` in [0, 1] of codes `(B, Z)` under conditions `(B, A)`, if the model takes any."""
    return version.served.batcher.submit(version.decode, z, condition).result()[0]


async def decode_async(version: ModelVersion, z: Tensor, condition: Tensor | None) -> Tensor:
    """As `decode`, without a thread that waits."""
    return (await asyncio.wrap_future(version.served.batcher.submit(version.decode, z, condition)))[0]


def encode(version: ModelVersion, x: Tensor, condition: Tensor | None) -> Outputs:
    """Return mu and, except of a plain autoencoder, logvar `(B, Z)` of images `(B, C, H, W)` in [0, 1]."""
    return version.served.batcher.submit(version.encode, x, condition).result()
