"""Image autoencoders trained with a learned similarity metric: VAE/GAN (arXiv:1512.09300) and its family.

run = vaegan.train("mnist-conv", data="mnist")     the same as the command
model = vaegan.load("runs/mnist-conv")             a torch.nn.Module
x = model.sample(64, seed=0)                       (64, C, H, W) in [0, 1]
z = model.encode(x); x_tilde = model.decode(z)
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .version import __version__

if TYPE_CHECKING:
    from .models import Model, load
    from .training import RunFolder

__all__ = ["Model", "UserError", "__version__", "load", "train"]


def train(
    recipe: str = "digits",
    *,
    data: str | dict[str, Any] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> "RunFolder":
    """Train, or resume an earlier call; the same as ``vaegan train``.

    Progress is printed as by the command, unless ``logging.getLogger("vaegan")`` or the root logger has handlers.

    Args:
        recipe: name of a recipe, see `vaegan.recipes.RECIPES`.
        data: source or path of the images, or settings of data by name, e.g. ``{"limit": 100}``; the recipe's own if
            None.
        out: run folder; ``runs/RECIPE`` if None.
        overwrite: start over if the run folder holds a run.
        settings: any other settings by group, e.g. ``train={"epochs": 3}, seed=1``, or by dotted name,
            e.g. ``**{"loss.gamma": 2.0}``.

    Returns:
        The run folder.

    Raises:
        UserError: if the settings, the data or the folder cannot be used; one line that says how to fix it.
        KeyboardInterrupt: `training.Stopped`, after Ctrl-C or SIGTERM; all is saved, and the same call resumes.
    """
    import numpy as np

    from .cli.console import set_up
    from .files import expanded
    from .recipes import named
    from .runs.initial import check_named, configured
    from .training import train as train_

    if not logging.getLogger("vaegan").hasHandlers():
        set_up()
    if data is not None:
        settings = {"data": data, **settings}
    overrides: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            overrides |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            overrides["data.source" if name == "data" else name] = value
    overrides = {name: value.item() if isinstance(value, np.generic) else value for name, value in overrides.items()}
    folder = expanded(Path("runs") / recipe if out is None else out)
    config = configured(named(recipe).config, overrides, folder, overwrite=overwrite)
    check_named(config)
    return train_(config, folder, overwrite=overwrite)


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use."""
    if name in ("Model", "load"):
        from . import models

        return getattr(models, name)
    raise AttributeError(f"module 'vaegan' has no attribute {name!r}")
