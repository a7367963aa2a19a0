"""Traversals: one dimension of a code at a time goes from low to high, the dimension with the most effect first."""

import numpy as np
import torch

from ..data.dataset import ImageSet
from ..latent.code_paths import order_by_kl, traverse
from ..runs.opened import OpenedRun
from .view import View

MIN_NATS = 0.01
"""KL below which a dimension counts as inactive."""


def traversals(
    run: OpenedRun,
    images: ImageSet | None,
    num: int,
    steps: int,
    reach: float,
    start: ImageSet | None = None,
    *,
    from_origin: bool = False,
) -> View:
    """Return a dimension in each row, at most ``num``, and a value in each column, `(num, steps, H, W, C)`.

    Values go from -reach to reach; the prior's standard deviation is 1. Each dimension's KL is averaged over
    ``images``; without an encoder they are None, and the dimension that changes the image most comes first. The other
    dimensions are held at the code of ``start``, one image, or at 0 (None, or ``from_origin``).
    """
    model = run.model()
    z, c = torch.zeros(model.latent_dim), model.condition_in_turn(1) if start is None else model.condition_of(start)
    if images is None:
        ends = run.decode(traverse(z, range(model.latent_dim), [-reach, reach]), c)
        change, order = torch.from_numpy(np.ptp(ends.astype(float), axis=1)).flatten(1).mean(1).sort(descending=True)
        measures = [f"{difference / model.pixels.span:.3f}" for difference in change.tolist()]
        meaning = f"the mean change of a pixel from -{reach:g} to {reach:g}, of 1 from black to white"
        facts: tuple[tuple[str, str], ...] = (("mean change of a pixel, first dimension", measures[0]),)
    else:
        model.posterior(torch.zeros(1, *model.image_shape), condition=model.condition_in_turn(1))  # or what is missing
        mu, logvar = run.encode(images)
        assert logvar is not None
        order, kl = order_by_kl(mu, logvar)
        measures, meaning = [f"{nats:.2f} nats" for nats in kl.tolist()], f"its KL over {len(images):,} images"
        facts = (
            ("KL, all dimensions", f"{float(kl.sum()):.2f} nats per image"),
            (f"dimensions above {MIN_NATS:g} nats", f"{int((kl > MIN_NATS).sum())} of {len(kl)}"),
        )
        if start is not None and not from_origin:
            z = run.encode(start)[0][0]
    values = torch.linspace(-reach, reach, steps)
    codes = traverse(z, order[:num], values)
    return View(
        run.decode(codes, c),
        shown=run.shown,
        rows=[f"z{d}, {measure}" for d, measure in zip(order[:num].tolist(), measures, strict=False)],
        columns=[f"{value:+.3g}" if value else "0" for value in values.tolist()],
        codes=codes,
        facts=facts,
        caption=(
            f"Each row changes one dimension of a code from -{reach:g} to {reach:g} (in standard deviations of the "
            f"prior); the others are fixed. On its left: the dimension and {meaning}."
        ),
    )
