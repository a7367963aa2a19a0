"""Recipes: named, complete settings, each with its origin; a file per origin. No torch here."""

from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..errors import UserError, data_hint, nearest
from ..settings_io import with_settings
from . import edchengg, kmeans, larsen, munjal, ours, rombach, shuntw, tang
from .recipe import YOUR_MODEL, YOURS, Recipe

__all__ = ["DEFAULT", "RECIPES", "YOURS", "YOUR_MODEL", "Recipe", "config_for", "named"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for origin in (ours, rombach, larsen, shuntw, tang, edchengg, munjal, kmeans)
    for recipe in origin.ALL
}
"""Every recipe by name; the first is the default."""
DEFAULT = ours.ALL[0].name


def named(name: str) -> Recipe:
    """Return the recipe of that name; UserError with the nearest name if there is none."""
    if name not in RECIPES:
        hint = data_hint(name) or nearest(name, RECIPES) or "; `vaegan recipes` lists them"
        raise UserError(f"unknown recipe {name!r}{hint}")
    return RECIPES[name]


def config_for(name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return the settings of recipe ``name`` with ``overrides`` (see `settings_io.with_settings`).

    Raises UserError for an unknown recipe or setting, or a value that is not allowed.
    """
    return with_settings(named(name).config, overrides or {})
