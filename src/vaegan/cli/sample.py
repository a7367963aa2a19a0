"""``vaegan sample``: z ~ p(z), decoded, optionally for labels or attributes."""

from typing import Annotated

from pydantic import Field

from ..errors import UserError
from ..settings import Guidance
from .common import PictureOptions, open_run, output_of, write_and_say
from .options import Arg


class Options(PictureOptions):
    """Draw samples from a prior of a trained model.

    A model that was trained with --model.condition takes labels or attributes. Defaults: all labels in turn, attributes
    of held-out images. Any model takes labels if its prior was fitted to each label (vaegan priors --by-label).
    """

    prior: str | None = None
    """One of the model's priors: 'normal' or a fitted one; default: the best-fitting one, if any."""
    label: Annotated[tuple[str, ...], Arg(repeated=True)] = ()
    """Label of the images, a name or its number; several, repeated or with commas, get a row each."""
    attribute: Annotated[tuple[str, ...], Arg(repeated=True)] = ()
    """Attribute of the images as NAME=VALUE, the value as in the data, such as smiling=1; repeat it for others."""
    steps: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Arg(default="24, or 12 where codes are maps")] = None
    """ODE solver steps for a flow; fewer are faster and less accurate."""
    guidance: Annotated[Guidance | None, Arg(default="the one saved with the flow, or 1")] = None
    """Classifier-free guidance scale, for a flow over maps fitted by label: values above 1 give samples more typical of
    their label and less diverse."""


def run(options: Options) -> None:
    """Write samples and say where they are."""
    from ..views.samples import samples

    out, overwrite = output_of(options, "sample.png")
    attributes: dict[str, float] = {}
    for name, value in map(_value, options.attribute):
        if name in attributes:
            raise UserError(f"--attribute {name} is given twice; run one command for each value")
        attributes[name] = value
    opened = open_run(options)
    if (options.steps, options.guidance) != (None, None):
        opened.model().prior_of(options.prior).set_solver(options.steps, options.guidance)
    view = samples(opened, options.num, options.seed, options.prior, options.label, attributes)
    write_and_say(view, out, overwrite, view.images.shape[1], "images")


def _value(words: str) -> tuple[str, float]:
    name, _, value = words.rpartition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise UserError(f"--attribute {words}: write NAME=VALUE with a number, such as smiling=1") from error
