"""Publishing a model: its files and its card with pictures, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import Tensor

from ..config import KINDS
from ..files import write_json, write_text, written_beside
from ..pixels import to_uint8
from ..report.grid import grid, write_picture
from ..runs.locate import locate
from ..runs.run_folder import EVALUATION, OF_A_MODEL, SETTINGS
from ..settings_io import dump_yaml
from ..sharing.card import CardFacts, write_card
from ..sharing.hub import check_name, upload_folder
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
    *,
    name: str,
    license: str,
    source: Path | None,
    digest: str,
    priors: tuple[str, ...],
    default_prior: str | None,
    samples: Tensor | None,
) -> None:
    """Complete the folder of a saved model for sharing: card, pictures, settings, figures, attribute vectors.

    Args:
        model: as saved.
        folder: that it was saved into.
        name: on the card.
        license: as the hub spells it.
        source: folder that the model was loaded from; None if it was not.
        digest: of its weights and priors.
        priors: names of its priors.
        default_prior: that samples are drawn from; None without samples.
        samples: `(B, C, H, W)` in [0, 1], or None.

    Raises:
        UserError: if the folder cannot be written.
    """
    facts = public_facts(None if source is None else locate(source), digest)
    vectors = copy_vectors(source, folder, model.state_dict())
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
        KINDS[model.kind].phrase,
        model.image_shape,
        model.latent_dim,
        {part: sum(p.numel() for p in network.parameters()) for part, network in model.parts.items()},
        priors,
        default_prior,
        model.conditioning.kind if model.conditioning else None,
        model.info,
        facts,
        tuple(pictures.items()),
        curves,
        vectors,
    )
    write_text(folder / CARD_NAME, write_card(card))


def push_pretrained(
    name: str,
    write: Callable[[Path], None],
    *,
    message: str,
    private: bool | None,
    token: str | bool | None,
    branch: str | None,
    create_pr: bool | None,
) -> str:
    """Upload what ``write`` writes; other arguments and result as `Model.push_to_hub`. UserError if the hub refuses."""
    check_name(name)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return upload_folder(
            Path(folder),
            name,
            replaced=REPLACED,
            message=message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )


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
