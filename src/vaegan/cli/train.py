"""``vaegan train``: from the settings of a recipe or a file, overridden by options, to a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from ..config import Config
from ..errors import UserError
from ..files import check_apart
from ..recipes import DEFAULT, RECIPES, config_for
from ..runs.initial import check_named, configured
from ..runs.trained_on import located
from ..settings_io import load_yaml
from .options import Arg, CommandOptions


class Options(CommandOptions):
    """Train a model; run the same command to resume.

    Defaults come from the recipe: try `vaegan train mnist-conv --help`. A flag without a value means True. Ctrl-C and
    SIGTERM finish the step and save; the exit code is then 130 or 143.
    """

    recipe: Annotated[str | None, Arg("RECIPE", positional=True, default=DEFAULT)] = None
    """Settings to start from; `vaegan recipes` lists them."""
    config: Annotated[Path | None, Arg("FILE.yaml")] = None
    """Settings file to start from instead, such as a run's config.yaml."""
    out: Annotated[Path | None, Arg("RUN", default="runs/RECIPE")] = None
    """Run folder; an existing run is resumed."""
    overwrite: bool = False
    """Start over: remove an existing run."""
    settings: Annotated[Config, Arg(inline=True)] = RECIPES[DEFAULT].config

    @classmethod
    def defaults(cls, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the recipe or the file, with those on the command line applied."""
        recipe, file = explicit.get("recipe"), explicit.get("config")
        if recipe and file:
            raise UserError(f"both recipe {recipe} and --config {file} are given; name one of them")
        config = load_yaml(file) if file else config_for(recipe or DEFAULT)
        if file:  # of a run, whose relative paths were meant where it was trained
            config = config.model_copy(update={"data": located(config.data, Path(file).parent)})
        prefix = "settings."
        named = {name.removeprefix(prefix): value for name, value in explicit.items() if name.startswith(prefix)}
        out = explicit.get("out") or Path("runs") / config.recipe
        return {"settings": configured(config, named, out, overwrite=explicit.get("overwrite", False))}


def run(options: Options) -> None:
    """Train; a new run whose images are missing, or hold it, is refused before the slow import of torch."""
    from ..data.sources import absolute, existing, is_path

    config = options.settings
    check_named(config)
    out = options.out or Path("runs") / config.recipe
    if is_path(config.data.source) and not out.exists():  # a run's own images are also looked for beside it
        existing(config.data.source)
        check_apart(out, absolute(config.data)[config.data.source], around=True)
    from ..training import train

    train(config, out, overwrite=options.overwrite)
