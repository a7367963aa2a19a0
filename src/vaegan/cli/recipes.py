"""``vaegan recipes``: list the recipes, or describe one."""

from __future__ import annotations

import textwrap
from typing import Annotated

from ..config import Settings
from ..recipes import RECIPES, Recipe, named
from . import console
from .console import print_table
from .options import Arg

WIDTH = 110


class Options(Settings):
    """List the recipes: named, complete settings that `vaegan train RECIPE` starts from.

    Training times are estimates for two server cores, from the FLOPs of a step; recipes for your own images assume
    10,000 of them unless they say otherwise.
    """

    about: Annotated[str | None, Arg("RECIPE")] = None
    """Describe one recipe: where it comes from, what differs there and why."""


def run(options: Options) -> None:
    """Print the recipes with data, size, kind of model, number of parameters and expected time; or describe one."""
    if options.about is not None:
        lines = _description(named(options.about))
        if console.is_first_process():
            print("\n".join(lines))
        return
    head = ("recipe", "for", "size", "model", "parameters", "on 2 cores", "what")
    rows = [_row(recipe) for recipe in RECIPES.values()]
    if console.is_first_process():
        print_table(head, rows)


def _row(recipe: Recipe) -> tuple[str, ...]:
    channels, height, width = recipe.image_shape
    kind = recipe.config.model.kind
    size = f"{height}x{width}x{channels}"
    return recipe.name, recipe.data, size, kind, f"{_num_parameters(recipe):,}", _expected(recipe), recipe.summary


def _description(recipe: Recipe) -> list[str]:
    """Lines on a recipe's origin, and what differs from it."""
    name, for_, size, kind, parameters, time, summary = _row(recipe)
    lines = [
        f"{name}: {summary}",
        f"for {for_}, {size}; {kind}, {parameters} parameters; {time} on 2 cores, an estimate",
        f"origin: {recipe.origin}",
    ]
    for note in recipe.notes:
        lines += textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return [*lines, f"all settings: vaegan train {name} --help"]


def _expected(recipe: Recipe) -> str:
    """Expected time in words, such as "about 3 h"."""
    from ..training.profiling import expected_seconds

    return "about " + in_words(expected_seconds(recipe.config, recipe.image_shape, recipe.num_images))


def in_words(seconds: float) -> str:
    """Return a time in the unit that suits it, such as "3 h"; a minute at least."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} min"
    hours = seconds / 3600
    return f"{round(hours)} h" if hours < 36 else f"{round(hours / 24)} days"


def _num_parameters(recipe: Recipe) -> int:
    """Count the parameters of all parts, built without memory for them."""
    import torch

    from ..networks import build_parts

    model = recipe.config.model.model_dump()
    with torch.device("meta"):
        parts = build_parts(image_shape=recipe.image_shape, **model)
    return sum(parameter.numel() for part in parts.values() for parameter in part.parameters())
