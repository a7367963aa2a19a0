"""``vaegan recipes``: list the recipes, or describe one."""

import textwrap
from typing import Annotated

from ..progress import duration
from ..recipes import RECIPES, Recipe, named
from .console import show, show_table
from .options import Arg, CommandOptions

WIDTH = 100


class Options(CommandOptions):
    """List the recipes: named, complete settings that `vaegan train RECIPE` starts from."""

    about: Annotated[str | None, Arg("RECIPE")] = None
    """Describe one recipe: its size, training time (estimated for two server cores and the number of images that it
    names) and memory, where it comes from, how it differs from its source and why."""


def run(options: Options) -> None:
    """Print the recipes with their data, or describe one."""
    if options.about is not None:
        show("\n".join(_description(named(options.about))))
    else:
        rows = [(recipe.name, recipe.config.model.kind, recipe.data, recipe.summary) for recipe in RECIPES.values()]
        show_table(("recipe", "model", "for", "what"), rows)
        show("\n`vaegan recipes --about RECIPE` describes one: parameters, training time, origin.")


def _description(recipe: Recipe) -> list[str]:
    """Lines on a recipe's size, origin, and what differs from it."""
    from ..training.profiling import seconds_of, work_of_step

    (channels, height, width), config = recipe.image_shape, recipe.config
    work = work_of_step(config, recipe.image_shape)
    seconds = seconds_of(work, config, recipe.num_images)
    lines = [
        f"{recipe.name}: {recipe.summary}",
        f"for {recipe.data}, {height}x{width}x{channels}; {config.model.kind}, {work.parameters:,} parameters",
        f"estimates: about {duration(seconds)} for {config.train.epochs:g} epochs of {recipe.num_images:,} images on 2 "
        f"cores with AVX-512 and bfloat16; at least {work.memory / 2**30:.2g} GiB in float32 (batches of "
        f"{config.train.batch_size})",
        f"origin: {recipe.origin}",
    ]
    for note in recipe.notes:
        lines += textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return [*lines, f"all settings: vaegan train {recipe.name} --help-all"]
