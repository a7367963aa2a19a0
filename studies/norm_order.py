"""Claim 3: must batch normalisation come before the activation?"""

from __future__ import annotations

import sys

from common.bases import conv
from common.charts import dots, logarithmic, new_chart, panel, show_strips
from common.lab import Lab
from common.measures import ReferenceData, decode_normal, image_metrics, sample_metrics
from common.results import Results, Statement, table, table_of
from common.statistics import Answer
from common.study import Study, run_study

ORDERS = {"norm first": "norm-first", "activation first": "activation-first"}
PARTS = ("encoder", "decoder", "discriminator")
PLACES = {"Enc, Dec": ("none", "leaky"), "Enc, Dec, Dis": ("batch", "relu")}
CELLS = {f"{order}, {place}": (order, place) for place in PLACES for order in ORDERS}
MAX_SHARE_OF_BLANK = 0.25


def collect(lab: Lab) -> None:
    """Train both orders, with batch norm in two networks and in all three."""
    for name, (order, place) in CELLS.items():
        norm, activation = PLACES[place]
        changes = {f"model.{part}.order": ORDERS[order] for part in PARTS}
        changes |= {"model.discriminator.norm": norm, "model.discriminator.activation": activation}
        config = conv(changes)
        lab.measure(name, config, lab.marks(1), {"samples": sample_metrics})
        lab.add_strip(name, config, decode_normal)
    reference = lab.reference(lab.config(conv(), 0))
    lab.results.extras["blank"] = blank(reference)


def blank(reference: ReferenceData) -> float:
    """Fréchet distance of the mean training image, which a decoder gives that learned nothing else."""
    mean = reference.x_train.mean(0, keepdim=True)
    return float(image_metrics(mean.expand_as(reference.x).contiguous(), reference)["frechet"])


def successes(results: Results, name: str) -> tuple[int, int]:
    """Return how many of a cell's runs produce images, and how many there are; a diverged run produces none."""
    values = results.values(name, "frechet")
    bound = MAX_SHARE_OF_BLANK * results.extras["blank"]
    return sum(value <= bound for value in values), len(values)


def judge(results: Results) -> list[Statement]:
    """Count the runs that produce images with the activation first."""
    return [_needed(results, place) for place in PLACES]


def _needed(results: Results, place: str) -> Statement:
    first, second = (f"{order}, {place}" for order in ORDERS)
    (good, all_good), (other, all_other) = successes(results, first), successes(results, second)
    answer = Answer("confirmed").given(good == all_good, "not all runs with the norm first produce images")
    if other:
        answer = Answer("refuted")
    return Statement(
        f"With batch norm in {place}, it must come before the activation, or there are no images.",
        answer,
        f"Runs that produce images: {good} of {all_good} with the norm first, {other} of {all_other} with the "
        f"activation first; Fréchet distance {results.mean(first, 'frechet')} and {results.mean(second, 'frechet')}, "
        f"difference {results.gap(second, first, 'frechet')}.",
    )


def table_of_cells(results: Results) -> str:
    """Successes and metrics of all cells."""
    counts = [[name, "{} of {}".format(*successes(results, name))] for name in results.variants]
    columns = [
        ("Fréchet distance", "frechet"),
        ("coverage", "coverage"),
        ("precision", "precision"),
        ("rarest digit's share", "rarest"),
    ]
    first = "order, batch norm in"
    return f"{table([first, 'runs that produce images'], counts)}\n\n{table_of(results, columns, first=first)}"


def draw(results: Results) -> object:
    """Distance and coverage of each cell, samples."""
    chart = new_chart(11, 6)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1.2, 1))
    distance, coverage = upper.subplots(1, 2)
    dots(panel(distance, "Fréchet distance of samples (dotted: limit)"), results, "frechet")
    logarithmic(distance)
    distance.axhline(MAX_SHARE_OF_BLANK * results.extras["blank"], color="#888", lw=0.9, ls=":")
    dots(panel(coverage, "Coverage of held-out images"), results, "coverage")
    show_strips(lower, {f"{name}: samples": images for name, images in results.strips.items()}, columns=2)
    return chart


STUDY = Study(
    name="norm_order",
    number=3,
    title="Must batch normalisation come before the activation?",
    claim="Batch norm must come before the activation, or there are no images.",
    method="""Convolutional VAE/GANs (recipe mnist-conv at half its width, constant learning rate, no weight
averaging) with batch norm before or after the activation in every network that has it: encoder and decoder, or the
discriminator as well (then with plain ReLU, as in the paper). The discriminator normalises real and generated images
in separate batches.""",
    rule=f"""A run produces images if the Fréchet distance of its samples is at most {MAX_SHARE_OF_BLANK:g} times that
of the data's mean image repeated. Refuted: a run with the activation first produces images. Confirmed: none does. The
premise is then that all with the norm first do.""",
    images=100_000,
    collect=collect,
    judge=judge,
    table=table_of_cells,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
