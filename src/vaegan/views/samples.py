"""Samples: codes from a prior, decoded, optionally for labels or attributes."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..data.conditions import Conditioning
from ..errors import UserError
from ..priors import best_by_label
from ..runs.opened import OpenedRun
from .view import View


def samples(
    run: OpenedRun,
    num: int,
    seed: int = 0,
    prior: str | None = None,
    labels: Sequence[str] = (),
    attributes: Mapping[str, float] | None = None,
) -> View:
    """Return samples, `(1, N, H, W, C)`, or a row for each of several labels, for which N may be rounded up.

    A conditional model gets all labels in turn, or the attributes of held-out images, unless some are named; of other
    models labels take the best prior by label, unless one is named. Raises UserError if the model has no such prior,
    label or attribute, or both are named.
    """
    model, per_row = run.model(), None
    if labels and attributes:
        raise UserError("labels and attributes cannot be combined; give --label or --attribute")
    if labels and prior is None and model.conditioning is None and not model.prior_of(None).num_labels:
        prior = best_by_label(model.priors)
    if len(labels) > 1:
        per_row = -(-num // len(labels))
        num = per_row * len(labels)
    by_label = bool(model.prior_of(prior).num_labels)
    if labels and not by_label and model.conditioning is None and best_by_label(model.priors):
        raise UserError(f"--label: the prior '{prior}' is not fitted by label; leave out --prior to use one that is")
    c = _condition(run, num, labels, attributes or {}, by_label=by_label)
    indices = c.argmax(1) if c is not None and model.conditioning and model.conditioning.kind == "labels" else None
    if c is None and labels:
        of_labels = Conditioning("labels", tuple(model.info["label_names"])).of_labels(labels)
        indices = of_labels.argmax(1).repeat_interleave(num // len(of_labels))
    codes = model.sample_codes(num, seed, prior, indices if by_label else None)
    caption = f"{num} samples, decoded from codes drawn from the prior '{prior or model.default_prior}'."
    if model.conditioning is not None and not (labels or attributes):
        caption += {
            "labels": " The labels take turns.",
            "attributes": " Attributes are those of held-out images, in turn.",
        }[model.conditioning.kind]
    return View(
        run.decode(codes[None], c),
        shown=run.shown,
        codes=codes[None],
        labels=indices,
        is_sequence=True,
        per_row=per_row,
        caption=caption,
    )


def _condition(
    run: OpenedRun, num: int, labels: Sequence[str], attributes: Mapping[str, float], *, by_label: bool
) -> Tensor | None:
    """Return the condition `(num, A)` of the images, if the model takes one."""
    model = run.model()
    conditioning = model.conditioning
    if conditioning is None:
        if attributes or (labels and not by_label):
            option = "label" if labels else "attribute"
            remedy = f"train one with --model.condition {option}s"
            if labels and model.encoder is not None:
                remedy += f", or fit a prior for each label: vaegan priors {run.path} --by-label"
            raise UserError(f"--{option}: this model is not {option}-conditional; {remedy}")
        return None
    if labels:
        c = conditioning.of_labels(labels)
        return c.repeat_interleave(num // len(c), dim=0)
    return conditioning.of_attributes(attributes, num) if attributes else conditioning.in_turn(num)
