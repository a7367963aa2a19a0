"""The regressor of Table 2: a network that predicts all attributes of an image, trained on real images alone.

It minimises the squared error of attributes (value - offset) / scale, so that all weigh alike, and returns values as
they are stored. How well it predicts an attribute is its R^2 on held-out images, 1 - squared error / variance.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..data.conditions import Conditioning, conditioning_of
from ..data.dataset import ImageData, ImageSet
from ..evaluation.reference import batches_of
from ..files import written_beside
from ..metrics.extractors.classifier import Classifier, fit
from ..metrics.extractors.learned import fingerprint_of, num_images_for
from ..pixels import to_unit

log = logging.getLogger("vaegan")
_VERSION = 1


class Regressor:
    """Predicts attributes of images.

    Args:
        network: gives scaled values.
        conditioning: of the data's attributes: offsets, scales and means.
        device: where it computes.
    """

    def __init__(self, network: Classifier, conditioning: Conditioning, device: torch.device | str = "cpu") -> None:
        self.fingerprint = fingerprint_of(network.state_dict())
        self.names = conditioning.names
        self.centre = torch.tensor(conditioning.mean)
        self._offset, self._scale = torch.tensor(conditioning.offset), torch.tensor(conditioning.scale)
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device

    @torch.inference_mode()
    def values(self, x: Tensor) -> Tensor:
        """Return the attributes `(B, A)`, as stored, on the CPU, of images `(B, C, H, W)` in [0, 1]."""
        scaled: Tensor = self._network(x.to(self._device)).cpu()
        return self._offset + self._scale * scaled

    def of_images(self, images: ImageSet, batch_size: int) -> Tensor:
        """Return the predicted attributes `(N, A)` of images."""
        return torch.cat([self.values(x) for x in batches_of(images.images, batch_size)])


def open_regressor(
    data: ImageData,
    folder: Path,
    *,
    seed: int,
    num_images: int | None = None,
    device: torch.device | str = "cpu",
) -> Regressor:
    """Return the regressor of these data from ``folder``, or train it, on the CPU.

    Args:
        data: has attributes.
        folder: where regressors are saved.
        seed: of the training.
        num_images: images seen in training, over all passes; as many as `learned.num_images_for` says if None.
        device: where it computes.

    Raises:
        UserError: if the data have no attributes, or ``folder`` cannot be written.
    """
    conditioning = conditioning_of(data, "attributes")
    num_images = num_images or num_images_for(len(data.train), data.image_shape)
    key = repr((_VERSION, data.fingerprint, conditioning.names, conditioning.offset, conditioning.scale, seed))
    digest = hashlib.sha256(f"{key} {num_images}".encode()).hexdigest()[:32]
    path = folder / f"regressor-{digest}.safetensors"
    network = _load(path, data, len(conditioning.names))
    if network is None:
        log.info("training a small network to predict attributes: %s images", f"{num_images:,}")
        network = _fit(data, conditioning, seed, num_images)
        with written_beside(path) as beside:
            tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
            beside.write_bytes(safetensors.torch.save(tensors))
    return Regressor(network, conditioning, device)


def r_squared(predicted: Tensor, images: ImageSet) -> Tensor:
    """Return R^2 of each predicted attribute `(N, A)` of images, `(A,)`; NaN where the attribute is constant."""
    assert images.attributes is not None
    truth = torch.from_numpy(np.array(images.attributes)).double()
    error = (predicted - truth).square().nanmean(0)
    variance = (truth - truth.nanmean(0)).square().nanmean(0)
    return torch.where(variance > 0, 1 - error / variance, torch.nan)


def _load(path: Path, data: ImageData, num_outputs: int) -> Classifier | None:
    if not path.is_file():
        return None
    with torch.random.fork_rng(devices=[]):
        network = Classifier(data.image_shape, num_outputs)
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        log.warning("%s is damaged (%s); training again", path, type(error).__name__)
        return None
    return network


def _fit(data: ImageData, conditioning: Conditioning, seed: int, num_images: int) -> Classifier:
    images = data.train
    assert images.attributes is not None
    values = torch.from_numpy(np.array(images.attributes))
    targets = (values - torch.tensor(conditioning.offset)) / torch.tensor(conditioning.scale)

    def loss(network: Classifier, chosen: Tensor) -> Tensor:
        error = network(to_unit(torch.from_numpy(images.images[chosen.numpy()]))) - targets[chosen]
        is_known = ~error.isnan()
        mean: Tensor = torch.where(is_known, error, 0).square().sum() / is_known.sum().clamp_min(1)
        return mean

    return fit(loss, len(images), data.image_shape, targets.shape[1], seed=seed, num_images=num_images)
