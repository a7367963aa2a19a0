"""Claim 3: must batch normalisation come before the activation?"""

from __future__ import annotations

import sys

from common.bases import conv
from common.charts import dots, logarithmic, new_figure, panel, strips
from common.measures import Eye, decode_normal, of_images, of_samples
from common.page import table, table_of
from common.results import Results, Statement
from common.statistics import Answer
from common.study import Lab, Study, run_study

ORDERS = {"norm first": "norm-first", "activation first": "activation-first"}
PARTS = ("encoder", "decoder", "discriminator")
PLACES = {"Enc, Dec": ("none", "leaky"), "Enc, Dec, Dis": ("batch", "relu")}
CELLS = {f"{order}, {place}": (order, place) for place in PLACES for order in ORDERS}
MAKES_IMAGES = 0.25


def collect(lab: Lab) -> None:
    """Train both orders, with batch norm in two parts and in all three."""
    for name, (order, place) in CELLS.items():
        norm, activation = PLACES[place]
        changes = {f"model.{part}.order": ORDERS[order] for part in PARTS}
        changes |= {"model.discriminator.norm": norm, "model.discriminator.activation": activation}
        config = conv(changes)
        lab.follow(name, config, lab.marks(1), {"samples": of_samples})
        lab.picture(name, config, decode_normal)
    eye = lab.eye(lab.config(conv(), 0))
    lab.results.extras["blank"] = blank(eye)


def blank(eye: Eye) -> float:
    """Fréchet distance of the training images' mean, which is what a decoder that learned nothing else draws."""
    mean = eye.x_train.mean(0, keepdim=True)
    return float(of_images(mean.expand_as(eye.x).contiguous(), eye)["frechet"])


def successes(results: Results, name: str) -> tuple[int, int]:
    """How many of a cell's runs make images, and how many there are; a diverged run makes none."""
    values = results.values(name, "frechet")
    bound = MAKES_IMAGES * results.extras["blank"]
    return sum(value <= bound for value in values), len(values)


def judge(results: Results) -> list[Statement]:
    """Count runs that make images with the activation first."""
    return [_needed(results, place) for place in PLACES]


def _needed(results: Results, place: str) -> Statement:
    first, second = (f"{order}, {place}" for order in ORDERS)
    (good, all_good), (other, all_other) = successes(results, first), successes(results, second)
    answer: Answer = "unclear"
    if good == all_good and other == 0:
        answer = "yes"
    elif other == all_other or other > good:
        answer = "no"
    return Statement.answered(
        f"With batch norm in {place}, it must come before the activation or there are no images.",
        answer,
        f"Runs that make images: {good} of {all_good} with the norm first, {other} of {all_other} with the activation "
        f"first; Fréchet distance {results.mean(first, 'frechet')} and {results.mean(second, 'frechet')}, difference "
        f"{results.gap(second, first, 'frechet')}.",
    )


def table_of_cells(results: Results) -> str:
    """Successes and figures of all cells."""
    counts = [[name, "{} of {}".format(*successes(results, name))] for name in results.variants]
    columns = [
        ("Fréchet distance", "frechet"),
        ("coverage", "coverage"),
        ("precision", "precision"),
        ("rarest digit's share", "rarest"),
    ]
    first = "order, batch norm in"
    return f"{table([first, 'runs that make images'], counts)}\n\n{table_of(results, columns, first=first)}"


def draw(results: Results) -> object:
    """Distance and coverage of each cell, samples."""
    figure = new_figure(11, 6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    distance, coverage = upper.subplots(1, 2)
    dots(panel(distance, "Fréchet distance of samples (dotted: makes images)"), results, "frechet", results.variants)
    logarithmic(distance)
    distance.axhline(MAKES_IMAGES * results.extras["blank"], color="#888", lw=0.9, ls=":")
    dots(panel(coverage, "Coverage of held-out images"), results, "coverage", results.variants)
    strips(lower, [(f"{name}: samples", picture) for name, picture in results.pictures.items()], columns=2)
    return figure


STUDY = Study(
    name="norm_order",
    number=3,
    title="Must batch normalisation come before the activation?",
    claim="BatchNorm must come before the activation, or there are no images.",
    how="""Convolutional VAE/GANs (recipe mnist-conv at half its width, constant rate, no averaged weights) with batch
norm before or behind the activation in all parts that have it: encoder and decoder, or the discriminator, too (then
with plain ReLU, as in the paper). In the discriminator real and made images are normalised in batches of their own.""",
    rule=f"""A run makes images if the Fréchet distance of its samples is at most {MAKES_IMAGES:g} of that of the
data's mean image repeated. Confirmed: all runs with the norm first do, none with the activation first does. Refuted:
all with the activation first do, or more than with the norm first. Else unclear.""",
    images=100_000,
    collect=collect,
    judge=judge,
    table=table_of_cells,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
