"""The last thing before a run is finished: priors fitted to its codes, saved with its model, and shown."""

from __future__ import annotations

import logging

from ..config import Config
from ..data import ImageData
from ..errors import UserError
from ..latent.fit_priors import fit_model_priors
from ..models import Model
from .run_folder import RunFolder
from .snapshots import Pictures

log = logging.getLogger("vaegan")


def fit_run_priors(
    folder: RunFolder, config: Config, model: Model, data: ImageData, pictures: Pictures, images: int
) -> None:
    """Fit the priors that the settings name; the same run gives the same ones.

    Args:
        folder: of the run, whose saved model gets them.
        config: settings.
        model: as it was saved; without an encoder nothing is done.
        data: whose training images are encoded.
        pictures: that draw the new images.
        images: seen in training.
    """
    if not config.train.priors or model.encoder is None:
        return
    model.info["images"] = images  # not known yet where a run was cut off right here
    log.info("fitting priors to the codes: %s", ", ".join(config.train.priors))
    try:
        fitted = fit_model_priors(model, data.train, names=config.train.priors, seed=config.seed)
    except UserError as error:  # a run is not lost for that
        log.warning("no priors are fitted: %s", error)
        return
    for name, prior in fitted.items():
        about = f" ({prior.components})" if prior.components else ""
        log.info("  %s: log p(z) %s nats per held-out code, %.1f s%s", name, prior.score, prior.seconds, about)
    log.info("new images come from '%s' unless another is named", model.default_prior)
    model.save(folder.path / "model")
    pictures.take_prior(model)
