"""A model as others get it: its files, its card with pictures, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from ..files import write_json, write_text, written_beside
from ..pixels import to_uint8
from ..settings_io import dump_yaml
from ..sharing import Facts, read_run, upload_folder, write_card
from ..sharing.hub import check_name
from ..sharing.public_facts import EVALUATION_NAME, SETTINGS_NAME
from .found import OURS
from .kinds import KINDS
from .vectors import take_vectors

if TYPE_CHECKING:
    from .model import Model

CARD_NAME = "README.md"
PICTURES = "images"
_CURVES = f"{PICTURES}/losses.png"
REPLACED = (*OURS, f"{PICTURES}/*.png")
"""What goes from the hub when a model is pushed that has it no longer."""
_COLUMNS, _SEEN_WELL = 8, 64


def write_pretrained(model: Model, folder: Path, *, name: str, license: str) -> None:
    """Write a model and its card into a folder; arguments as `Model.save_pretrained`.

    Raises:
        UserError: if the folder cannot be written.
    """
    shared = read_run(model.folder, model.info)
    model.save(folder)
    vectors = take_vectors(model, folder)
    if shared.config is not None:
        dump_yaml(shared.config, folder / SETTINGS_NAME)
    if shared.evaluation is not None:
        write_json(folder / EVALUATION_NAME, shared.evaluation)
    pictures = dict(_write_pictures(model, folder / PICTURES, shared.pictures))
    curves = (_CURVES, pictures.pop(_CURVES)) if _CURVES in pictures else None
    facts = Facts(
        name,
        license,
        KINDS[model.kind],
        model.image_shape,
        model.latent_dim,
        {part: sum(p.numel() for p in network.parameters()) for part, network in model.parts.items()},
        tuple(model.prior_names),
        model.default_prior if model.prior_names and model.decoder is not None else None,
        model.conditioning.kind if model.conditioning else None,
        model.info,
        shared,
        tuple(pictures.items()),
        curves,
        vectors,
    )
    write_text(folder / CARD_NAME, write_card(facts))


def push_pretrained(
    model: Model,
    name: str,
    *,
    license: str,
    message: str,
    private: bool | None,
    token: str | bool | None,
    branch: str | None,
    create_pr: bool | None,
) -> str:
    """Put a model and its card on the hub; arguments and address as `Model.push_to_hub`.

    Raises:
        UserError: if the hub does not take it.
    """
    check_name(name)
    with tempfile.TemporaryDirectory() as folder:
        write_pretrained(model, Path(folder), name=name, license=license)
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


def _write_pictures(model: Model, folder: Path, taken: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Draw new images, take along what the run has drawn; yield each file with what it shows."""
    if model.decoder is not None and model.prior_names:
        x = model.sample(_COLUMNS * 4, seed=0, condition=model.condition_in_turn(_COLUMNS * 4))
        with written_beside(folder / "samples.png") as beside:
            _sheet(x).save(beside)
        yield f"{PICTURES}/samples.png", f"{len(x)} new images, from the prior {model.default_prior}"
    about = {"reconstructions": "held-out images, each above its reconstruction", "losses": "losses in training"}
    for name, path in taken.items():
        with written_beside(folder / path.with_stem(name).name) as beside:
            shutil.copyfile(path, beside)
        yield f"{PICTURES}/{name}{path.suffix}", about[name]


def _sheet(x: Tensor) -> Image.Image:
    """Return images `(B, C, H, W)` in [0, 1] in rows of eight, small ones enlarged."""
    images = to_uint8(x)
    num, height, width, channels = images.shape
    rows = images.reshape(num // _COLUMNS, _COLUMNS, height, width, channels).swapaxes(1, 2)
    whole = rows.reshape(num // _COLUMNS * height, _COLUMNS * width, channels)
    factor = max(1, _SEEN_WELL // height)
    return Image.fromarray(whole.squeeze(-1) if channels == 1 else whole).resize(
        (whole.shape[1] * factor, whole.shape[0] * factor), Image.Resampling.NEAREST
    )
