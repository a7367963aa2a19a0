"""What the commands that make pictures have in common: options, a loaded model, chosen images, a place for output.

Pictures nobody named a place for go to ``pictures/`` in the run folder and replace those of the last time; what
the user names is only replaced with ``--overwrite``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, PositiveInt

from ..config import DataSettings, Settings
from ..errors import UserError
from ..settings_io import load_yaml
from .options import Arg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..data.dataset import ImageData, ImageSet
    from ..models import Model

_Step = TypeVar("_Step")
_log = logging.getLogger("vaegan")


class PictureOptions(Settings):
    """Options of every command that makes pictures."""

    run: Annotated[str, Arg("RUN", positional=True)]
    """Run folder, folder of a saved model, or id of a model on the hub."""
    out: Annotated[Path | None, Arg("FILE", default="in RUN/pictures")] = None
    """.png is a grid, .gif a film, .npz arrays, a name without ending a folder of PNGs."""
    overwrite: bool = False
    """Replace what is there under the name given with --out."""
    num: PositiveInt = 64
    """How many."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of every random choice: the same seed gives the same pictures."""
    device: str = "cpu"
    """'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best there is."""
    batch_size: PositiveInt = 256
    """Images computed at a time."""


class DataPictureOptions(PictureOptions):
    """Options of a command that shows images of a data set as well."""

    split: Literal["test", "train"] = "test"
    """Held-out images or those trained on."""
    data: DataSettings = DataSettings(source="")


def data_of_run(options: DataPictureOptions) -> DataSettings:
    """Return the data settings that the run was trained with; source '' if it is neither a run nor a model in one.

    Raises:
        UserError: if its config.yaml cannot be read.
    """
    folder = Path(options.run)
    path = (folder.parent if folder.name in ("model", "best") else folder) / "config.yaml"
    return load_yaml(path).data if path.is_file() else options.data.model_copy(update={"source": ""})


def run_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run's own data settings: the ``defaults`` of a command that shows images."""
    return {"data": data_of_run(DataPictureOptions(run=given["run"]))}


def output_of(options: PictureOptions, name: str) -> tuple[Path, bool]:
    """Return where the pictures go and whether what is there may be replaced.

    Args:
        options: of the command.
        name: of the file in ``pictures/`` if the user named none.

    Raises:
        UserError: if nothing can be written there.
    """
    from ..report.output import check_output

    folder = Path(options.run) if Path(options.run).is_dir() else Path()
    out = options.out or folder / "pictures" / name
    overwrite = options.overwrite or options.out is None
    check_output(out, overwrite)
    return out, overwrite


def load_model(options: PictureOptions) -> Model:
    """Load the model to the device.

    Raises:
        UserError: if there is none, or no such device.
    """
    from ..loading import load
    from ..training.device import pick_device

    return load(options.run, device=pick_device(options.device))


def open_images(options: DataPictureOptions, model: Model) -> ImageData:
    """Open the data, prepared as the model wants its images.

    Raises:
        UserError: if no data is named or it cannot be opened.
    """
    from ..data import open_data

    settings = options.data
    if not settings.source:
        raise UserError(f"{options.run} does not say what it was trained on; name images with --data SOURCE")
    channels, height, _ = model.image_shape
    return open_data(**settings.opening() | {"size": height, "channels": channels})


def some_of(images: ImageSet, num: int, seed: int) -> ImageSet:
    """Return `num` images, see `data.dataset.some_of`, which would bring NumPy into the help."""
    from ..data.dataset import some_of as some

    return some(images, num, seed)


def encode_to_codes(model: Model, images: ImageSet, batch_size: int) -> tuple[Tensor, Tensor | None]:
    """Return mu and logvar (None of a plain autoencoder), each `(N, Z)`, of all images.

    Raises:
        UserError: if there is no encoder, or the model is to be told what is not known of these images.
    """
    from ..latent.encoding import encode_batches, joined

    num_batches = -(-len(images) // batch_size)
    batches = encode_batches(model, images.images, condition=model.condition_of(images), batch_size=batch_size)
    return joined(watched(batches, num_batches, "encoding"), len(images))


def choose_images(options: DataPictureOptions, model: Model, num: int) -> tuple[ImageSet, NDArray[np.int64], Tensor]:
    """Choose images of the data by the seed, prepared as the model wants them.

    Returns:
        The set, the chosen indices `(B,)`, and the images `(B, C, H, W)` in [0, 1]; B is ``num`` or, if there are
        fewer, all there are.

    Raises:
        UserError: if no data is named or it cannot be opened.
    """
    import numpy as np
    import torch

    from ..pixels import to_unit

    data = open_images(options, model)
    images = data.test if options.split == "test" else data.train
    if len(images) < num:
        _log.warning("there are only %d %s images, not %d", len(images), options.split, num)
    chosen = np.random.default_rng(options.seed).permutation(len(images))[:num]
    x = to_unit(torch.from_numpy(images.images[np.sort(chosen)]))
    return images, np.sort(chosen), x


def decode_to_bytes(model: Model, codes: Tensor, batch_size: int, condition: Tensor | None = None) -> NDArray[np.uint8]:
    """Decode codes `(B, Z)`, under a condition `(B, A)`, to uint8 `(B, H, W, C)`, a batch of floats at a time."""
    import numpy as np

    from ..report.grid import to_uint8

    channels, height, width = model.image_shape
    images = np.empty((len(codes), height, width, channels), np.uint8)
    starts = range(0, len(codes), batch_size)
    for start in watched(starts, len(starts), "decoding"):
        chunk = slice(start, start + batch_size)
        c = None if condition is None else condition[chunk]
        images[chunk] = to_uint8(model.decode(codes[chunk], condition=c, batch_size=batch_size))
    return images


def watched(steps: Iterable[_Step], num: int, what: str) -> Iterable[_Step]:
    """Yield the steps, `num` in all, on a terminal with a progress bar while there are many."""
    from rich.progress import track

    return track(steps, what, total=num, transient=True, disable=num < 10 or not sys.stdout.isatty())


def say_where(num: int, what: str, out: Path) -> None:
    """Tell what has been written, and where."""
    _log.info("%d %s: %s", num, what if num > 1 else what.removesuffix("s"), out)
