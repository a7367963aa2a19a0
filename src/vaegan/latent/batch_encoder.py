"""An encoder of batches in columns, as a stage of Ray Data or of anything else that maps such batches; imports no ray.

ds.map_batches(BatchEncoder, fn_constructor_kwargs={"model": "runs/kl-f4"}, concurrency=2, batch_size=64)
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from ..data.dataset import ImageSet
from ..data.image_file import Target, check_range, prepare
from ..data.image_types import ArrayImage, open_image
from ..errors import UserError, first_line, offered
from ..models import load
from ..pixels import Numbers
from ..runs.trained_on import data_of_model
from .latent_shards import latents_of


class BatchEncoder:
    """Replaces a column of images with their latents, as `vaegan encode` writes them; each worker loads the model.

    Args:
        model: a run folder, the folder of a saved model, or an id on the hub.
        column: the images: files as bytes, or arrays `(H, W, C)` or `(H, W)`; cropped and resized as the run's
            images, unless they have the model's size.
        scaled: multiply latents by the model's scale factor.
        flip: add latents of the images mirrored left to right.
        device: 'cuda' if available, else 'cpu', if None.
        batch_size: images computed at a time.

    Raises:
        UserError: if there is no such model, or it has no encoder or is conditional.
    """

    def __init__(
        self,
        model: str,
        *,
        column: str = "image",
        scaled: bool = False,
        flip: bool = False,
        device: str | None = None,
        batch_size: int = 256,
    ) -> None:
        self._model = load(model, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))
        channels, height, width = self._model.image_shape
        data = data_of_model(model)
        self._target = Target(height, width, channels, data.crop, data.crop_size, self._model.pixels, data.range)
        self._column, self._scaled, self._flip, self._batch_size = column, scaled, flip, batch_size

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the batch with float32 columns ``latents`` and ``latents_flip`` (if asked), as in the shards.

        Raises UserError, with the row, if the column is missing or a row is not an image that fits.
        """
        if self._column not in batch:
            raise UserError(f"the batch has no column {self._column!r}{offered(self._column, batch)}; set column=NAME")
        rows = [self._prepared(row, image) for row, image in enumerate(batch[self._column])]
        images = ImageSet(np.stack(rows), (), pixels=self._model.pixels) if rows else None
        columns = {name: values for name, values in batch.items() if name != self._column}
        columns["latents"] = self._latents(images, flip=False)
        if self._flip:
            columns["latents_flip"] = self._latents(images, flip=True)
        return columns

    def _latents(self, images: ImageSet | None, *, flip: bool) -> NDArray[Any]:
        """Return the latents of images; none of None."""
        if images is None:
            return np.empty((0, *self._model.code_shape), np.float32)
        return latents_of(self._model, images, self._scaled, self._batch_size, flip=flip).numpy()

    def _prepared(self, row: int, image: Any) -> Numbers:
        """Return the image of a row as the model takes it; UserError if it is none."""
        try:
            return self._opened(image)
        except Exception as error:  # whatever readers raise for what is damaged
            reason = "cannot be read as an image" if isinstance(error, UnidentifiedImageError) else first_line(error)
            raise UserError(f"column {self._column!r}, row {row}: {reason}") from error

    def _opened(self, image: Any) -> Numbers:
        if isinstance(image, bytes):
            return prepare(open_image(io.BytesIO(image)), self._target)
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
            what = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
            raise ValueError(f"{what}; give the bytes of an image file, or an array (H, W, C) or (H, W)")
        pixels = image if image.ndim == 3 else image[..., None]
        if pixels.shape == self._target.shape and pixels.dtype == self._target.dtype:
            check_range(pixels, self._model.pixels)
            return pixels
        return prepare(ArrayImage(lambda: pixels, pixels.shape, pixels.dtype), self._target)
