"""Publishing a model: its files and its card with pictures, in a folder or on the Hugging Face hub."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ..files import write_json, write_text, written_beside
from ..pixels import to_uint8
from ..report.grid import grid, write_picture
from ..runs.locate import locate
from ..runs.run_folder import EVALUATION, OF_A_MODEL, SETTINGS
from ..settings_io import dump_yaml
from ..sharing.card import CardFacts, write_card
from ..sharing.public_facts import public_facts
from .inference import InferenceModel
from .serialization import copy_vectors

CARD_NAME = "README.md"
IMAGES = "images"
_CURVES = f"{IMAGES}/losses.png"
REPLACED = (*OF_A_MODEL, f"{IMAGES}/*.png")
"""What goes from the hub when a model is pushed that has it no longer."""
_COLUMNS = 8
NUM_SAMPLES = 4 * _COLUMNS
"""Samples on a card."""


def write_pretrained(
    model: InferenceModel,
    folder: Path,
    name: str,
    license: str,
    digest: str,
    priors: Sequence[str],
    default_prior: str | None,
    samples: Tensor | None,
) -> None:
    """Complete the folder of a saved model for sharing: card, pictures, settings, figures, attribute vectors.

    Digest, priors and ``samples`` (`(B, C, H, W)` in [0, 1], from the default prior; or None) are the model's. Raises
    UserError if the folder cannot be written.
    """
    facts = public_facts(None if model.folder is None else locate(model.folder), digest)
    vectors = copy_vectors(model.folder, folder, model.state_dict())
    if facts.config is not None:
        dump_yaml(facts.config, folder / SETTINGS)
    if facts.evaluation is not None:
        write_json(folder / EVALUATION, facts.evaluation)
    about = "" if default_prior is None else f"{NUM_SAMPLES} new images, from the prior {default_prior}"
    pictures = dict(_write_pictures(samples, about, folder / IMAGES, facts.pictures))
    curves = (_CURVES, pictures.pop(_CURVES)) if _CURVES in pictures else None
    card = CardFacts(
        name,
        license,
        model.kind,
        model.image_shape,
        model.latent_dim,
        {part: sum(p.numel() for p in network.parameters()) for part, network in model.parts.items()},
        tuple(priors),
        default_prior,
        model.conditioning.kind if model.conditioning else None,
        model.info,
        facts,
        tuple(pictures.items()),
        curves,
        vectors,
    )
    write_text(folder / CARD_NAME, write_card(card))


def _write_pictures(
    samples: Tensor | None, about_samples: str, folder: Path, taken: Mapping[str, Path]
) -> Iterator[tuple[str, str]]:
    """Draw samples, copy what the run has drawn; yield each file with what it shows."""
    if samples is not None:
        write_picture(folder / "samples.png", grid(to_uint8(samples), _COLUMNS, pad=0))
        yield f"{IMAGES}/samples.png", about_samples
    about = {"reconstructions": "held-out images, each above its reconstruction", "losses": "losses in training"}
    for name, path in taken.items():
        with written_beside(folder / path.with_stem(name).name) as beside:
            shutil.copyfile(path, beside)
        yield f"{IMAGES}/{name}{path.suffix}", about[name]
