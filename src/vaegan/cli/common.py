"""What commands that open a run have in common: options, the opened run, the default place for output."""

import contextlib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from ..errors import UserError
from ..files import check_apart, expanded
from ..progress import log, paced
from ..runs.trained_on import data_of_model, data_of_run
from ..settings import Bands, Count, DataSettings, PositiveInt, Seed, Settings
from ..settings_io import checked, put
from .console import is_first_process
from .options import Arg, CommandOptions

if TYPE_CHECKING:
    from ..data.dataset import ImageSet
    from ..runs.opened import OpenedRun
    from ..views.view import View

_Step = TypeVar("_Step")
_DIFFUSERS = "diffusers:PATH (a diffusers model: a folder or an id on the hub)"


RunName = Annotated[
    str,
    Arg("RUN", positional=True),
    Field(description=f"Run folder, folder of a saved model, id of a model on the hub, {_DIFFUSERS}, or 'demo'."),
]
RunNames = Annotated[
    tuple[str, ...],
    Arg("RUN RUN ...", positional=True),
    Field(description=f"Run folders, folders of saved models, ids of models on the hub, {_DIFFUSERS}, or 'demo'."),
]
Device = Annotated[str, Field(description="'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best one available.")]
BatchSize = Annotated[Count, Field(description="Images per forward pass.")]
ShownBands = Annotated[
    Bands,
    Arg(default="as stored with the run"),
    Field(description="Channels that pictures show, from 1: one as grey, three as red, green, blue."),
]
TileSide = Annotated[
    PositiveInt | None,
    Arg("SIDE", default="no tiles"),
    Field(description="Compute larger images in tiles of this side, in pixels; for models whose codes are maps."),
]


class PictureOptions(CommandOptions):
    """Options of every command that makes pictures."""

    run: RunName
    out: Annotated[Path | None, Arg("FILE", default="in RUN/pictures")] = None
    """.png writes a grid, .gif an animation, .npz arrays, a name without extension a folder of PNGs."""
    overwrite: bool = False
    """Replace what exists at --out."""
    num: Count = 64
    """Number of images."""
    seed: Seed = 0
    """Seed of every random choice: the same seed gives the same result."""
    device: Device = "cpu"
    batch_size: BatchSize = 256
    bands: ShownBands = ()


class DataPictureOptions(PictureOptions):
    """Options of a command that also shows images of a data set."""

    split: Literal["all", "test", "train"] = "test"
    """Held-out images ('test'), training images ('train') or both, as for a folder of your own ('all')."""
    data: DataSettings = DataSettings(source="")

    @classmethod
    def defaults(cls, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run's own data settings."""
        return {"data": data_of_run(explicit["run"])}


def with_explicit(own: DataSettings, options: CommandOptions) -> DataSettings:
    """Return where images are: as the settings of a model say, except what the options set."""
    values = {"data": own.model_dump()}
    for path, value in options._explicit.items():
        if path.startswith("data."):
            put(values, path, value)
    return checked(DataSettings, values["data"])


def open_run(options: PictureOptions, *, any_size: bool = False) -> "OpenedRun":
    """Return the run of a command, with images of any size that its model takes; UserError if there is no such run."""
    from ..runs.opened import OpenedRun
    from ..training.device import pick_device

    own = data_of_model(options.run)
    data = with_explicit(own, options)
    if not any_size and None not in (size := data.size, own.size) and size != own.size:
        raise UserError(f"--data.size {size}: this command works in the size of the model, {own.size}; leave it out")
    opened = OpenedRun(
        options.run,
        data=data,
        device=pick_device(options.device),
        batch_size=options.batch_size,
        watch=watched,
        bands=options.bands,
        size=data.height_width if any_size else None,
        tile=getattr(options, "tile", None),
    )
    if options.bands:
        opened.bands = opened.shown.bands  # or say, before images are decoded, that there are no such bands
    return opened


def chosen_images(options: DataPictureOptions, run: "OpenedRun", num: int) -> "ImageSet":
    """Return ``num`` images of the split, chosen by the seed; with a warning if there are fewer."""
    images = run.images(options.split, num, options.seed)
    if len(images) < num:
        which, more = (f"{options.split} ", "; --split all has both") if options.split != "all" else ("", "")
        log.warning("there are only %d %simages, not %d%s", len(images), which, num, more)
    return images


def refuse_data(options: DataPictureOptions, why: str) -> None:
    """Raise UserError if options set images although none are used."""
    for name in options._explicit:
        if name == "split" or name.startswith("data."):
            raise UserError(f"--{name.removesuffix('.source').replace('_', '-')} has no effect: {why}; leave it out")


def check_out(options: Settings) -> None:
    """Raise UserError if --out is in the folder of images of a run that the options name, or of their data."""
    from ..data.sources import absolute

    if (out := getattr(options, "out", None)) is None:
        return
    runs = [options.run] if hasattr(options, "run") else getattr(options, "runs", ())
    data = [getattr(options, "data", None)]
    with contextlib.suppress(UserError):  # settings that cannot be read, of which other commands speak
        data += map(data_of_run, runs)
    for settings in data if runs else ():
        if settings and settings.source and (images := absolute(settings).get(settings.source)):
            check_apart(out, images)


def place_of(options: Any, name: str) -> tuple[Path, bool]:
    """Return where output goes (default: ``name`` in the run, or here for a hub id), and whether it may be replaced."""
    from ..runs.locate import locate
    from ..runs.run_folder import MODEL, SETTINGS

    folder = expanded(options.run)
    is_local = folder.is_dir()
    if folder.name == MODEL and (folder.parent / SETTINGS).is_file():  # of a run; made to be copied
        folder = folder.parent
    out = options.out or (folder if is_local else Path()) / name
    if options.out is None and not is_local and out.exists():
        locate(options.run)  # that there is no such model is the first thing to say
    return out, options.overwrite or (options.out is None and is_local)


def output_of(options: PictureOptions, name: str) -> tuple[Path, bool]:
    """Return where a view goes (default: ``name`` in the run's ``pictures/``), and whether it may be replaced.

    UserError as `check_output` if it cannot be written there.
    """
    from ..runs.run_folder import PICTURES
    from ..views.write import check_output

    out, overwrite = place_of(options, f"{PICTURES}/{name}")
    check_output(out, overwrite)
    return out, overwrite


def write_and_say(view: "View", out: Path, overwrite: bool, num: int, what: str) -> None:
    """Write a view and say what has been written, and where."""
    from ..views.write import write_view

    write_view(out, view, overwrite=overwrite)
    say_where(num, what, out)


def say_where(num: int, what: str, out: Path) -> None:
    """Say what has been written, and where."""
    log.info("%d %s: %s", num, what if num > 1 else re.sub(r"s\b", "", what), out)


def watched(steps: Iterable[_Step], num: int, what: str) -> Iterable[_Step]:
    """Yield the steps, ``num`` in all: with a progress bar on a terminal, with a line now and then elsewhere."""
    if sys.stdout.isatty() and num >= 10 and is_first_process():
        from rich.progress import track

        yield from track(steps, what, total=num, transient=True)
        return
    yield from paced(steps, num, what)
