"""``vaegan train``: settings of a recipe or a file, changed by options, to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from ..config import Config, Settings
from ..errors import UserError
from ..recipes import DEFAULT, RECIPES, config_for
from ..settings_io import load_yaml
from .parse import Inline


class Options(Settings):
    """Train a model; the same command again resumes where it stopped.

    `vaegan recipes` lists the recipes. The defaults below are those of the recipe that is named:
    `vaegan train mnist-conv --help` shows that one's. A switch alone means True.

    Ctrl-C and SIGTERM finish the step and save; the exit code is then 130 or 143.
    """

    recipe: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(metavar="[RECIPE]", help_behavior_hint=f"(default: {DEFAULT})"),
    ] = None
    """Settings to start from."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    """Start from a file of settings, such as a run's config.yaml, instead of a recipe."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: runs/RECIPE)")] = None
    """Folder that holds everything this training makes; one that exists is resumed."""
    overwrite: bool = False
    """Remove what is in the run folder and start anew."""
    settings: Annotated[Config, Inline] = RECIPES[DEFAULT].config


def defaults(options: Options) -> Options:
    """Return options that stand for what is not given: the settings of the recipe or the file.

    Raises:
        UserError: if both are named, or one is no good.
    """
    if options.config is None:
        config = config_for(options.recipe or DEFAULT)
    elif options.recipe is None:
        config = load_yaml(options.config)
    else:
        raise UserError(f"both recipe {options.recipe} and --config {options.config} are given; name one of them")
    return Options(settings=config)


def run(options: Options) -> None:
    """Train."""
    from ..training import Stopped, train

    config = options.settings
    try:
        train(config, options.out or Path("runs") / config.recipe, overwrite=options.overwrite)
    except Stopped as stopped:
        raise SystemExit(stopped.exit_code) from stopped
