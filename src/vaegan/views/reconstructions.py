"""Reconstructions: x beside x_tilde = Dec(mu(x)), and both beside samples."""

from ..data.dataset import ImageSet
from ..report.grid import Bytes, triptych
from ..runs.opened import OpenedRun
from .view import View


def reconstructions(run: OpenedRun, images: ImageSet) -> View:
    """Return images decoded from the means of their codes, `(1, N, H, W, C)`, with their originals."""
    codes, _ = run.encode(images)
    return View(
        run.decode(codes[None], run.model().condition_of(images), are_maps=codes.ndim > 2),
        shown=run.shown,
        codes=codes[None],
        originals=run.originals(images)[None],
        labels=images.labels,
        names=images.names,
        is_sequence=True,
        caption=f"{len(images)} images, each above its reconstruction (the decoded mean of its code).",
    )


def triptych_of(run: OpenedRun, images: ImageSet, seed: int = 0) -> Bytes:
    """Return one picture, uint8 `(H', W', C)`: images, reconstructions, and samples under the same conditions."""
    model, view = run.model(), reconstructions(run, images)
    c = model.condition_of(images)
    made = run.decode(model.sample_codes(len(images), seed, condition=c), c)
    return triptych(*map(run.shown, (run.originals(images), view.images[0], made)))
