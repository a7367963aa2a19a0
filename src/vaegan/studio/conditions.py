"""What a request says of its images, for models that are told something about each; see `vaegan.data.conditions`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..errors import UserError
from ..models import Model
from .http_errors import Refused

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]


class Told(BaseModel):
    """What a conditional model is told; what is not given is filled in, labels in turn, attributes as examples have."""

    model_config = ConfigDict(extra="forbid")
    label: str | None = Field(default=None, max_length=200, description="name or number of a label")
    attributes: dict[str, Finite] = Field(default={}, max_length=200, description="name -> value as in the data")


def condition_of(model: Model, told: Told | None, num: int) -> Tensor | None:
    """Return the condition `(num, A)` that a model takes; None if it takes none.

    Raises:
        Refused: if it takes none and is told something, or knows no such label or attribute.
    """
    told = told or Told()
    conditioning = model.conditioning
    if conditioning is None:
        if told.label is not None or told.attributes:
            raise Refused(400, "this model is told neither labels nor attributes; leave 'told' out")
        return None
    try:
        if told.label is not None:
            return conditioning.of_labels([told.label]).expand(num, -1)
        if told.attributes:
            return conditioning.of_attributes(told.attributes, num)
    except UserError as error:
        raise Refused(404, str(error)) from error
    return conditioning.in_turn(num)
