"""The configuration: which settings differ from the defaults, and all of them with what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ...config import Config
from ...recipes import RECIPES
from .blocks import Fold, Section, Table


def settings_section(config: Config) -> Section:
    """Return the settings of a run: those that differ from the defaults first, then all, group by group."""
    recipe = RECIPES.get(config.recipe)
    rows = list(_rows(config, Config(), recipe.config if recipe else None))
    differing = [row for row in rows if row[1] != row[3]]
    text = f"{len(differing)} of {len(rows)} settings differ from the defaults"
    text += (
        f"; the recipe is {config.recipe}." if recipe else f". Recipe {config.recipe} is not among those known here."
    )
    blocks = [
        _fold(f"Settings that differ from the defaults ({len(differing)})", differing),
        _fold(f"All settings ({len(rows)})", rows),
    ]
    return Section("Configuration", blocks, text)


def _fold(title: str, rows: list[tuple[str, ...]]) -> Fold:
    head = ("setting", "this run", "recipe", "default")
    return Fold(title, [Table("", head, [row[:4] for row in rows], [row[4] for row in rows])])


def _rows(config: BaseModel, default: BaseModel, recipe: Any, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield name, value, the recipe's value, default and description of each setting, in order."""
    for name, about in type(config).model_fields.items():
        value, usual = getattr(config, name), getattr(default, name)
        of_recipe = getattr(recipe, name, None)
        if isinstance(value, BaseModel):
            yield from _rows(value, usual, of_recipe, f"{prefix}{name}.")
        else:
            told = "" if recipe is None else shown(of_recipe)
            yield prefix + name, shown(value), told, shown(usual), " ".join((about.description or "").split())


def shown(value: Any) -> str:
    """Return a value as a reader writes it; of a path from the root only its name, which says nothing of a machine."""
    if isinstance(value, str | Path):
        rooted = re.match(r"[\\/~]|[A-Za-z]:[\\/]|file:", str(value))
        return "…/" + re.split(r"[\\/]+", str(value).rstrip("\\/"))[-1] if rooted else str(value)
    if value is None or value == ():
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
