r"""The latent scale factor: what brings codes to standard deviation 1, as a diffusion model wants them.

    s = 1 / std(z),    z ~ q(z|x), one draw for each of some training images, all numbers of all codes together

(Rombach et al., arXiv:2112.10752, appendix G: "rescaling the latents"). A diffusion model is trained on s z, and what
it makes is divided by s before it is decoded: `Model.latents`, `Model.decode_latents`.
"""

from __future__ import annotations

import torch

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..models import Model
from .fit_priors import drawn_codes

NUM_IMAGES = 512


def scale_factor(
    model: Model, images: ImageSet, *, seed: int = 0, num: int = NUM_IMAGES, batch_size: int = 256
) -> float:
    """Return the scale factor of a model's codes; give it to the model by ``model.info["scale_factor"]``.

    Args:
        model: has an encoder.
        images: those it was trained on.
        seed: of the choice of images and of the draws.
        num: images, at most.
        batch_size: images encoded at a time.

    Raises:
        UserError: if there is no encoder, the images do not fit, or the codes are all the same or not finite.
    """
    chosen = some_rows(len(images), num, seed)
    std = float(torch.cat(list(drawn_codes(model, images, chosen, seed, batch_size))).double().std())
    if not 0.0 < std < float("inf"):
        raise UserError(
            f"the codes have standard deviation {std:g}: nothing can scale them to 1; train the model further"
        )
    return 1.0 / std
