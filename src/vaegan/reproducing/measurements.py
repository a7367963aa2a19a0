"""What is measured of each model of the paper's experiments, and of real images beside them.

Table 2 of arXiv:1512.09300: do images show the attributes they are conditioned on? For each of N held-out attribute
vectors y a model draws K images (the paper: 10) from codes of N(0, I), the same for all models. A regressor, a network
trained on real images alone, predicts the attributes y' of each, and the image with the highest

    cos(y', y) = <y', y> / (||y'|| ||y||)

counts. All attribute vectors have much in common, so that even an image that ignores y has a high cosine; the centred
one, of y' - c and y - c with c the mean attribute vector of the data, is near 0 then. The best of K also rewards images
that differ widely, hence the mean over the K beside it. Two rows of real images stand beside the models: held-out
images with their own attributes, where all error is the regressor's, but with one image for each y, not the best of K;
and K others drawn at random, as if y were ignored.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.conditions import Conditioning, conditioning_of
from ..data.dataset import ImageData, ImageSet
from ..errors import UserError
from ..evaluation.reference import batches_of, decoded, reconstructions_of
from ..files import short_hash
from ..metrics.bootstrap import bootstrap_mean
from ..metrics.extractors.classifier import Classifier, fit, saved_or_trained
from ..metrics.extractors.learned import fingerprint_of, num_images_for
from ..metrics.figures import Figures
from ..metrics.image_quality import laplacian_variance, mean_squared_error
from ..models import Model
from ..progress import log

MAIN_SIMILARITIES = ("cosine", "centred_cosine", "mse")
"""Figures of Table 2; the paper does not have the second."""
SIMILARITIES = (*MAIN_SIMILARITIES, "mean_cosine", "mean_centred_cosine", "mean_mse")
PIXEL_FIGURES = ("reconstruction_mse", "reconstruction_sharpness", "sample_sharpness")
_VERSION = 1


class Regressor:
    """Predicts attributes of images; the network gives values scaled as ``conditioning`` says."""

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
        return torch.cat([self.values(x) for x in batches_of(images, batch_size)])


def open_regressor(
    data: ImageData, folder: Path, *, seed: int, num_images: int | None = None, device: torch.device | str = "cpu"
) -> Regressor:
    """Return the regressor of these data from ``folder``, or train it on the CPU and save it there.

    In training it sees ``num_images`` over all passes (None: as many as `learned.num_images_for` says); it computes on
    ``device``. Raises UserError if the data have no attributes, or the folder cannot be written.
    """
    conditioning = conditioning_of(data, "attributes")
    num_images = num_images or num_images_for(len(data.train), data.image_shape)
    targets = short_hash(np.array(data.train.attributes).tobytes())
    key = (_VERSION, data.fingerprint, conditioning.names, conditioning.offset, conditioning.scale, seed, targets)
    path = folder / f"regressor-{short_hash(f'{key!r} {num_images}')}.safetensors"

    def train() -> Classifier:
        log.info("training a small network to predict attributes: %s images", f"{num_images:,}")
        return _fit(data, conditioning, seed, num_images)

    network = saved_or_trained(path, data.image_shape, len(conditioning.names), train)
    return Regressor(network, conditioning, device)


def r_squared(predicted: Tensor, images: ImageSet) -> Tensor:
    """Return R^2 of each predicted attribute `(N, A)` of images, `(A,)`; NaN where the attribute is constant."""
    assert images.attributes is not None
    truth = torch.from_numpy(np.array(images.attributes)).double()
    error = (predicted - truth).square().nanmean(0)
    variance = (truth - truth.nanmean(0)).square().nanmean(0)
    return torch.where(variance > 0, 1 - error / variance, torch.nan)


def _fit(data: ImageData, conditioning: Conditioning, seed: int, num_images: int) -> Classifier:
    images = data.train
    assert images.attributes is not None
    values = torch.from_numpy(np.array(images.attributes))
    targets = (values - torch.tensor(conditioning.offset)) / torch.tensor(conditioning.scale)

    def loss(network: Classifier, chosen: Tensor) -> Tensor:
        error = network(images.unit(chosen.numpy())) - targets[chosen]
        is_known = ~error.isnan()
        mean: Tensor = torch.where(is_known, error, 0).square().sum() / is_known.sum().clamp_min(1)
        return mean

    return fit(loss, len(images), data.image_shape, targets.shape[1], seed=seed, num_images=num_images)


def similarity_of_real(regressor: Regressor, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of real images with their own attributes."""
    return _similarities(regressor.of_images(images, batch_size)[:, None], images, regressor, seed)


def similarity_of_others(
    regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int
) -> Figures:
    """Return the figures of real images drawn at random, ignoring attributes."""
    predicted = regressor.of_images(images, batch_size)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(predicted), (len(predicted), num_samples), generator=generator)
    return _similarities(predicted[drawn], images, regressor, seed)


def similarity_of_model(
    model: Model, regressor: Regressor, images: ImageSet, *, num_samples: int, seed: int, batch_size: int
) -> Figures:
    """Return the figures of a model conditioned on the attributes of images, of K samples for each of them."""
    condition = model.condition_of(images)
    assert condition is not None
    codes = model.sample_codes(len(images) * num_samples, seed, "normal")
    c = condition.repeat_interleave(num_samples, dim=0)
    predicted = torch.cat([regressor.values(x) for x in decoded(model, codes, batch_size, c)])
    return _similarities(predicted.reshape(len(images), num_samples, -1), images, regressor, seed)


def _similarities(predicted: Tensor, images: ImageSet, regressor: Regressor, seed: int) -> Figures:
    assert images.attributes is not None
    target = torch.from_numpy(np.array(images.attributes))  # (N, A), as stored, NaN where unknown
    is_known = ~target.isnan().all(1)  # of the others there is nothing to compare
    if not is_known.any():
        raise UserError(f"no attribute of the {len(images)} held-out images is known; add some, or use more (--num)")
    values = attribute_similarity(predicted[is_known], target[is_known], regressor.centre)
    return {name: bootstrap_mean(row, seed=seed) for name, row in values.items()}


def pixels_of_real(images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the sharpness of real images, which that of reconstructions and samples is compared with."""
    values = torch.cat([laplacian_variance(x) for x in batches_of(images, batch_size)])
    return dict.fromkeys(("reconstruction_sharpness", "sample_sharpness"), bootstrap_mean(values, seed=seed))


def pixels_of_model(model: Model, images: ImageSet, *, seed: int, batch_size: int) -> Figures:
    """Return the figures of an unconditional model; those of reconstructions only if it has an encoder."""
    values: dict[str, list[Tensor]] = {}
    if model.encoder is not None:
        for x, x_tilde in reconstructions_of(model, images, batch_size):
            values.setdefault("reconstruction_mse", []).append(mean_squared_error(x_tilde, x))
            values.setdefault("reconstruction_sharpness", []).append(laplacian_variance(x_tilde))
    codes = model.sample_codes(len(images), seed, "normal")
    values["sample_sharpness"] = [laplacian_variance(x_p) for x_p in decoded(model, codes, batch_size)]
    return {name: bootstrap_mean(torch.cat(batches), seed=seed) for name, batches in values.items()}


def attribute_similarity(predicted: Tensor, target: Tensor, centre: Tensor) -> dict[str, Tensor]:
    """Compare predicted attributes y' of K images for each vector, `(N, K, A)`, with targets y, `(N, A)`.

    Returns `SIMILARITIES`, `(N,)` each: 'cosine' (as in Table 2) and 'centred_cosine' (after the mean attribute vector
    of the data ``centre``, `(A,)`, is subtracted) are the highest of the K images, 'mse' is the squared error, mean
    over attributes, of the image with the highest cosine; 'mean_...' are means over the K images. Targets that are
    unknown (NaN) are ignored.
    """
    predicted, target, centre = predicted.double(), target.double()[:, None], centre.double()
    is_known = ~target.isnan()
    cosine = _cosine(predicted, target, is_known)
    centred = _cosine(predicted - centre, target - centre, is_known)
    error = torch.where(is_known, predicted - target, 0).square().sum(2) / is_known.sum(2)
    highest, of = cosine.max(1)
    best = {"cosine": highest, "centred_cosine": centred.amax(1), "mse": error.gather(1, of[:, None])[:, 0]}
    of_all = {"cosine": cosine, "centred_cosine": centred, "mse": error}
    return best | {f"mean_{name}": values.mean(1) for name, values in of_all.items()}


def _cosine(a: Tensor, b: Tensor, is_known: Tensor) -> Tensor:
    """Return cosines `(N, K)` over known attributes; 0 where a vector is 0."""
    return F.cosine_similarity(torch.where(is_known, a, 0), torch.where(is_known, b, 0), dim=2)
