"""Publishing a model: its files and its card with pictures, in a folder or on the Hugging Face hub."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import read_bytes, remove, write_json, write_text, written_beside
from ..report.grid import Bytes, grid, write_picture
from ..runs.locate import locate
from ..runs.run_folder import CARD, EVALUATION, OF_A_MODEL, SETTINGS, VECTOR_TENSORS, VECTORS
from ..settings_io import dump_yaml
from ..sharing.card import CardFacts, write_card
from ..sharing.hub import check_license
from ..sharing.public_facts import PublicFacts, public_facts
from .serialization import copy_vectors

log = logging.getLogger("vaegan")
IMAGES = "images"
_CURVES = f"{IMAGES}/losses.png"
REPLACED = (*OF_A_MODEL, f"{IMAGES}/*.png")
"""What goes from the hub when a model is pushed that has it no longer."""
_PICTURES = (f"{IMAGES}/samples.png", f"{IMAGES}/reconstructions.png", _CURVES)
_COLUMNS = 8
_NUM_SAMPLES = 4 * _COLUMNS
SharedModel = Any  # a `Model`, whose file imports this one


def write_pretrained(model: SharedModel, folder: Path, name: str, license: str) -> None:
    """Write a folder to share: the model, its card with samples, pictures, settings, figures, attribute vectors.

    Raises UserError if the hub has no such license, or the folder is a run or cannot be written.
    """
    check_license(license)
    model.save(folder)
    facts = public_facts(None if model.folder is None else locate(model.folder), model.digest())
    _remove_earlier(folder, model.folder and model.folder.resolve())
    vectors = copy_vectors(model.folder, folder, model.state_dict())
    if facts.config is not None:
        dump_yaml(facts.config, folder / SETTINGS)
    if facts.evaluation is not None:
        write_json(folder / EVALUATION, facts.evaluation)
    _say_left_out(model, facts, vectors)
    shown, about, default_prior = None, "", None
    if model.decoder is not None and model.prior_names:
        samples = model.sample(_NUM_SAMPLES, seed=0, condition=model.condition_in_turn(_NUM_SAMPLES))
        shown, default_prior = model.shown(model.pixels.from_unit(samples)), model.default_prior
        about = f"{_NUM_SAMPLES} new images, from the prior {default_prior}"
    pictures = dict(_write_pictures(shown, about, folder / IMAGES, facts.pictures))
    curves = (_CURVES, pictures.pop(_CURVES)) if _CURVES in pictures else None
    condition = model.conditioning.kind if model.conditioning else None
    card = CardFacts(
        name, license, model.kind, model.image_shape, model.latent_dim, model.num_parameters,
        tuple(model.prior_names), default_prior, condition, model.info, facts, tuple(pictures.items()), curves, vectors,
        model.factor,
    )  # fmt: skip
    write_text(folder / CARD, write_card(card))


def _remove_earlier(folder: Path, source: Path | None) -> None:
    """Remove what a model that was shared in this folder before, as its card proves, had beside weights and priors."""
    is_own = source is not None and folder.resolve() in (source, *source.parents)
    if not is_own and (folder / CARD).is_file() and b"library_name: vaegan" in read_bytes(folder / CARD):
        for name in (VECTOR_TENSORS, VECTORS, SETTINGS, EVALUATION, *_PICTURES):
            remove(folder / name)


def _say_left_out(model: SharedModel, facts: PublicFacts, vectors: Sequence[str]) -> None:
    """Warn of what is missing around a model that was loaded, or was made of other weights."""
    if model.folder is None:
        return
    place = locate(model.folder)
    run = place.run or model.folder
    why = "of other weights or priors" if (run / EVALUATION).is_file() else "not measured"
    left_out = [] if facts.evaluation else [f"metrics ({why}: vaegan evaluate {run})"]
    if not vectors and (model.folder / VECTORS).is_file():
        left_out += [f"attribute vectors (of other weights or damaged: vaegan attributes {run})"]
    if place.run is None:
        left_out += [f"settings and pictures of the training ({run} is a copy outside its run)"]
    if left_out:
        log.warning("the card has no %s", ", no ".join(left_out))


def _write_pictures(
    samples: Bytes | None, about_samples: str, folder: Path, taken: Mapping[str, Path]
) -> Iterator[tuple[str, str]]:
    """Draw samples, copy what the run has drawn; yield each file with what it shows."""
    if samples is not None:
        write_picture(folder / "samples.png", grid(samples, _COLUMNS, pad=0))
        yield f"{IMAGES}/samples.png", about_samples
    about = {"reconstructions": "held-out images, each above its reconstruction", "losses": "losses in training"}
    for name, path in taken.items():
        with written_beside(folder / path.with_stem(name).name) as beside:
            shutil.copyfile(path, beside)
        yield f"{IMAGES}/{name}{path.suffix}", about[name]
