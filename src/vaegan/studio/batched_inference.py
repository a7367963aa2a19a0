"""Encoding and decoding through the batcher: checked first, so that nobody spoils the batch of another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..latent.attribute_vectors import apply
from ..models import Model
from .batching import Outputs
from .conditions import Finite, Told, condition_of
from .http_errors import Refused
from .served_model import Opened

MOST_CODES = 512
Code = Annotated[list[Finite], Field(min_length=1, max_length=65_536)]
Codes = Annotated[list[Code], Field(min_length=1, max_length=MOST_CODES)]


class _Part:
    """A method of a model as a function of rows; equal where model and method are, so that requests are joined."""

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Part) and self.model is other.model and self.name == other.name

    def __hash__(self) -> int:
        return hash((id(self.model), self.name))

    def __call__(self, rows: Tensor, *condition: Tensor) -> Outputs:
        c = condition[0] if condition else None
        if self.name == "decode":
            return (self.model.decode(rows, condition=c).cpu(),)
        if self.model.kind == "ae":
            return (self.model.encode(rows, condition=c).cpu(),)
        return tuple(tensor.cpu() for tensor in self.model.posterior(rows, condition=c))


def codes_of(model: Model, codes: Sequence[Sequence[float]]) -> Tensor:
    """Return codes `(B, Z)` of a request.

    Raises:
        Refused: with 422 if they have another number of dimensions than the model's.
    """
    if wrong := next((len(code) for code in codes if len(code) != model.latent_dim), None):
        raise Refused(422, f"codes of this model have {model.latent_dim} dimensions, not {wrong}")
    return torch.tensor(codes, dtype=torch.float32)


def edited(opened: Opened, z: Tensor, strengths: dict[str, float]) -> Tensor:
    """Return codes with attribute vectors added, each so strongly.

    Raises:
        Refused: with 409 if the model has no vectors, with 404 if it has none of a name.
    """
    if not strengths:
        return z
    vectors = opened.vectors()
    if vectors is None:
        raise Refused(
            409, f"{opened.name} has no attribute vectors; make them with `vaegan attributes {opened.source}`"
        )
    for name, strength in strengths.items():
        if name not in vectors.names:
            raise Refused(404, f"no attribute '{name[:100]}'; there are {', '.join(vectors.names)}")
        z = apply(z, vectors[name], strength)
    return z


def decode(opened: Opened, z: Tensor, told: Told | None = None, condition: Tensor | None = None) -> Tensor:
    """Return images `(B, C, H, W)` in [0, 1] of codes `(B, Z)`; waits for them.

    Raises:
        UserError: if there is no decoder, or what is told does not fit.
    """
    return _submit(opened, "decode", z, told, condition).result()[0]


async def decode_soon(opened: Opened, z: Tensor, told: Told | None = None) -> Tensor:
    """Do the same without holding a thread while it waits."""
    return (await asyncio.wrap_future(_submit(opened, "decode", z, told, None)))[0]


def encode(opened: Opened, x: Tensor, told: Told | None = None, condition: Tensor | None = None) -> Outputs:
    """Return mu and, but of a plain autoencoder, logvar `(B, Z)` of images `(B, C, H, W)` in [0, 1].

    Raises:
        UserError: if there is no encoder, or what is told does not fit.
    """
    return _submit(opened, "encode", x, told, condition).result()


def _submit(opened: Opened, name: str, rows: Tensor, told: Told | None, condition: Tensor | None) -> Future[Outputs]:
    model = opened.model()
    c = condition_of(model, told, len(rows)) if condition is None else condition
    return opened.batcher.submit(_Part(model, name), rows, *(() if c is None else (c,)))
