"""One run behind the server: its model as it is by now, its attribute vectors, its images, its folder.

A run may still be going on. Its model is read again when the saved one has changed; until there is one, only what
needs none is answered. What takes long, such as the codes of many images, is kept for the next request, a few results
of each run at most.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..config import DataSettings
from ..data import open_data
from ..data.dataset import ImageData, ImageSet, some_of
from ..errors import UserError
from ..latent.attribute_vectors import AttributeVectors
from ..latent.encoding import encode_images
from ..latent.fit_priors import fit_model_priors
from ..loading import find_model, load
from ..models import CONFIG_NAME, WEIGHTS_NAME, Model
from ..models.vectors import NAMES_NAME
from ..priors import Prior
from ..report.vectors import load_vectors
from .batching import Batcher
from .http_errors import Refused
from .run_progress import Watched

_Result = TypeVar("_Result")
_MOST_KEPT = 12  # results
_MOST_PATIENT = 4  # requests that wait for what takes long
_MOST_FITTED = 10_000  # images that the prior of each label is fitted to
BATCH = 64  # images encoded at a time


class Opened:
    """A run by its name.

    Args:
        name: that requests call it by.
        source: run folder, folder of a saved model, or id of a model on the hub.
        data: where its images are; a source of '' for nowhere.
        batcher: that computes for all runs.
        device: where the model is put.

    Raises:
        UserError: if there is neither a model nor a run.
    """

    def __init__(self, name: str, source: str, data: DataSettings, batcher: Batcher, device: str = "cpu") -> None:
        self.name, self.source, self.batcher, self.device = name, source, batcher, device
        self.data_settings = data
        self.folder = Path(source).expanduser().resolve() if Path(source).expanduser().is_dir() else None
        self._lock, self._slow, self._opening = threading.RLock(), threading.Lock(), threading.Lock()
        self._data: ImageData | None = None
        self._patient = threading.BoundedSemaphore(_MOST_PATIENT)
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._stamp: Hashable = None
        self.watched = None if self.run_folder is None else Watched(self.run_folder)
        self._model: Model | None = None
        if self.run_folder is None or (self.run_folder / "model" / CONFIG_NAME).is_file():
            self.model()

    @property
    def run_folder(self) -> Path | None:
        """Folder of the run; None of a model that is saved elsewhere."""
        return self.folder if self.folder is not None and (self.folder / "config.yaml").is_file() else None

    @property
    def version(self) -> str:
        """Changes whenever the saved model or its attribute vectors do, seen at the last look."""
        return hashlib.sha256(repr((self._stamp, self._stamp_of_vectors())).encode()).hexdigest()[:12]

    def model(self) -> Model:
        """Return the model as it is saved now.

        Raises:
            Refused: with 409 if the run has none yet.
            UserError: if it cannot be loaded and never was.
        """
        with self._lock:
            stamp = self._look()
            if self._model is None and stamp is None:
                raise Refused(409, f"{self.name} has no saved model yet; its first snapshot makes one")
            if self._model is None or stamp != self._stamp:
                try:
                    self._model, self._stamp = load(self.source, device=self.device), stamp
                    self._kept.clear()
                except UserError:  # it is being written just now: the one before does until then
                    if self._model is None:
                        raise
            return self._model

    def is_current(self) -> bool:
        """Whether `model` has it at hand."""
        return self._model is not None and self._stamp == self._look()

    def _look(self) -> Hashable:
        """Return what changes with the model's files; None if there are none."""
        if self.folder is None:
            return "hub"
        try:
            folder = find_model(self.folder)
            files = [(folder / name).stat() for name in (CONFIG_NAME, WEIGHTS_NAME)]
        except (OSError, UserError):
            return None
        return tuple((file.st_mtime_ns, file.st_size) for file in files)

    def vectors(self) -> AttributeVectors | None:
        """Return the attribute vectors saved with the model, if there are any that fit it."""
        folder, stamp = self.model().folder, self._stamp_of_vectors()
        if folder is None or stamp is None:
            return None

        def read() -> AttributeVectors | None:
            try:
                return load_vectors(folder)
            except UserError:  # of an earlier model
                return None

        return self._remember(("vectors", stamp, self._stamp), read)

    def _stamp_of_vectors(self) -> int | None:
        folder = None if self._model is None else self._model.folder
        try:
            return None if folder is None else (folder / NAMES_NAME).stat().st_mtime_ns
        except OSError:
            return None

    def data(self) -> ImageData:
        """Return the images that the run was trained on and held out.

        Raises:
            Refused: with 409 if they are not here.
        """
        settings = self.data_settings
        if not settings.source:
            raise Refused(409, f"{self.name} does not say what it was trained on; start with --data SOURCE")
        channels, height, _ = self.model().image_shape

        with self._opening:
            if self._data is None:
                try:
                    self._data = open_data(**settings.opening() | {"size": height, "channels": channels})
                except UserError as error:
                    raise Refused(409, f"the images of {self.name} are not here: {error}") from error
            return self._data

    def images(self, split: str) -> ImageSet:
        """Return the images of a split, 'train' or 'test'.

        Raises:
            Refused: as `data`, and if there are none.
        """
        images = self.data().train if split == "train" else self.data().test
        if not len(images):
            raise Refused(409, f"{self.name} has no {split} images")
        return images

    def codes(self, split: str, num: int, seed: int) -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
        """Return places in the split `(N,)`, mu and logvar (None of a plain autoencoder) `(N, Z)` of some images."""
        images, model = self.images(split), self.model()

        def encode() -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:num])
            c = model.condition_of(images, chosen)
            return chosen, *encode_images(model, images.images[chosen], condition=c, batch_size=BATCH)

        return self.slowly(("codes", split, num, seed), encode)

    def prior_by_label(self) -> Prior:
        """Return a Gaussian for each label, fitted to the codes of training images when first asked for.

        Raises:
            UserError: if there is no encoder or the images have no labels.
        """
        model, train = self.model(), self.images("train")

        def fit() -> Prior:
            some, copy = some_of(train, _MOST_FITTED, 0), model.with_parts({})
            fit_model_priors(copy, some, names=["gaussian"], by_label=True, seed=0, batch_size=BATCH)
            return copy.priors["gaussian"]

        return self.slowly("prior by label", fit)

    def slowly(self, key: Hashable, make: Callable[[], _Result]) -> _Result:
        """Return what is kept under a key; else make it, one after another, while only a few requests wait.

        Raises:
            Refused: with 429 if as many wait already.
        """
        if key in self._kept:
            return self._remember(key, make)
        if not self._patient.acquire(blocking=False):
            raise Refused(429, f"{self.name} is busy with requests that take long; try again in a second")
        try:
            with self._slow:
                return self._remember(key, make)
        finally:
            self._patient.release()

    def _remember(self, key: Hashable, make: Callable[[], _Result]) -> _Result:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(_Result, self._kept[key])
        result = make()
        with self._lock:
            self._kept[key] = result
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return result
