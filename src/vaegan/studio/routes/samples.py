"""New images, by prior, label and seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ValidationError
from torch import Tensor

from ...data.conditions import Conditioning
from ...errors import UserError
from ...models import Model
from ...priors import Prior
from ..batched_inference import decode
from ..conditions import Told
from ..http_errors import Refused
from ..registry import OfModel
from ..responses import Form, answer
from ..served_model import Opened

router = APIRouter(tags=["samples"])
BY_LABEL = " of the label"
Seed = Annotated[int, Query(ge=0, lt=2**31, description="the same seed gives the same images")]


@router.get("/api/models/{model}/samples")
def samples(
    opened: OfModel,
    num: Annotated[int, Query(ge=1, le=256)] = 16,
    seed: Seed = 0,
    prior: Annotated[str | None, Query(max_length=100, description="the model's default if not given")] = None,
    label: Annotated[str | None, Query(max_length=200, description="name or number of a label")] = None,
    attribute: Annotated[list[str], Query(max_length=100, description="NAME=VALUE, of conditional models")] = [],  # noqa: B006
    form: Form = "json",
) -> Response:
    """Draw codes from a prior and decode them."""
    model = opened.model()
    conditioning = model.conditioning
    told = Told(attributes=_attributes(attribute))
    if conditioning is not None and conditioning.kind == "labels":
        told.label = label
        label = None if not model.prior_of(prior).num_labels else label
    chosen, labels = _prior_of(opened, model, prior, label, num)
    z = chosen.sample(num, seed=seed, labels=labels)
    images, drawn_from = decode(opened, z, told), chosen.name + (BY_LABEL if labels is not None else "")
    return answer(form, images, z, name=f"{opened.name}-samples-{seed}", prior=drawn_from, seed=seed)


def _prior_of(
    opened: Opened, model: Model, name: str | None, label: str | None, num: int
) -> tuple[Prior, Tensor | None]:
    """Return the prior to draw from, and the labels `(num,)` to ask it for.

    Raises:
        Refused: if there is no prior or label of this name, or codes of a label cannot be known.
    """
    try:
        prior = model.prior_of(name) if model.prior_names or label is None else None
    except UserError as error:
        raise Refused(404 if model.prior_names else 409, str(error)) from error
    if label is None:
        assert prior is not None
        return prior, None
    if name is not None and prior is not None and not prior.num_labels:
        raise Refused(400, f"the prior '{name}' knows no labels; leave it out, and one of each label is fitted")
    if prior is None or not prior.num_labels:
        prior = opened.prior_by_label()
        names = opened.images("train").label_names
    else:
        names = tuple(model.info["label_names"])
    try:
        index = int(Conditioning("labels", names).of_labels([label]).argmax())
    except UserError as error:
        raise Refused(404, str(error)) from error
    return prior, torch.full((num,), index)


def _attributes(given: Sequence[str]) -> dict[str, float]:
    """Return attributes by name out of NAME=VALUE.

    Raises:
        Refused: with 422 if one is not of this form, or its value no number that attributes have.
    """
    pairs = {name.strip(): value for name, _, value in (words.rpartition("=") for words in given)}
    try:
        return Told.model_validate({"attributes": pairs}).attributes
    except ValidationError as error:
        raise Refused(422, "attribute: write NAME=VALUE with a number, such as smiling=1") from error
