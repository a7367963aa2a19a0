"""``vaegan push``: a model with its card to the Hugging Face hub, or into a folder for review."""

from pathlib import Path
from typing import Annotated

from ..progress import log
from .common import RunName
from .options import Arg, CommandOptions


class Options(CommandOptions):
    """Upload a model to the Hugging Face hub: weights as safetensors, JSON, and a card with pictures and metrics.

    The card, README.md, is written from the run: data, recipe, settings, evaluation.json with intervals, samples,
    reconstructions, limits and licence; local paths are left out. Run `vaegan evaluate` first to have metrics on it.
    With --out nothing is uploaded: the same files are written into a folder. Log in first with `hf auth login`, or set
    HF_TOKEN. The id works wherever a command takes a RUN: vaegan sample owner/name.
    """

    run: RunName
    name: Annotated[str, Arg("OWNER/NAME", positional=True)]
    """Id of the model on the hub; it is created if it does not exist, otherwise it gets a new commit."""
    license: str = "unknown"
    """Licence of the model as the hub spells it: mit, apache-2.0, cc-by-4.0, cc-by-nc-4.0, other ..."""
    out: Annotated[Path | None, Arg("FOLDER")] = None
    """Write the files into this folder and upload nothing."""
    overwrite: bool = False
    """Replace files in the --out folder."""
    private: bool = False
    """Make the repository private, if it is created now."""
    create_pr: bool = False
    """Propose the change as a pull request."""
    message: str = "Push model with vaegan"
    """Message of the commit."""


def run(options: Options) -> None:
    """Load, write the card, upload."""
    from ..files import check_folder
    from ..models import load
    from ..runs.run_folder import MODEL_CONFIG
    from ..sharing.hub import check_license, check_name

    check_name(options.name)
    check_license(options.license)
    out = options.out
    if out is not None:
        check_folder(out, MODEL_CONFIG, "vaegan", options.overwrite)
    model = load(options.run)
    if out is not None:
        model.save_pretrained(out, repo_id=options.name, license=options.license)
        log.info("model and card written, nothing uploaded: %s", out)
        return
    address = model.push_to_hub(
        options.name,
        license=options.license,
        commit_message=options.message,
        private=options.private or None,
        create_pr=options.create_pr or None,
    )
    log.info("model and card uploaded: %s", address)
