"""``vaegan sample``: z ~ p(z), decoded; under the labels or attributes that a model is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ..errors import UserError
from .options import Arg
from .pictures import PictureOptions, decode_to_bytes, load_model, output_of, say_where

if TYPE_CHECKING:
    from torch import Tensor

    from ..models import Model


class Options(PictureOptions):
    """Draw new images from a prior of a trained model.

    A model that was trained with --model.condition can be asked for labels or attributes. What is not asked for is
    filled in: labels in turn, attributes as held-out images have them. Any model can be asked for labels where its
    prior was fitted to each label (vaegan priors --by-label).
    """

    prior: str | None = None
    """One of the model's priors, 'normal' or a fitted one; the best fitted one if there are any."""
    label: Annotated[tuple[str, ...], Arg(repeated=True)] = ()
    """Label of the images, a name or its number; several, repeated or with commas, get a row each."""
    attribute: Annotated[tuple[str, ...], Arg(repeated=True)] = ()
    """Attribute of the images as NAME=VALUE, the value as in the data, such as smiling=1; may be repeated."""


def run(options: Options) -> None:
    """Write new images and say where they are."""
    from ..report.output import write_images

    out, overwrite = output_of(options, "sample.png")
    model = load_model(options)
    num, columns = options.num, None
    if len(options.label) > 1:
        columns = -(-num // len(options.label))
        num = columns * len(options.label)
    knows = bool(model.prior_of(options.prior).num_labels)
    c = _condition(options, model, num, prior_knows=knows)
    labels = c.argmax(1) if c is not None and model.conditioning and model.conditioning.kind == "labels" else None
    if c is None and options.label:
        labels = _labels(options, model, num)
    codes = model.sample_codes(num, options.seed, options.prior, labels if knows else None)
    images = decode_to_bytes(model, codes, options.batch_size, c)
    write_images(out, images, codes=codes, labels=labels, overwrite=overwrite, columns=columns)
    say_where(num, "images", out)


def _condition(options: Options, model: Model, num: int, *, prior_knows: bool) -> Tensor | None:
    """Return what the images are to show, `(num, A)`, if the model takes that.

    Raises:
        UserError: if it does not, or knows no such label or attribute.
    """
    conditioning = model.conditioning
    if conditioning is None:
        if options.attribute or (options.label and not prior_knows):
            asked = "label" if options.label else "attribute"
            raise UserError(f"--{asked}: this model is told none; train one with --model.condition {asked}s")
        return None
    if options.label:
        asked_for = conditioning.of_labels(options.label)
        return asked_for.repeat_interleave(num // len(asked_for), dim=0)
    if options.attribute:
        return conditioning.of_attributes(dict(map(_value, options.attribute)), num)
    return conditioning.in_turn(num)


def _labels(options: Options, model: Model, num: int) -> Tensor:
    """Return the labels asked for, int `(num,)`, of a model that is told none but whose prior knows them.

    Raises:
        UserError: if there is no such label.
    """
    from ..data.conditions import Conditioning

    c = Conditioning("labels", tuple(model.info["label_names"])).of_labels(options.label)
    return c.argmax(1).repeat_interleave(num // len(c))


def _value(words: str) -> tuple[str, float]:
    name, _, value = words.rpartition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise UserError(f"--attribute {words}: write NAME=VALUE with a number, such as smiling=1") from error
