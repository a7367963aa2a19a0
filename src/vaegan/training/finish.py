"""The end of a training: latent scale factor, fitted priors, samples from the best-fitting one."""

import logging
from collections.abc import Sequence

from ..data import ImageData
from ..errors import UserError
from ..files import read_mapping
from ..latent.encoding import scale_factor
from ..latent.fit_priors import fit_model_priors
from ..models import Model, load
from ..priors.saved import load_priors
from ..progress import paced_lines
from ..runs.run_folder import BEST, MODEL, MODEL_CONFIG, RunFolder
from .setup import Setup
from .snapshots import Pictures

log = logging.getLogger("vaegan")


def keep_priors(folder: RunFolder, setup: Setup) -> None:
    """Take over priors that a user fitted to these very weights while the run was stopped just before its end."""
    place, model = folder.path / MODEL, setup.output_model
    if read_mapping(place / MODEL_CONFIG).get("info", {}).get("images") == setup.trainer.images:
        model.priors = load_priors(place, model.latent_dim)


def store_scale_factor(folder: RunFolder, setup: Setup) -> None:
    """Save the latent scale factor with the last model and the best, if their codes are maps."""
    model = setup.output_model
    if len(model.code_shape) == 1 or model.encoder is None:
        return
    if setup.config.is_frozen("encoder") and "scale_factor" in model.info:  # its codes are those of the model before
        return
    model.info["images"] = setup.trainer.images
    best = _best_model(folder, model)
    for name, each in ((MODEL, model), (BEST, best)):
        if each is None:
            continue
        try:
            each.info["scale_factor"] = scale_factor(each, setup.data.train, seed=setup.config.seed)
        except UserError as error:  # no reason to lose the run
            log.warning("no latent scale factor: %s", error)
            return
        each.save(folder.path / name)
    log.info("latent scale factor: %.5f", model.scale_factor)


def fit_run_priors(folder: RunFolder, setup: Setup, pictures: Pictures) -> None:
    """Fit the priors that the settings name to the last and the best model; draw samples from the best-fitting prior.

    Does nothing without an encoder. Fits depend on the run alone.
    """
    model, names, seed = setup.output_model, setup.config.train.priors, setup.config.seed
    if model.encoder is not None and len(model.code_shape) == 3 and "flow" not in names:
        log.info("to sample, fit a flow to the codes, which are maps (minutes): vaegan priors %s", folder.path)
    if not names or model.encoder is None:
        return
    model.info["images"] = setup.trainer.images  # a run that was killed right here has no snapshot of this call
    log.info("fitting priors to the codes: %s", ", ".join(names))
    if not _fit(model, setup.data, names, seed):
        return
    log.info("default prior: %s", model.default_prior)
    model.save(folder.path / MODEL)
    best = _best_model(folder, model)
    if best is not None:
        if best.info.get("images") == model.info["images"]:
            best.priors, best.info["default_prior"] = model.priors, model.info["default_prior"]
            best.save(folder.path / BEST)
        else:
            log.info("fitting priors to the codes of the best model, of %s images", f"{best.info['images']:,}")
            if _fit(best, setup.data, names, seed):
                best.save(folder.path / BEST)
    pictures.take_prior(model)


def _fit(model: Model, data: ImageData, names: Sequence[str], seed: int) -> bool:
    """Fit, and log how well each prior fits; return whether it could be done."""
    try:
        fitted = fit_model_priors(model, data.train, names=names, seed=seed, on_progress=paced_lines())
    except UserError as error:  # no reason to lose the run
        log.warning("no priors fitted: %s", error)
        return False
    for name, prior in fitted.items():
        components = f" ({prior.components})" if prior.components else ""
        score = f"log p(z) {prior.score} nats per held-out code, " if prior.score else ""
        time = "fitted before" if prior.seconds is None else f"{prior.seconds:.1f} s"
        log.info("  %s: %s%s%s", name, score, time, components)
    return True


def _best_model(folder: RunFolder, last: Model) -> Model | None:
    """The saved best model, if there is one, on the last model's device."""
    if not (folder.path / BEST / MODEL_CONFIG).is_file():
        return None
    return load(folder.path, which="best", device=last.device)
