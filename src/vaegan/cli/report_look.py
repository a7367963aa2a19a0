"""What a report looks at: the model and some images of its data, with their codes computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import UserError
from .pictures import DataPictureOptions, decode_to_bytes, encode_to_codes, some_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..data.dataset import ImageData, ImageSet
    from ..models import Model


@dataclass
class Look:
    """What there is to look at.

    Attributes:
        options: of the command.
        found: the model, or None if the run has saved none yet.
        data: the images, or None.
        reason: why there are no images.
        k: number of clusters, or None.
    """

    options: DataPictureOptions
    found: Model | None
    data: ImageData | None
    reason: str
    k: int | None

    @property
    def model(self) -> Model:
        """The model."""
        if self.found is None:
            raise UserError("There is no model yet; training saves it with each snapshot.")
        return self.found

    @cached_property
    def images(self) -> ImageSet:
        """Some images of the split that was asked for."""
        if self.data is None:
            raise UserError(self.reason)
        split = self.data.test if self.options.split == "test" else self.data.train
        return some_of(split, self.options.num, self.options.seed)

    @cached_property
    def codes(self) -> tuple[Tensor, Tensor | None]:
        """Means and log variances (None of a plain autoencoder), each `(N, Z)`, of these images."""
        return encode_to_codes(self.model, self.images, self.options.batch_size)

    @property
    def whose(self) -> str:
        """The split in words."""
        return "held-out" if self.options.split == "test" else "training"

    def decode(self, codes: Tensor, condition: Tensor | None) -> NDArray[np.uint8]:
        """Return images uint8 `(R, K, H, W, C)` of codes `(R, K, Z)`, under a condition that expands to `(R, K, A)`."""
        c = None if condition is None else condition.expand(*codes.shape[:2], -1).flatten(0, 1)
        flat = decode_to_bytes(self.model, codes.flatten(0, 1), self.options.batch_size, c)
        return flat.reshape(*codes.shape[:2], *flat.shape[1:])


def check_encoder(model: Model) -> None:
    """Raise what the model says where it has no encoder, before the data is asked for."""
    import torch

    model.encode(torch.zeros(1, *model.image_shape), condition=model.condition_in_turn(1))
