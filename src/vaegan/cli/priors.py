"""``vaegan priors``: distributions fitted to a model's codes, saved with the model."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

from ..errors import UserError
from ..progress import log
from ..settings import Count, Guidance, PositiveInt
from .common import DataPictureOptions, open_run
from .console import show_table
from .options import Arg


class Options(DataPictureOptions):
    """Fit priors to the codes of images and save them with the model, to sample from.

    Prints the log-likelihood of held-out codes, in nats per code with 95 % intervals: higher is better, and the
    best-fitting prior becomes the default, or a flow over maps, which has no likelihood. Training does this at its end;
    this command repeats it, with other priors or images if you like.
    """

    out: Annotated[Path | None, Arg("FOLDER", default="where the model is")] = None
    """Folder for the model with its priors."""
    priors: Annotated[
        tuple[Literal["gaussian", "mixture", "kde", "flow"], ...],
        Arg(default="gaussian,mixture,kde, or flow where codes are maps"),
    ] = ()
    """Which: one Gaussian, a mixture of Gaussians, kernels at stored codes, a flow (takes minutes)."""
    flow_steps: Annotated[PositiveInt | None, Arg("STEPS", default="8000, or 5000 where codes are maps")] = None
    """Training steps of a flow."""
    by_label: bool = False
    """Fit to each label by itself, for `Model.sample(labels=...)`."""
    guidance: Annotated[Guidance | None, Arg(default="1")] = None
    """Classifier-free guidance scale, saved with a flow over maps fitted by label: values above 1 give samples more
    typical of their label and less diverse."""
    num: Count = 200_000
    """Maximum number of images; fewer for large codes, as all are in memory."""
    split: Literal["test", "train"] = "train"
    """Held-out images ('test') or training images ('train')."""


def run(options: Options) -> None:
    """Encode, fit, save, print."""
    from ..latent.fit_priors import fit_model_priors, most_images
    from ..models.serialization import copy_vectors

    folder = _folder(options)
    with _held(folder):
        opened = open_run(options)
        model = opened.model()
        images = opened.images(options.split, min(options.num, most_images(model)), options.seed)
        fitted = fit_model_priors(
            model,
            images,
            names=options.priors or None,
            by_label=options.by_label,
            seed=options.seed,
            batch_size=options.batch_size,
            on_progress=lambda text: log.info("  %s", text),
            flow_steps=options.flow_steps,
            guidance=options.guidance,
        )
        model.save(folder)
        copy_vectors(model.folder, folder, model.state_dict())
    rows = [
        [name, str(p.score or "-"), "-" if p.seconds is None else f"{p.seconds:.1f}", p.components]
        for name, p in fitted.items()
    ]
    show_table(("prior", "nats per held-out code", "seconds", "what"), rows)
    log.info(
        "priors fitted to the codes of %s images, default '%s': %s", f"{len(images):,}", model.default_prior, folder
    )


def _held(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the run that a folder is the model of: no snapshot may be overwritten; UserError if it is in training."""
    from ..runs.run_folder import BEST, MODEL, SETTINGS, RunFolder

    folder = folder.resolve()
    is_of_run = folder.name in (MODEL, BEST) and (folder.parent / SETTINGS).is_file()
    return RunFolder(folder.parent).locked() if is_of_run else contextlib.nullcontext()


def _folder(options: Options) -> Path:
    """Return the folder that the model is saved into; UserError if there is no model, or it may not be replaced."""
    from ..files import check_folder
    from ..runs.locate import find_model
    from ..runs.run_folder import MODEL_CONFIG

    if options.out is None:
        if not Path(options.run).is_dir():
            what = "check the path, or set --out FOLDER to save the model with its priors"
            raise UserError(f"{options.run} is not a local folder; {what}")
        return find_model(options.run)
    check_folder(options.out, MODEL_CONFIG, "vaegan", options.overwrite)
    return options.out
