"""A model behind the server: its files are looked at for each request, and read again once they have changed.

A request takes one `ModelVersion` and uses it throughout, so that no image is encoded by one state of a model and
decoded by the next while training saves. Slow results, such as the codes of many images, are remembered with the
version.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..config import DataSettings
from ..data import open_data
from ..data.dataset import ImageData, ImageSet, some_rows
from ..errors import UserError
from ..latent.attribute_vectors import AttributeVectors
from ..latent.encoding import encode_images
from ..latent.fit_priors import fit_model_priors
from ..latent.vectors import load_vectors
from ..loading import load
from ..models import Model
from ..priors import Prior
from ..runs.files import MODEL_CONFIG, VECTOR_TENSORS, VECTORS, WEIGHTS
from ..runs.locate import find_model
from .batching import Batcher
from .http_errors import Refused

Split = Literal["test", "train"]
_Result = TypeVar("_Result")
_MAX_RESULTS = 12  # remembered for each version
_MAX_WAITING = 4  # requests that wait for slow results
_MAX_FIT_IMAGES = 10_000  # that the prior of each label is fitted to
BATCH = 64  # images encoded at a time


class ServedModel:
    """A run or saved model by its name.

    Args:
        name: that requests use.
        source: run folder, folder of a saved model, or id of a model on the hub.
        data: where its images are; a source of '' for nowhere.
        batcher: computes for all models.
        device: where the model is put.

    Raises:
        UserError: if there is neither a model nor a run.
    """

    def __init__(self, name: str, source: str, data: DataSettings, batcher: Batcher, device: str = "cpu") -> None:
        self.name, self.source, self.batcher, self.device = name, source, batcher, device
        self.data_settings = data
        self.folder = Path(source).expanduser().resolve() if Path(source).expanduser().is_dir() else None
        self._reading, self._opening = threading.Lock(), threading.Lock()
        self._data: ImageData | None = None
        self._version: ModelVersion | None = None
        self._stamp: Hashable = None
        self.slow = threading.Lock()
        self.waiting = threading.BoundedSemaphore(_MAX_WAITING)
        if self.run_folder is None or (self.run_folder / "model" / MODEL_CONFIG).is_file():
            self.version()

    @property
    def run_folder(self) -> Path | None:
        """Folder of the run; None of a model that is saved elsewhere."""
        return self.folder if self.folder is not None and (self.folder / "config.yaml").is_file() else None

    def current_version(self) -> ModelVersion | None:
        """Return the version in memory if the files are still the same; None if they have to be read."""
        return self._version if self._stamp == self._look() else None

    def version(self) -> ModelVersion:
        """Return the model and its attribute vectors as they are saved now.

        Raises:
            Refused: with 409 if the run has none yet.
            UserError: if it cannot be loaded and never was.
        """
        with self._reading:
            stamp = self._look()
            if self._version is None and stamp is None:
                raise Refused(409, f"{self.name} has no saved model yet; its first snapshot makes one")
            if self._version is None or stamp != self._stamp:
                try:
                    self._version = ModelVersion(self, *self._read(), id=_digest(stamp))
                    self._stamp = stamp
                except UserError:  # it is being written just now: use the previous version until then
                    if self._version is None:
                        raise
            return self._version

    def _read(self) -> tuple[Model, AttributeVectors | None]:
        model = load(self.source, device=self.device)
        try:
            return model, None if model.folder is None else load_vectors(model.folder)
        except UserError:  # there are none, or they belong to earlier weights
            return model, None

    def _look(self) -> Hashable:
        """Return a value that changes with the files of the model and its vectors; None if there is no model."""
        if self.folder is None:
            return "hub"
        try:
            folder = find_model(self.folder)
            files = [folder / MODEL_CONFIG, folder / WEIGHTS]
            files += [path for name in (VECTORS, VECTOR_TENSORS) if (path := folder / name).is_file()]
            return tuple((file.name, (at := file.stat()).st_mtime_ns, at.st_size) for file in files)
        except (OSError, UserError):
            return None

    def images(self, split: str, image_shape: tuple[int, int, int]) -> ImageSet:
        """Return the images of a split, 'train' or 'test', as a model of this shape (C, H, W) takes them.

        Raises:
            Refused: with 409 if they are not here.
        """
        settings = self.data_settings
        if not settings.source:
            raise Refused(409, f"{self.name} does not say what it was trained on; start with --data SOURCE")
        with self._opening:
            if self._data is None:
                try:
                    self._data = open_data(settings.for_shape(image_shape))
                except UserError as error:
                    raise Refused(409, f"the images of {self.name} are not here: {error}") from error
        images = self._data.split(split)
        if not len(images):
            raise Refused(409, f"{self.name} has no {split} images")
        return images


@dataclass(eq=False)
class ModelVersion:
    """A model and its attribute vectors, read together; never changes.

    Attributes:
        served: what it is a version of.
        model: the model.
        vectors: its attribute vectors, or None.
        id: differs between versions.
    """

    served: ServedModel
    model: Model
    vectors: AttributeVectors | None
    id: str
    _results: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.served.name

    def images(self, split: str) -> ImageSet:
        """Return the images of a split; see `ServedModel.images`."""
        return self.served.images(split, self.model.image_shape)

    def codes(self, split: str, num: int, seed: int) -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
        """Return indices in the split `(N,)`, mu and logvar (None of a plain autoencoder) `(N, Z)` of some images."""
        images = self.images(split)

        def encode() -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
            chosen = some_rows(len(images), num, seed)
            c = self.model.condition_of(images, chosen)
            return chosen, *encode_images(self.model, images.images[chosen], condition=c, batch_size=BATCH)

        return self.slowly(("codes", split, num, seed), encode)

    def prior_by_label(self) -> Prior:
        """Return a Gaussian for each label, fitted to the codes of training images on first use.

        Raises:
            UserError: if there is no encoder or the images have no labels.
        """
        train = self.images("train")

        def fit() -> Prior:
            some, copy = train.some(_MAX_FIT_IMAGES, 0), self.model.with_parts({})
            fit_model_priors(copy, some, names=["gaussian"], by_label=True, seed=0, batch_size=BATCH)
            return copy.priors["gaussian"]

        return self.slowly("prior by label", fit)

    def slowly(self, key: Hashable, make: Callable[[], _Result]) -> _Result:
        """Return the result remembered under a key, or make it; one at a time, while only a few requests wait.

        Raises:
            Refused: with 429 if too many wait already.
        """
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return cast(_Result, self._results[key])
        if not self.served.waiting.acquire(blocking=False):
            raise Refused(429, f"{self.name} is busy with slow requests; try again in a second")
        try:
            with self.served.slow:
                with self._lock:
                    if key in self._results:  # made while this request waited
                        return cast(_Result, self._results[key])
                result = make()
        finally:
            self.served.waiting.release()
        with self._lock:
            self._results[key] = result
            while len(self._results) > _MAX_RESULTS:
                self._results.popitem(last=False)
        return result


def _digest(stamp: Hashable) -> str:
    return hashlib.sha256(repr(stamp).encode()).hexdigest()[:12]
