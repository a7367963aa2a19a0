"""``vaegan attributes``: vectors that put an attribute into an image; sheets, sweeps, and a check that they work."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveFloat, PositiveInt

from ..errors import UserError
from .pictures import (
    DataPictureOptions,
    choose_images,
    decode_to_bytes,
    encode_to_codes,
    load_model,
    open_images,
    output_of,
    run_defaults,
    say_where,
    some_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.dataset import ImageData, ImageSet
    from ..latent.attribute_vectors import AttributeVectors
    from ..models import Model

_log = logging.getLogger("vaegan")


class Options(DataPictureOptions):
    """Find the vector of each attribute (or label) in the codes of training images, and add it to other images.

    The sheet has a row for each image: original, reconstruction, then with each attribute added. For one attribute
    it is a sweep over strengths. The vectors are saved with the model. `--check` trains a classifier on the images
    alone and tells how many held-out images it sees flip, what else changes, and what a random direction does. An
    attribute of more than two values is parted at its median: images above it have the attribute.
    """

    num: PositiveInt = 8
    """Images on the sheet."""
    attribute: tuple[str, ...] = ()
    """Names, with commas between; all attributes if not set, or all labels where there are no attributes."""
    strength: tuple[float, ...] = ()
    """How much to add, 1 is the difference between images with and without; 1, or -2 to 2 for one attribute."""
    how: Literal["difference", "balanced", "linear"] = "difference"
    """Difference of mean codes; 'balanced' weights images until the others are equal; 'linear' fits all at once."""
    orthogonalise: bool = False
    """Keep of each vector only what is at right angles to all others."""
    images: PositiveInt = 20_000
    """Training images, at most, to find the vectors from."""
    save: bool = True
    """Save the vectors with the model, where it is a local folder."""
    check: bool = False
    """Check each vector with a classifier; a table, and a JSON file beside the pictures."""
    check_images: PositiveInt = 256
    """Held-out images for the check."""
    check_strength: tuple[PositiveFloat, ...] = (0.5, 1.0, 1.5, 2.0)
    """Strengths of the check."""


defaults = run_defaults


def run(options: Options) -> None:
    """Find, save, show, check."""
    from ..report.sheet import write_sheet
    from .attributes_check import check

    out, overwrite = output_of(options, "attributes.png")
    report = out.with_name(f"{out.stem}-check.json")
    if options.check and report.exists() and not overwrite:
        raise UserError(f"{report} exists; choose another --out or allow it to be replaced (--overwrite)")
    model = load_model(options)
    data = open_images(options, model)
    names = _names(options, data)
    train = some_of(data.train, options.images, options.seed)
    vectors = _find(options, model, train, names)
    shown = vectors.only(options.attribute) if options.attribute else vectors
    if options.save:
        _save(options, vectors)
    images, columns, codes = _sheet(options, model, shown)
    write_sheet(out, images, columns, codes=codes, overwrite=overwrite)
    say_where(len(shown.names), "attribute vectors", out)
    if options.check:
        held_out = some_of(data.test, options.check_images, options.seed)
        check(model, vectors, shown, train, held_out, report, options)


def _names(options: Options, data: ImageData) -> list[str]:
    """Return the attributes to find vectors of: those known, and what the user names besides.

    All attributes are found together, also where one is asked for, since vectors may depend on the others. Of two
    labels the second alone says everything.
    """
    from ..data.attribute_table import known_attributes
    from ..latent.attribute_vectors import find_attribute

    _, known = known_attributes(data.train)
    if not known:
        raise UserError(
            f"{data.name} has neither labels nor attributes; sort its images into a subfolder for each class, or put "
            "an attributes.csv beside them"
        )
    for name in options.attribute:
        find_attribute(known, name)
    found = data.train.attribute_names or known
    if not data.train.attribute_names and len(known) == 2:
        found = options.attribute or known[1:]
    return [*found, *(name for name in options.attribute if name not in found)]


def _find(options: Options, model: Model, train: ImageSet, names: list[str]) -> AttributeVectors:
    from ..latent.attribute_vectors import find_vectors
    from .attributes_check import values_of

    mu, _ = encode_to_codes(model, train, options.batch_size)
    return find_vectors(mu, values_of(train, names), names, how=options.how, orthogonalise=options.orthogonalise)


def _save(options: Options, vectors: AttributeVectors) -> None:
    from ..report.vectors import find_model_folder, save_vectors

    if not Path(options.run).is_dir():
        _log.warning("%s is not a local folder: its vectors are not saved", options.run)
        return
    folder = find_model_folder(options.run)
    save_vectors(folder, vectors)
    _log.info("vectors of %d attributes saved with the model: %s", len(vectors.names), folder)


def _sheet(options: Options, model: Model, vectors: AttributeVectors) -> tuple[Any, list[str], Tensor]:
    """Return images `(R, K, H, W, C)`, K names of columns, codes `(R, K, Z)`."""
    import numpy as np
    import torch

    from ..latent.attribute_vectors import sweep

    images, chosen, x = choose_images(options, model, options.num)
    c = model.condition_of(images, chosen)
    z = model.encode(x, condition=c, batch_size=options.batch_size)
    single = len(vectors.names) == 1
    strengths = options.strength or ((-2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2) if single else (1,))
    columns = ["original", "reconstruction"]
    steps = [z, z]
    for name, vector in zip(vectors.names, vectors.vectors, strict=True):
        steps += sweep(z, vector, strengths)
        columns += [_label(name, strength) for strength in strengths]
    codes = torch.stack(steps, dim=1)
    told = None if c is None else c.repeat_interleave(len(steps), dim=0)
    decoded = decode_to_bytes(model, codes.flatten(0, 1), options.batch_size, told)
    shown = np.array(decoded.reshape(*codes.shape[:2], *decoded.shape[1:]))
    shown[:, 0] = images.images[chosen]
    return shown, columns, codes


def _label(name: str, strength: float) -> str:
    return f"+ {name}" if strength == 1 else f"{strength:+g} × {name}"
