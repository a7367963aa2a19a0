"""New images, by prior, label and seed."""

from collections.abc import Sequence
from typing import Annotated

import torch
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ValidationError
from torch import Tensor

from ...data.conditions import Conditioning
from ...errors import UserError
from ...priors import Prior, best_by_label
from ..batched_inference import MAX_ATTRIBUTES, RequestedCondition, as_requested, condition_of, decode
from ..http_errors import Refused
from ..registry import Version
from ..responses import Form, sequence, view_response
from ..served_model import ModelVersion

router = APIRouter(tags=["samples"])


@router.get("/api/models/{model}/samples")
def samples(
    version: Version,
    num: Annotated[int, Query(ge=1, le=256)] = 16,
    seed: Annotated[int, Query(ge=0, lt=2**31, description="the same seed gives the same images")] = 0,
    prior: Annotated[str | None, Query(max_length=100, description="the model's default if not given")] = None,
    label: Annotated[str | None, Query(max_length=200, description="name or number of a label")] = None,
    attribute: Annotated[
        list[str], Query(max_length=MAX_ATTRIBUTES, description="NAME=VALUE, of conditional models")
    ] = [],  # noqa: B006
    form: Form = "json",
) -> Response:
    """Sample codes from a prior and decode them; of a conditional model each with its condition, told."""
    model = version.model
    requested = RequestedCondition(attributes=_attributes(attribute))
    if model.conditioning is not None and model.conditioning.kind == "labels":
        requested.label = label
        label = None if not model.prior_of(prior).num_labels else label
    chosen, labels = _prior_of(version, prior, label, num)
    c = condition_of(model, requested, num)
    z = chosen.sample(num, seed=seed, labels=model.labels_for(chosen, c) if labels is None else labels)
    images = decode(version, z, c)
    title = chosen.name + (" of the label" if labels is not None else "")
    view, told = sequence(version.shown, images, z), as_requested(model, c)
    return view_response(form, view, name=f"{version.name}-samples-{seed}", prior=title, seed=seed, told=told)


def _prior_of(version: ModelVersion, name: str | None, label: str | None, num: int) -> tuple[Prior, Tensor | None]:
    """Return the prior to sample from, and the labels `(num,)` to sample for, or raise Refused."""
    model = version.model
    try:
        prior = model.prior_of(name) if model.prior_names or label is None else None
    except UserError as error:
        raise Refused(404 if model.prior_names else 409, str(error)) from error
    if label is None:
        assert prior is not None
        return prior, None
    if name is not None and prior is not None and not prior.num_labels:
        raise Refused(400, f"the prior '{name}' is not fitted by label; leave it out to use one that is")
    if (prior is None or not prior.num_labels) and (best := best_by_label(model.priors)):
        prior = model.priors[best]
    if prior is None or not prior.num_labels:
        prior = version.prior_by_label()
        names = version.images("train").label_names
    else:
        names = tuple(model.info["label_names"])
    try:
        index = int(Conditioning("labels", names).of_labels([label]).argmax())
    except UserError as error:
        raise Refused(404, str(error)) from error
    return prior, torch.full((num,), index)


def _attributes(words: Sequence[str]) -> dict[str, float]:
    """Return attributes by name from NAME=VALUE; Refused with 422 if one is not so, out of range or given twice."""
    pairs = {name.strip(): value for name, _, value in (word.rpartition("=") for word in words)}
    if len(pairs) < len(words):
        raise Refused(422, "attribute: a name is given twice; send one request for each value")
    try:
        return RequestedCondition.model_validate({"attributes": pairs}).attributes
    except ValidationError as error:
        raise Refused(422, "attribute: write NAME=VALUE with a number, such as smiling=1") from error
