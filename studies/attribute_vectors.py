"""Claim 8: does adding an attribute vector to a code give the image the attribute?"""

from __future__ import annotations

import sys
from statistics import fmean
from typing import Any

import torch
from common.bases import faces
from common.charts import COLOURS, lines, new_chart, panel, show_strips, strip
from common.lab import Lab
from common.measures import ReferenceData, select_images
from common.results import Results, Statement, table
from common.runs import Metrics
from common.statistics import above, all_of, exceeds, paired
from common.study import Study, run_study
from torch import Tensor

from vaegan.latent.attribute_check import check_vectors
from vaegan.latent.attribute_vectors import AttributeVectors, find_vectors, sweep
from vaegan.models import Model

KINDS = {"VAE": "vae", "VAE/GAN": "vaegan"}
ATTRIBUTES = ("smiling", "eyeglasses", "hat", "beard", "bangs", "blond_hair")
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
NUM_CODES = 5000
NUM_CHECKED = 500
MIN_FLIPPED = 0.5
MARGIN = 0.1


def vectors_of(model: Model, reference: ReferenceData) -> AttributeVectors:
    """Return the vectors of training images, differences of means."""
    rows = reference.rows(len(reference.data.train))[:NUM_CODES]
    assert reference.data.train.attributes is not None
    names = reference.data.train.attribute_names
    columns = [names.index(name) for name in ATTRIBUTES]
    values = torch.from_numpy(reference.data.train.attributes[rows][:, columns])
    return find_vectors(model.encode(select_images(reference.data.train.images, rows)), values, ATTRIBUTES)


def vector_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Measure all vectors at all strengths on held-out images; means over attributes.

    Returns:
        For each strength S ``flipped S`` and ``random S``, the shares of images whose attribute flips along the vector
        and along random directions of its length, and ``others S``, how far the share of images with another attribute
        moves (see `vaegan.latent.attribute_check`); for each attribute ``flipped NAME`` at strength 1.
    """
    classifier = reference.extractor

    def predict(z: Tensor) -> Tensor:
        return classifier.attribute_probabilities(classifier.features(model.decode(z)))  # type: ignore[no-any-return]

    z, vectors = model.encode(reference.x[:NUM_CHECKED]), vectors_of(model, reference)
    effects = list(check_vectors(z, vectors, predict, STRENGTHS, attribute_names=classifier.attribute_names))
    metrics: Metrics = {}
    for strength in STRENGTHS:
        at_strength = [effect for effect in effects if effect.strength == strength]
        by_name: dict[str, list[Any]] = {
            "flipped": [effect.vector.flipped for effect in at_strength],
            "random": [effect.random.flipped for effect in at_strength],
            "others": [effect.vector.others_moved for effect in at_strength],
        }
        for name, values in by_name.items():
            metrics[f"{name} {strength:g}"] = fmean(value.value for value in values if value is not None)
    return metrics | {f"flipped {e.attribute}": e.vector.flipped.value for e in effects if e.strength == 1.0}


def collect(lab: Lab) -> None:
    """Train both kinds on synthetic faces; save a few edited with the vectors of the first seed."""
    for name, kind in KINDS.items():
        config = faces(kind=kind)
        lab.measure(name, config, lab.marks(1), {"vectors": vector_metrics})
        if model := lab.first_model(config):
            reference = lab.reference(lab.config(config, 0))
            vectors = vectors_of(model, reference)
            assert reference.data.test.attributes is not None
            has_attribute = (
                torch.from_numpy(reference.data.test.attributes[reference.rows(len(reference.data.test))]) >= 0.5
            )
            for attribute in ATTRIBUTES:
                without = ~has_attribute[:, reference.data.test.attribute_names.index(attribute)]
                z = model.encode(reference.x[without][:2])
                moved = sweep(z, vectors[attribute], (0.0, 0.5, 1.0, 1.5)).transpose(0, 1).flatten(0, 1)
                lab.results.strips[f"{name}: {attribute}"] = strip(model.decode(moved), columns=8)


def judge(results: Results) -> list[Statement]:
    """Compare flips at strength 1 with flips along random directions."""
    return [statement for name in KINDS for statement in _of_kind(results, name)]


def _of_kind(results: Results, name: str) -> list[Statement]:
    flipped, random = (results.mean(name, metric) for metric in ("flipped 1", "random 1"))
    gain = paired(results.values(name, "flipped 1"), results.values(name, "random 1"))
    answer = all_of(
        above(flipped, MIN_FLIPPED, "a flip rate", MARGIN), exceeds(gain, MARGIN, "flips above random directions")
    )
    each = ", ".join(f"{attribute} {results.mean(name, f'flipped {attribute}')}" for attribute in ATTRIBUTES)
    return [
        Statement(
            f"In a {name}, adding the vector at strength 1 changes the attribute.",
            answer,
            f"The classifier sees it flip in {flipped} of images, and in {random} along random directions of the same "
            f"length; by attribute: {each}. Shares of the other attributes change by {results.mean(name, 'others 1')}.",
        )
    ]


def table_of_strengths(results: Results) -> str:
    """Shares at each strength, then each attribute at strength 1."""
    rows = [
        [
            name,
            f"{strength:g}",
            *[results.mean(name, f"{metric} {strength:g}") for metric in ("flipped", "random", "others")],
        ]
        for name in results.variants
        for strength in STRENGTHS
    ]
    header = [
        "model",
        "strength",
        "attribute flips",
        "flips along random directions",
        "change of other attributes' shares",
    ]
    each = [
        [name, *[results.mean(name, f"flipped {attribute}") for attribute in ATTRIBUTES]] for name in results.variants
    ]
    return f"{table(header, rows)}\n\n{table(['flips at strength 1', *ATTRIBUTES], each)}"


def draw(results: Results) -> object:
    """Flips over strength, and faces moved along each vector."""
    chart = new_chart(11, 7.6)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1, 1.35))
    flips, others = upper.subplots(1, 2)
    panel(flips, "Share of images whose attribute flips (dashed: random directions)", "strength").set_ylim(0, 1)
    panel(others, "Change of the other attributes' shares", "strength")
    for place, name in enumerate(results.variants):
        for axes, column, style in ((flips, "flipped", "-"), (flips, "random", "--"), (others, "others", "-")):
            series = [results.values(name, f"{column} {strength:g}") for strength in STRENGTHS]
            label = name if style == "-" else f"{name}, random"
            lines(axes, STRENGTHS, series, label, COLOURS[place], style)
    flips.legend(fontsize=8, frameon=False)
    others.set_ylim(bottom=0)
    show_strips(lower, {f"{title}, 0 to 1.5": images for title, images in results.strips.items()}, columns=3)
    return chart


STUDY = Study(
    name="attribute_vectors",
    number=8,
    title="Does adding an attribute vector give the attribute?",
    claim="Adding an attribute vector (mean code with the attribute minus mean code without) gives the attribute.",
    method=f"""VAE and VAE/GAN (recipe conv-32 at a quarter of its width) on synthetic 32x32 faces with independent
attributes. The vectors of {", ".join(ATTRIBUTES)} are differences of mean codes over up to {NUM_CODES:,} training
images. Each is added to the mean codes of {NUM_CHECKED} held-out images, or subtracted where the attribute is
present. A classifier trained on the data decides whether the attribute flips, compared with its answer for the
reconstruction. The control is random directions of the same length.""",
    rule=f"""Confirmed: at strength 1 the interval of the flip rate (mean over attributes) is above {MIN_FLIPPED}, and
the flip rate exceeds that of random directions (interval above 0, mean at least {MARGIN}). Refuted: the interval is
below {MIN_FLIPPED}, or the excess is below {MARGIN}. No difference: the interval has {MIN_FLIPPED} inside and is within
±{MARGIN} of it, so that the vector changes the attribute about as often as not.""",
    images=100_000,
    collect=collect,
    judge=judge,
    table=table_of_strengths,
    draw=draw,
    source="shapes-faces",
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
