"""``vaegan recipes``: what can be trained."""

from __future__ import annotations

from ..config import Settings
from ..recipes import RECIPES, Recipe
from . import log
from .table import print_table


class Options(Settings):
    """List the recipes: named, complete settings that `vaegan train RECIPE` starts from."""


def run(options: Options) -> None:
    """Print the recipes with their data, number of parameters, and where their values come from."""
    rows = [
        (recipe.name, recipe.data, recipe.config.model.kind, f"{_num_parameters(recipe):,}", recipe.summary)
        for recipe in RECIPES.values()
    ]
    if log.is_first_process():
        print_table(("recipe", "for", "model", "parameters", "what"), rows)


def _num_parameters(recipe: Recipe) -> int:
    """Count the parameters of all parts, built without memory for them."""
    import torch

    from ..networks import build_parts

    model = recipe.config.model.model_dump()
    with torch.device("meta"):
        parts = build_parts(image_shape=recipe.image_shape, **model)
    return sum(parameter.numel() for part in parts.values() for parameter in part.parameters())
