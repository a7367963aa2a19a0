"""Priors for a model: fitted to draws from its aggregated posterior, the mixture of all q(z|x).

Draws, z ~ q(z|x), one of each image, fill the space as in the decoder's training; the means alone would leave gaps.
A plain autoencoder has no posterior: priors are fitted to its codes.
"""

from collections.abc import Sequence

import torch

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..models import Model
from ..priors import DEFAULT, Prior, best_prior, fit_priors
from ..priors.prior import Progress
from ..progress import paced
from .encoding import drawn_codes

_MOST_NUMBERS = 2**25  # of all codes together
_MOST_IMAGES = 200_000


def fit_model_priors(
    model: Model,
    images: ImageSet,
    *,
    names: Sequence[str] | None = None,
    by_label: bool = False,
    seed: int,
    batch_size: int = 256,
    on_progress: Progress | None = None,
    flow_steps: int | None = None,
    guidance: float | None = None,
) -> dict[str, Prior]:
    """Fit priors to a model's codes; they join `model.priors`, and the best-fitting prior becomes its default.

    All others of the model are scored again, by the same held-out codes.

    Args:
        model: has an encoder.
        images: its training images.
        names: of `priors.PRIORS`; if None, `priors.DEFAULT`, or a flow where codes are maps.
        by_label: fit to each label, so that codes can be drawn for a label.
        seed: of all random choices.
        batch_size: images encoded at a time.
        on_progress: called with a few words at each stage.
        flow_steps: training steps of a flow; 8000 if None, 5000 over maps.
        guidance: of a flow over maps by label, see `Flow.set_solver`; 1 if None.

    Returns:
        Those just fitted, N(0, I) for comparison where it is a prior of the model, and the model's others.

    Raises:
        UserError: if there is no encoder, the images do not fit or have no labels, or others than the model was trained
            with, or the codes cannot be fitted.
    """
    if by_label and images.labels is None:
        raise UserError("these images have no labels to fit priors by; leave out --by-label, or use others (--data)")
    known = tuple(model.info.get("label_names") or images.label_names)
    if by_label and known != images.label_names:
        raise UserError(
            f"these images have the labels {', '.join(images.label_names)}, the model was trained with "
            f"{', '.join(known)}; leave out --by-label"
        )
    if names is None:
        names = ("flow",) if len(model.code_shape) == 3 else DEFAULT
    if flow_steps and "flow" not in names:
        raise UserError("--flow-steps applies only to a flow, and no flow is being fitted; add --priors flow")
    if guidance is not None and len(model.code_shape) != 3:
        raise UserError("--guidance is for codes that are maps, and those of this model are vectors; leave it out")
    if guidance is not None and not (by_label and "flow" in names):
        raise UserError("--guidance needs a flow by label: add --priors flow --by-label")
    chosen = some_rows(len(images), most_images(model), seed)
    batches = drawn_codes(model, images, chosen, seed, batch_size)
    codes = torch.cat(list(paced(batches, -(-len(chosen) // batch_size), "encoding")))
    labels = torch.from_numpy(images.labels[chosen]).long() if by_label and images.labels is not None else None
    normal = ["normal"] if model.has_normal_prior else []
    fitted = fit_priors(
        codes,
        names=[*normal, *names],
        labels=labels,
        num_labels=len(images.label_names) if by_label else 0,
        label_names=images.label_names,
        seed=seed,
        on_progress=on_progress,
        code_shape=model.code_shape,
        flow_steps=flow_steps,
        device=model.device,
        others={name: prior for name, prior in model.priors.items() if name not in names},
    )
    if guidance is not None:
        fitted["flow"].set_solver(guidance=guidance)
    model.priors |= {name: prior for name, prior in fitted.items() if name != "normal"}
    model.info["default_prior"] = best_prior(fitted)
    if by_label:
        model.info["label_names"] = list(known)
    return fitted


def most_images(model: Model) -> int:
    """Return how many images priors are fitted to at most, as all codes are in memory."""
    return min(_MOST_IMAGES, _MOST_NUMBERS // model.latent_dim)
