"""Claim 8: does adding an attribute's vector to a code put the attribute into the image?"""

from __future__ import annotations

import sys
from statistics import fmean
from typing import Any

import torch
from common.bases import faces
from common.charts import COLOURS, lines, new_figure, panel, strip, strips
from common.measures import Eye, images_of
from common.page import table
from common.results import Results, Statement
from common.runs import Figures
from common.statistics import exceeds, paired
from common.study import Lab, Study, run_study
from torch import Tensor

from vaegan.latent.attribute_check import check_vectors
from vaegan.latent.attribute_vectors import AttributeVectors, find_vectors, sweep
from vaegan.models import Model

KINDS = {"VAE": "vae", "VAE/GAN": "vaegan"}
ATTRIBUTES = ("smiling", "eyeglasses", "hat", "beard", "bangs", "blond_hair")
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
NUM_CODES = 5000
NUM_CHECKED = 500
GIVEN = 0.5
MARGIN = 0.1


def vectors_of(model: Model, eye: Eye) -> AttributeVectors:
    """Find vectors on training images, by differences of means."""
    rows = eye.rows(len(eye.data.train))[:NUM_CODES]
    assert eye.data.train.attributes is not None
    names = eye.data.train.attribute_names
    columns = [names.index(name) for name in ATTRIBUTES]
    values = torch.from_numpy(eye.data.train.attributes[rows][:, columns])
    return find_vectors(model.encode(images_of(eye.data.train.images, rows)), values, ATTRIBUTES)


def of_vectors(model: Model, eye: Eye) -> Figures:
    """Measure all vectors at all strengths on held-out images, means over attributes.

    Returns:
        For each strength S ``flipped S`` and ``random S``, the shares of images whose attribute flips along the vector
        and along random directions of its length, and ``others S``, how far the share of images with another attribute
        moves (see `vaegan.latent.attribute_check`); for each attribute ``flipped NAME`` at strength 1.
    """

    def predict(z: Tensor) -> Tensor:
        return eye.extractor.attribute_probabilities(eye.extractor.features(model.decode(z)))  # type: ignore[no-any-return]

    z = model.encode(eye.x[:NUM_CHECKED])
    effects = list(check_vectors(z, vectors_of(model, eye), predict, STRENGTHS, known=eye.extractor.attribute_names))
    found: Figures = {}
    for strength in STRENGTHS:
        here = [effect for effect in effects if effect.strength == strength]
        figures: dict[str, list[Any]] = {
            "flipped": [effect.vector.flipped for effect in here],
            "random": [effect.random.flipped for effect in here],
            "others": [effect.vector.others_moved for effect in here],
        }
        for name, values in figures.items():
            found[f"{name} {strength:g}"] = fmean(value.value for value in values if value is not None)
    return found | {f"flipped {e.attribute}": e.vector.flipped.value for e in effects if e.strength == 1.0}


def collect(lab: Lab) -> None:
    """Train both kinds on drawn faces; draw what the vectors of the first seed do to a few."""
    for name, kind in KINDS.items():
        config = faces(kind=kind)
        lab.follow(name, config, lab.marks(1), {"vectors": of_vectors})
        model, eye = lab.moment(config, 0, lab.images).model(), lab.eye(lab.config(config, 0))
        vectors = vectors_of(model, eye)
        assert eye.data.test.attributes is not None
        held = torch.from_numpy(eye.data.test.attributes[eye.rows(len(eye.data.test))])
        for attribute in ATTRIBUTES:
            without = held[:, eye.data.test.attribute_names.index(attribute)] < 0.5
            z = model.encode(eye.x[without][:2])
            moved = sweep(z, vectors[attribute], (0.0, 0.5, 1.0, 1.5)).transpose(0, 1).flatten(0, 1)
            lab.results.pictures[f"{name}: {attribute}"] = strip(model.decode(moved), columns=8)


def judge(results: Results) -> list[Statement]:
    """Compare flips at strength 1 with flips along random directions."""
    return [statement for name in KINDS for statement in _of_kind(results, name)]


def _of_kind(results: Results, name: str) -> list[Statement]:
    flipped, random = (results.mean(name, figure) for figure in ("flipped 1", "random 1"))
    gain = paired(results.values(name, "flipped 1"), results.values(name, "random 1"))
    answer = exceeds(gain, MARGIN)
    if answer == "yes" and flipped.low <= GIVEN:
        answer = "unclear" if flipped.high > GIVEN else "no"
    each = ", ".join(f"{attribute} {results.mean(name, f'flipped {attribute}')}" for attribute in ATTRIBUTES)
    return [
        Statement.answered(
            f"In a {name}, adding the vector at strength 1 gives (or takes) the attribute.",
            answer,
            f"The classifier sees it flip in {flipped} of images, along random directions of its length in {random}; "
            f"by attribute: {each}. The shares of the other attributes move by {results.mean(name, 'others 1')}.",
        )
    ]


def table_of_strengths(results: Results) -> str:
    """Shares at each strength, then each attribute at strength 1."""
    rows = [
        [
            name,
            f"{strength:g}",
            *[results.mean(name, f"{figure} {strength:g}") for figure in ("flipped", "random", "others")],
        ]
        for name in results.variants
        for strength in STRENGTHS
    ]
    header = ["model", "strength", "attribute flips", "flips along random directions", "others' shares move"]
    each = [
        [name, *[results.mean(name, f"flipped {attribute}") for attribute in ATTRIBUTES]] for name in results.variants
    ]
    return f"{table(header, rows)}\n\n{table(['flips at strength 1', *ATTRIBUTES], each)}"


def draw(results: Results) -> object:
    """Flips over strength, and faces moved along each vector."""
    figure = new_figure(11, 7.6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.35))
    flips, others = upper.subplots(1, 2)
    panel(flips, "Share of images whose attribute flips (dashed: random directions)", "strength").set_ylim(0, 1)
    panel(others, "How far the other attributes' shares move", "strength")
    for place, name in enumerate(results.variants):
        for axes, column, style in ((flips, "flipped", "-"), (flips, "random", "--"), (others, "others", "-")):
            series = [results.values(name, f"{column} {strength:g}") for strength in STRENGTHS]
            label = name if style == "-" else f"{name}, random"
            lines(axes, STRENGTHS, series, label, COLOURS[place], style)
    flips.legend(fontsize=8, frameon=False)
    others.set_ylim(bottom=0)
    strips(lower, [(f"{title}, 0 to 1.5", picture) for title, picture in results.pictures.items()], columns=3)
    return figure


STUDY = Study(
    name="attribute_vectors",
    number=8,
    title="Does adding an attribute's vector give the attribute?",
    claim="The mean code of images with an attribute less that of those without, added to a code, gives the attribute.",
    how=f"""VAE and VAE/GAN (recipe conv-32 at a quarter of its width) on drawn faces of 32x32 with known attributes,
all independent. Vectors of {", ".join(ATTRIBUTES)} are differences of means over up to {NUM_CODES:,} training images;
they are added to (or, where the attribute is there, taken from) the mean codes of {NUM_CHECKED} held-out images. A
classifier trained on the data says whether the attribute flipped, against what it said of the reconstruction. The
control are random directions of the same length.""",
    rule=f"""Confirmed: at strength 1 the interval of flips (mean of all attributes) is above {GIVEN}, and flips
exceed those along random directions (interval above 0, mean at least {MARGIN}). Refuted: the interval is below
{GIVEN}, or no excess of {MARGIN}. Else unclear.""",
    images=100_000,
    collect=collect,
    judge=judge,
    table=table_of_strengths,
    draw=draw,
    source="shapes-faces",
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
