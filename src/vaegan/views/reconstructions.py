"""Reconstructions: x beside x_tilde = Dec(mu(x)), and both beside samples."""

from __future__ import annotations

from ..data.dataset import ImageSet
from ..report.grid import Bytes
from ..report.sheet import triptych
from ..runs.opened import OpenedRun
from .view import View


def reconstructions(run: OpenedRun, images: ImageSet) -> View:
    """Return images decoded from the means of their codes, `(1, N, H, W, C)`, with their originals.

    Raises:
        UserError: if there is no encoder or no decoder, or the model is conditional and their conditions are not known.
    """
    codes, _ = run.encode(images)
    return View(
        run.decode(codes[None], run.model().condition_of(images)),
        codes=codes[None],
        originals=images.images[None],
        labels=images.labels,
        names=images.names,
        is_sequence=True,
        caption=f"{len(images)} images, each above its reconstruction (the decoded mean of its code).",
    )


def triptych_of(run: OpenedRun, images: ImageSet, seed: int = 0) -> Bytes:
    """Return one picture, uint8 `(H', W', C)`: images, their reconstructions, and as many samples.

    Samples of a conditional model are under the images' own conditions.

    Raises:
        UserError: as `reconstructions`, or if there is no prior to sample from.
    """
    model, view = run.model(), reconstructions(run, images)
    made = run.decode(model.sample_codes(len(images), seed), model.condition_of(images))
    return triptych(images.images, view.images[0], made)
