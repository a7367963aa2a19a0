"""Traversals: one dimension of a code at a time goes from low to high, the dimension with the highest KL first."""

from __future__ import annotations

import torch

from ..data.dataset import ImageSet
from ..latent.code_paths import order_by_kl, traverse
from ..runs.opened import OpenedRun
from .view import View

MIN_NATS = 0.01
"""KL below which a dimension counts as inactive."""


def traversals(
    run: OpenedRun, images: ImageSet, num: int, steps: int, reach: float, start: ImageSet, *, from_origin: bool = False
) -> View:
    """Return a dimension in each row, at most ``num``, and a value in each column, `(num, steps, H, W, C)`.

    Values go from -reach to reach; the prior's standard deviation is 1. Each dimension's KL is averaged over
    ``images``. The other dimensions are held at the code of ``start``, one image, or at 0 (``from_origin``).
    """
    model = run.model()
    model.posterior(torch.zeros(1, *model.image_shape), condition=model.condition_in_turn(1))  # or say what is missing
    mu, logvar = run.encode(images)
    assert logvar is not None
    order, kl = order_by_kl(mu, logvar)
    values = torch.linspace(-reach, reach, steps)
    z = torch.zeros(model.latent_dim) if from_origin else run.encode(start)[0][0]
    codes = traverse(z, order[:num], values)
    names = [f"z{d}, {nats:.2f} nats" for d, nats in zip(order[:num].tolist(), kl.tolist(), strict=False)]
    caption = (
        f"Each row changes one dimension of a code from −{reach:g} to {reach:g} (in standard deviations of the prior); "
        "the others are held. "
        f" At its left: the dimension and its KL to the prior, averaged over {len(images):,} images."
    )
    return View(
        run.decode(codes, model.condition_of(start)),
        rows=names,
        columns=[f"{value:+.3g}".replace("-", "−") if value else "0" for value in values.tolist()],
        codes=codes,
        facts=(
            ("KL, all dimensions", f"{float(kl.sum()):.2f} nats per image"),
            (f"dimensions above {MIN_NATS:g} nats", f"{int((kl > MIN_NATS).sum())} of {len(kl)}"),
        ),
        caption=caption,
    )
