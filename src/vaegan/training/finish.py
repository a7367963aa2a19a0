"""The last thing before a run is finished: the scale of its codes, priors fitted to them, new images shown."""

from __future__ import annotations

import logging

from ..config import Config
from ..data import ImageData
from ..errors import UserError
from ..latent.fit_priors import fit_model_priors
from ..latent.scale import scale_factor
from ..loading import load
from ..models import Model
from ..runs.files import BEST, MODEL_CONFIG, RunFolder
from .snapshots import Pictures

log = logging.getLogger("vaegan")


def fit_run_priors(
    folder: RunFolder, config: Config, model: Model, data: ImageData, pictures: Pictures, images: int
) -> None:
    """Fit the priors that the settings name to the codes of the last model and of the best; same run, same fits.

    Args:
        folder: of the run, whose saved models get them.
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
    if not _fit(model, config, data):
        return
    log.info("new images come from '%s' unless another is named", model.default_prior)
    model.save(folder.path / "model")
    _give_to_best(folder, config, model, data)
    pictures.take_prior(model)


def find_run_scale(folder: RunFolder, config: Config, model: Model, data: ImageData, images: int) -> None:
    """Keep the latent scale factor with the last model and the best, if their codes are maps; arguments as above."""
    if len(model.code_shape) == 1 or model.encoder is None:
        return
    model.info["images"] = images
    models = {"model": model}
    if (folder.path / BEST / MODEL_CONFIG).is_file():
        models[BEST] = load(folder.path, which="best").to(next(model.parameters()).device)
    for name, each in models.items():
        try:
            each.info["scale_factor"] = scale_factor(each, data.train, seed=config.seed)
        except UserError as error:  # a run is not lost for that
            log.warning("no latent scale factor is found: %s", error)
            return
        each.save(folder.path / name)
    log.info("latent scale factor: %.5f", model.scale_factor)


def _fit(model: Model, config: Config, data: ImageData) -> bool:
    """Fit, and tell how good each is; whether it could be done."""
    try:
        fitted = fit_model_priors(model, data.train, names=config.train.priors, seed=config.seed)
    except UserError as error:  # a run is not lost for that
        log.warning("no priors are fitted: %s", error)
        return False
    for name, prior in fitted.items():
        about = f" ({prior.components})" if prior.components else ""
        log.info("  %s: log p(z) %s nats per held-out code, %.1f s%s", name, prior.score, prior.seconds, about)
    return True


def _give_to_best(folder: RunFolder, config: Config, last: Model, data: ImageData) -> None:
    """The best model, too, has its priors: the last one's where it is that, else fitted to its own codes."""
    if not (folder.path / BEST / MODEL_CONFIG).is_file():
        return
    best = load(folder.path, which="best").to(next(last.parameters()).device)
    if best.info.get("images") == last.info["images"]:
        best.priors, best.info["default_prior"] = last.priors, last.info["default_prior"]
    else:
        log.info("and to those of the best model, after %s images", f"{best.info['images']:,}")
        if not _fit(best, config, data):
            return
    best.save(folder.path / BEST)
