"""``vaegan train``: settings of a recipe or a file, changed by options, to a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from ..config import Config, Settings
from ..errors import UserError
from ..recipes import DEFAULT, RECIPES, config_for
from ..settings_io import load_yaml, with_settings
from .options import Arg


class Options(Settings):
    """Train a model; the same command again resumes where it stopped.

    `vaegan recipes` lists the recipes. The defaults below are those of the recipe that is named:
    `vaegan train mnist-conv --help` shows that one's. A switch alone means True.

    Ctrl-C and SIGTERM finish the step and save; the exit code is then 130 or 143.
    """

    recipe: Annotated[str | None, Arg("RECIPE", positional=True, default=DEFAULT)] = None
    """Settings to start from."""
    config: Annotated[Path | None, Arg("FILE.yaml")] = None
    """Start from a file of settings, such as a run's config.yaml, instead of a recipe."""
    out: Annotated[Path | None, Arg("RUN", default="runs/RECIPE")] = None
    """Folder that holds everything this training makes; one that exists is resumed."""
    overwrite: bool = False
    """Remove what is in the run folder and start anew."""
    settings: Annotated[Config, Arg(inline=True)] = RECIPES[DEFAULT].config


def defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the recipe or the file that is named, changed by those that are given.

    Raises:
        UserError: if both are named, or one is no good.
    """
    recipe, file = given.get("recipe"), given.get("config")
    if recipe and file:
        raise UserError(f"both recipe {recipe} and --config {file} are given; name one of them")
    config = load_yaml(file) if file else config_for(recipe or DEFAULT)
    prefix = "settings."
    named = {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}
    return {"settings": with_settings(config, named)}


def run(options: Options) -> None:
    """Train."""
    from ..training import Stopped, train

    config = options.settings
    try:
        train(config, options.out or Path("runs") / config.recipe, overwrite=options.overwrite)
    except Stopped as stopped:
        raise SystemExit(stopped.exit_code) from stopped
