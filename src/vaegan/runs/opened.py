"""An opened run: its model, settings, images, attribute vectors and records, each read when first needed."""

import copy
import logging
import tempfile
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..data import ImageData, open_data
from ..data.dataset import ImageSet
from ..errors import UserError, shown
from ..files import read_mapping
from ..latent.attribute_vectors import AttributeVectors, load_vectors
from ..latent.encoding import encode_images
from ..models import Model
from ..models.inference import at_once
from ..models.tiles import decode_tiles, is_in_tiles
from ..pixels import Numbers, Shown, channels_in_words
from ..progress import Watch, log, unwatched
from ..settings import DataSettings
from ..settings_io import load_yaml
from .locate import Place, locate, run_name
from .run_folder import DATA, RECORDS, SETTINGS, Record, read_records
from .trained_on import own_data

_LARGE = 2**28  # bytes


class OpenedRun:
    """A snapshot of a run or saved model: what was read once stays, even if training continues.

    ``path`` is a run folder, its ``model`` or ``best``, the folder of a saved model, or an id on the hub; ``data`` says
    where its images are (None: as in its own settings), ``watch`` shows the progress of slow work, ``model`` takes the
    place of the one that is saved, and ``bands`` of the channels that pictures show. Images are opened in
    ``size``, height and width, or the model's own; with ``tile`` large ones are computed in tiles of so many pixels.
    Raises UserError if there is neither a run nor a model.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        data: DataSettings | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 256,
        watch: Watch = unwatched,
        model: Model | None = None,
        bands: tuple[int, ...] = (),
        size: tuple[int, int] | None = None,
        tile: int | None = None,
    ) -> None:
        self.path, self.device, self.batch_size, self.watch = Path(path), device, batch_size, watch
        self.bands = bands
        self.place: Place = locate(path)
        self.name = run_name(path)
        self._data_settings, self._model = data, model
        self.size, self.tile = size, tile
        self._data: tuple[Any, ImageData] | None = None  # what they were opened as, and they
        self._encoded: tuple[ImageSet, tuple[Tensor, Tensor | None]] | None = None

    def reopened(self, data: DataSettings | None = None) -> "OpenedRun":
        """Return the same run as it is saved now; images that are open already are kept if it was trained on them."""
        run = copy.copy(self)
        run.place, run._data_settings, run._model, run._encoded = locate(self.path), data, None, None
        for name in ("config", "_trained_on"):
            vars(run).pop(name, None)
        return run

    @cached_property
    def config(self) -> Config | None:
        """Settings it was trained with; None if they are missing, UserError if they cannot be read."""
        return None if self.place.run is None else load_yaml(self.place.run / SETTINGS)

    @cached_property
    def _trained_on(self) -> dict[str, Any]:
        """What the run says about its images; nothing of a model that is not in a run."""
        return read_mapping(self.place.run / DATA) if self.place.run else {}

    @property
    def data_settings(self) -> DataSettings:
        """Where its images are; source '' if unknown."""
        if self._data_settings is not None:
            return self._data_settings
        return own_data(self.config, self.place.run) if self.config and self.place.run else DataSettings(source="")

    def records(self) -> list[Record]:
        """Return the records of its training; none of a model that is not in a run."""
        return [] if self.place.run is None else list(read_records(self.place.run / RECORDS))

    @property
    def has_model(self) -> bool:
        """Whether it has a model by now."""
        return self._model is not None or self.place.model is not None

    def model(self) -> Model:
        """Return its model, in evaluation mode; UserError if it has none yet, or it is damaged."""
        if self._model is None:
            model = Model.from_folder(self.place.folder(), device=self.device)
            self._model = model.tiled(self.tile) if self.tile else model
        return self._model

    @property
    def shown(self) -> Shown:
        """How its images are shown; UserError if they have no such bands."""
        model = self.model()
        return (Shown(model.pixels, self.bands) if self.bands else model.shown).checked(model.image_shape[0])

    def evaluation(self) -> dict[str, Any] | None:
        """Return what `vaegan evaluate` measured of this very model; None if it did not."""
        return self.place.evaluation(self.model().digest())

    def vectors(self) -> AttributeVectors:
        """Return the attribute vectors saved with the model, or raise UserError."""
        folder, latent_dim = self.place.folder(), self.model().latent_dim
        vectors = load_vectors(folder)
        num = len(vectors.names)
        shapes = [tuple(t.shape) for t in (vectors.vectors, vectors.thresholds, vectors.counts)]
        if shapes != [(num, latent_dim), (num,), (num, 2)]:
            raise UserError(f"{folder}: the attribute vectors do not fit; run `vaegan attributes` again")
        return vectors

    def data(self) -> ImageData:
        """Return the images it was trained on and those held out, in the model's size and type, or raise UserError."""
        settings, model, record = self.data_settings, self.model(), self._trained_on
        if not settings.source:
            name = model.info.get("data", "unnamed")
            raise UserError(f"{self.path} has no record of where its images ({name}) are; name them with --data SOURCE")
        channels, *own = model.image_shape
        height, width = self.size or own
        model.check_size((height, width))
        if settings.channels not in (None, channels):
            words = channels_in_words(channels)
            raise UserError(f"--data.channels {settings.channels}: the model's images are {words}; leave it out")
        wanted = settings.for_shape((channels, height, width))
        opened_as = wanted, model.pixels, record.get("fingerprint")
        if self._data is None or self._data[0] != opened_as:
            data = open_data(wanted, quiet=True, pixels=model.pixels)
            self._data = opened_as, data
            if record.get("fingerprint") != data.fingerprint:  # of its own images, training has said them
                for note in data.notes:
                    log.warning("%s", note)
            if model.factor and [height, width] == own and max(np.subtract(data.original_size or own, own)) > 0:
                sizes = ["x".join(map(str, each)) for each in (data.original_size or own, own)]
                text = "%s: %s images are resized to the model's %s; compare, encode and reconstruct accept --data.size"
                log.info(text, shown(settings.source), *sizes)
            if [height, width] == own and record.get("fingerprint", data.fingerprint) != data.fingerprint:
                # Of another source that is plain to see.
                level = logging.WARNING if record.get("name") == data.name else logging.INFO
                text = "%s: these are not the images that %s was trained on, or they are prepared differently"
                log.log(level, text, shown(settings.source), self.path)
        return self._data[1]

    def images(self, split: str = "test", num: int | None = None, seed: int = 0) -> ImageSet:
        """Return images of 'train', 'test' or 'all', ``num`` of them by the seed, or all; UserError as `data`."""
        return self.data().some(split, num, seed)

    def check_encoder(self) -> None:
        """Raise at once the UserError that encoding would raise later if there is no encoder.

        Where codes are maps, a small image is encoded, as the model's own size may be large.
        """
        model = self.model()
        channels, *size = model.image_shape
        if model.factor:
            size = [min(side, 4 * model.factor) for side in size]
        model.encode(torch.zeros(1, channels, *size), condition=model.condition_in_turn(1))

    def encode(self, images: ImageSet) -> tuple[Tensor, Tensor | None]:
        """Return mu and logvar (None for a plain autoencoder), each `(N, Z)`, of images; of other sizes `(N, C, h, w)`.

        Raises UserError if there is no encoder, or the images lack the condition that the model needs.
        """
        if self._encoded is None or self._encoded[0] is not images:  # several views of one report share their codes
            model, size = self.model(), self.batch_size
            c = model.condition_of(images)
            codes = encode_images(model, images.images, condition=c, batch_size=size, watch=self.watch)
            self._encoded = images, codes
        return self._encoded[1]

    def originals(self, images: ImageSet) -> Numbers:
        """Return the numbers `(N, H, W, C)` of images, in the model's format."""
        numbers, pixels = np.asarray(images.images), self.model().pixels
        return numbers if images.pixels == pixels else pixels.converted(numbers, images.pixels)

    def decode(self, codes: Tensor, condition: Tensor | None = None, *, are_maps: bool = False) -> Numbers:
        """Return images `(..., H, W, C)` in the model's format of codes `(..., Z)`, under a condition.

        The condition expands to `(..., A)`. With ``are_maps`` codes are `(..., C, h, w)`, of images of any size. What
        is large is in a temporary file.
        """
        model = self.model()
        channels, *size = model.image_shape
        if are_maps:
            size = [side * (model.factor or 1) for side in codes.shape[-2:]]
        several = codes.shape[: -3 if are_maps else -1]
        flat = codes.flatten(0, len(several) - 1)
        c = None if condition is None else condition.expand(*several, -1).reshape(len(flat), -1)
        images = _room((len(flat), *size, channels), model.pixels.dtype)
        step = at_once(size, self.batch_size)
        starts = range(0, len(flat), step)
        for start in self.watch(starts, len(starts), "decoding"):
            chunk = slice(start, start + step)
            if is_in_tiles(model, size):
                for top, rows in decode_tiles(model, model.maps(flat[chunk])):
                    images[chunk, top : top + rows.shape[2]] = model.pixels.from_unit(rows)
                continue
            own = None if c is None else c[chunk]
            images[chunk] = model.pixels.from_unit(model.decode(flat[chunk], condition=own, batch_size=self.batch_size))
        return images.reshape(*several, *size, channels)


def _room(shape: tuple[int, ...], dtype: str) -> Numbers:
    """Return an array for pixels: in memory, or a map of a temporary file if it is large."""
    if prod(shape) * np.dtype(dtype).itemsize <= _LARGE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
