"""A model behind the server: its files are checked at each request, and reloaded when they have changed.

A request takes one `ModelVersion` and uses it throughout, so that no image is encoded by one state of a model and
decoded by the next while training saves. Slow results, such as the codes of many images, are remembered with the
version.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import ImageSet, some_rows
from ..errors import UserError
from ..files import expanded, short_hash
from ..latent.attribute_vectors import AttributeVectors
from ..latent.fit_priors import fit_model_priors
from ..priors import Prior
from ..runs.locate import find_model
from ..runs.opened import OpenedRun
from ..runs.run_folder import MODEL, MODEL_CONFIG, OF_A_MODEL, SETTINGS, WEIGHTS
from ..settings import DataSettings
from .batching import Batcher, Outputs
from .http_errors import Refused

Split = Literal["test", "train"]
Where = DataSettings | Callable[[], DataSettings]
"""Where images are; a function is called whenever the files of a model have changed."""
_Result = TypeVar("_Result")
_MAX_RESULTS = 12  # remembered for each version
_MAX_WAITING = 4  # requests that wait for slow results
_MAX_FIT_IMAGES = 10_000  # that the prior of each label is fitted to
BATCH = 64  # images encoded at a time


class ServedModel:
    """A run or saved model by the name that requests use; UserError if it is neither.

    ``data`` says where its images are (a source of '': nowhere). All models share the batcher; options as of
    `OpenedRun`.
    """

    def __init__(self, name: str, source: str, data: Where, batcher: Batcher, **options: Any) -> None:
        self.name, self.source, self.batcher = name, source, batcher
        self._where: Callable[[], DataSettings] = (lambda: data) if isinstance(data, DataSettings) else data
        self._options = options
        self.folder = expanded(source).resolve() if expanded(source).is_dir() else None
        self._reading = threading.Lock()
        self._version: ModelVersion | None = None
        self._stamp: Hashable = None
        self.opening, self.slow = threading.Lock(), threading.Lock()
        self.waiting = threading.BoundedSemaphore(_MAX_WAITING)
        if self.run_folder is None or (self.run_folder / MODEL / MODEL_CONFIG).is_file():
            self.version()
        else:
            self._where()  # or say now what is wrong

    @property
    def run_folder(self) -> Path | None:
        """Folder of the run; None of a model that is saved elsewhere."""
        return self.folder if self.folder is not None and (self.folder / SETTINGS).is_file() else None

    def current_version(self) -> "ModelVersion | None":
        """Return the version in memory if the files are still the same; None if they have to be read."""
        return self._version if self._stamp == self._look() else None

    def version(self) -> "ModelVersion":
        """Return the model and its attribute vectors as they are saved now.

        Raises Refused with 409 if the run has none yet, UserError if it cannot be loaded and never was.
        """
        with self._reading:
            stamp = self._look()
            if self._version is None and stamp is None:
                raise Refused(409, f"{self.name} has no saved model yet; its first snapshot makes one")
            if self._version is None or stamp not in (None, self._stamp):  # None while a run starts over
                try:
                    self._version = ModelVersion(self, self._opened(), short_hash(repr(stamp))[:12])
                    self._stamp = stamp
                except UserError:  # it is just being written: use the previous version
                    if self._version is None:
                        raise
            return self._version

    def _opened(self) -> OpenedRun:
        if self._version is not None:
            return self._version.run.reopened(self._where())
        return OpenedRun(self.source, data=self._where(), batch_size=BATCH, **self._options)

    def _look(self) -> Hashable:
        """Return a value that changes with the files of the model; None if there is no model."""
        if self.folder is None:
            return "hub"
        try:
            folder = find_model(self.folder)
            files = [path for name in OF_A_MODEL if (path := folder / name).is_file()]
            stamps = {file.name: ((at := file.stat()).st_mtime_ns, at.st_size) for file in files}
        except (OSError, UserError):
            return None
        return tuple(stamps.items()) if WEIGHTS in stamps else None


class ModelVersion:
    """A model and its attribute vectors, read together and never changed; its id is unique. UserError if unreadable."""

    def __init__(self, served: ServedModel, run: OpenedRun, id: str) -> None:
        self.served, self.run, self.id = served, run, id
        self.name, self.model, self.shown = served.name, run.model(), run.shown
        self.vectors: AttributeVectors | None
        try:
            self.vectors = run.vectors()
        except UserError:  # there are none, or they belong to other weights
            self.vectors = None
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def picture_channels(self) -> list[int]:
        """The channels, from 0, of its images that a picture has, in this order; opacity where there is one."""
        num = self.model.image_shape[0]
        return [*range(num)] if self.shown.pixels.alpha and not self.shown.bands else self.shown.places(num)

    @property
    def shows_all_channels(self) -> bool:
        """Whether a picture of an image can be read back, as it has all channels."""
        return sorted(self.picture_channels) == [*range(self.model.image_shape[0])]

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Outputs:
        """Return images `(B, C, H, W)` in [0, 1] of codes `(B, Z)`, for the batcher, which joins equal methods."""
        return (self.model.decode(z, condition=condition).cpu(),)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Outputs:
        """Return the encoder's outputs `(B, Z)` of images `(B, C, H, W)` in [0, 1], for the batcher, too."""
        return tuple(tensor.cpu() for tensor in self.model.encoder_outputs(x, condition=condition))

    def images(self, split: str) -> ImageSet:
        """Return the images of a split, 'train' or 'test'; Refused with 409 if they are not here."""
        with self.served.opening:
            try:
                images = self.run.images(split)
            except UserError as error:
                raise Refused(409, f"the images of {self.name} are not available: {error}") from error
        if not len(images):
            raise Refused(409, f"{self.name} has no {split} images")
        return images

    def codes(self, split: str, num: int, seed: int) -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
        """Return indices in the split `(N,)`, mu and logvar (None of a plain autoencoder) `(N, Z)` of some images."""
        images = self.images(split)

        def encode() -> tuple[NDArray[np.int64], Tensor, Tensor | None]:
            indices = some_rows(len(images), num, seed)
            return indices, *self.run.encode(images.take(indices))

        return self.slowly(("codes", split, num, seed), encode)

    def prior_by_label(self) -> Prior:
        """Return a Gaussian for each label, fitted to the codes of training images on first use."""
        train = self.images("train")
        if train.labels is None:
            raise Refused(422, f"the images of {self.name} have no labels; leave out label")

        def fit() -> Prior:
            subset, copy = train.some(_MAX_FIT_IMAGES, 0), self.model.with_parts({})
            copy.priors = {}  # no others to score
            fit_model_priors(copy, subset, names=["gaussian"], by_label=True, seed=0, batch_size=BATCH)
            return copy.priors["gaussian"]

        return self.slowly("prior by label", fit)

    def slowly(self, key: Hashable, make: Callable[[], _Result]) -> _Result:
        """Return the result remembered under a key, or make it, one at a time; Refused with 429 if many wait."""
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
