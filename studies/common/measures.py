"""Metrics of a model, all in the features of one classifier of the data's labels, trained on the data alone.

Samples are decoded from N(0, I), the prior of the claims. Fréchet distances, precision, recall, density and coverage
are between the classifier's features of samples and of held-out images. They depend on the number of images, so compare
them within a study only.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaegan.config import Config
from vaegan.data import ImageData, open_data
from vaegan.metrics.codes import neighbour_probe
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.image_quality import laplacian_variance
from vaegan.metrics.label_scores import compare_labels
from vaegan.metrics.precision_recall import Manifold, overlap
from vaegan.models import Model
from vaegan.pixels import to_unit

from .runs import Metrics

EXTRACTOR = "classifier"
NEIGHBOURS = 5
"""k of precision, recall, density and coverage."""
ACTIVE_FROM = 0.01
"""Variance of a dimension's mean code over images from which it counts as active (Burda et al., arXiv:1509.00519)."""


class ReferenceData:
    """Held-out and training images that models are compared with, and a classifier with its features of them.

    Args:
        config: settings with the data source.
        num: samples and held-out images to measure.
    """

    def __init__(self, config: Config, num: int) -> None:
        limit = 20_000 if "shapes" in config.data.source else None
        self.data: ImageData = open_data(config.data, limit=limit)
        self.num = min(num, len(self.data.test))
        self.tag = f"{self.data.fingerprint[:8]}-{self.num}"

    @cached_property
    def extractor(self) -> Any:
        """The classifier; trained once, then read from the cache of all extractors."""
        from vaegan.metrics.extractors.features import open_extractor

        return open_extractor(EXTRACTOR, self.data, seed=0)

    @cached_property
    def x(self) -> Tensor:
        """Held-out images `(N, C, H, W)`, evenly spaced over all."""
        return select_images(self.data.test.images, self.rows(len(self.data.test)))

    @property
    def labels(self) -> Tensor:
        """Labels of the held-out images `(N,)`."""
        assert self.data.test.labels is not None
        return torch.from_numpy(np.asarray(self.data.test.labels)[self.rows(len(self.data.test))]).long()

    @cached_property
    def x_train(self) -> Tensor:
        """As many training images, evenly spaced over all."""
        return select_images(self.data.train.images, self.rows(len(self.data.train)))

    @property
    def labels_train(self) -> Tensor:
        """Labels of the training images `(N,)`."""
        assert self.data.train.labels is not None
        return torch.from_numpy(np.asarray(self.data.train.labels)[self.rows(len(self.data.train))]).long()

    @cached_property
    def features(self) -> Tensor:
        """The classifier's features of the held-out images."""
        return self.extractor.features(self.x)  # type: ignore[no-any-return]

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of these features."""
        return Moments(self.features)

    @cached_property
    def manifold(self) -> Manifold:
        """Balls around these features."""
        return Manifold.of(self.features, NEIGHBOURS)

    def rows(self, length: int) -> np.ndarray[Any, Any]:
        """Return the positions of the images to measure, evenly spaced over ``length``."""
        return np.linspace(0, length - 1, min(self.num, length)).round().astype(int)


def select_images(images: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> Tensor:
    """Return some of the uint8 images `(N, H, W, C)` as floats `(n, C, H, W)` in [0, 1]."""
    return to_unit(torch.from_numpy(np.asarray(images[rows])))


def sample_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Quality and labels of images decoded from N(0, I)."""
    return image_metrics(decode_normal(model, reference.num), reference)


def decode_normal(model: Model, num: int = 32, seed: int = 0) -> Tensor:
    """Return images of codes drawn from N(0, I), also where the model has no prior."""
    return model.decode(torch.randn(num, model.latent_dim, generator=torch.Generator().manual_seed(seed)))


def image_metrics(x: Tensor, reference: ReferenceData) -> Metrics:
    """Compare generated images `(N, C, H, W)` with the held-out ones.

    Returns:
        ``frechet``; ``precision``, ``recall``, ``density``, ``coverage``; ``rarest`` (smallest share of a label),
        ``entropy`` (nats) and ``kl`` (to the data's shares, nats) of labels, ``shares`` of each; ``sharpness``, 1 for
        the data's; ``confidence``, the mean probability of the most likely label.
    """
    features = reference.extractor.features(x)
    generated = Manifold.of(features, NEIGHBOURS)
    probabilities = reference.extractor.label_probabilities(features)
    labels = compare_labels(probabilities, reference.labels)
    return {
        "frechet": frechet_distance(reference.moments, Moments(features)),
        **{name: float(values.mean()) for name, values in vars(overlap(reference.manifold, generated)).items()},
        "rarest": labels.rarest,
        "entropy": labels.entropy,
        "kl": labels.kl,
        "shares": labels.samples.tolist(),
        "sharpness": sharpness(x) / sharpness(reference.x),
        "confidence": float(probabilities.amax(1).mean()),
    }


def reconstruction_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Compare decoded mean codes of held-out images with these.

    Returns:
        ``mse`` in pixels of [0, 1]; ``feature_error``, half the squared distance of features (the classifier's);
        ``frechet_rec``; ``sharpness_rec``, 1 for the data's.
    """
    x_tilde = model.reconstruct(reference.x)
    features = reference.extractor.features(x_tilde)
    return {
        "mse": float((x_tilde - reference.x).square().mean()),
        "feature_error": float(0.5 * (features - reference.features).square().sum(1).mean()),
        "frechet_rec": frechet_distance(reference.moments, Moments(features)),
        "sharpness_rec": sharpness(x_tilde) / sharpness(reference.x),
    }


def code_metrics(model: Model, reference: ReferenceData) -> Metrics:
    """Measure the codes of held-out images.

    Returns:
        ``nats``, KL(q(z|x) || N(0, I)) per image; ``active``, dimensions whose mean code varies over images;
        for codes drawn from q(z|x) and (``_mean``) for mean codes: ``knn``, share of images that their nearest
        neighbours among as many training images label correctly, and ``silhouette`` of the labels.
    """
    mu, logvar = model.posterior(reference.x)
    mu_train, logvar_train = model.posterior(reference.x_train)
    z, z_train = sample_posterior(mu, logvar, 1), sample_posterior(mu_train, logvar_train, 2)
    return {
        "nats": float(0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()),
        "active": int((mu.var(0) > ACTIVE_FROM).sum()),
        "knn": knn_accuracy(z_train, z, reference),
        "silhouette": silhouette(z, reference.labels),
        "knn_mean": knn_accuracy(mu_train, mu, reference),
        "silhouette_mean": silhouette(mu, reference.labels),
    }


def sample_posterior(mu: Tensor, logvar: Tensor, seed: int) -> Tensor:
    """Draw codes from q(z|x)."""
    return mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=torch.Generator().manual_seed(seed))


def knn_accuracy(z_train: Tensor, z: Tensor, reference: ReferenceData) -> float:
    """Share of held-out codes that their 10 nearest training codes label correctly."""
    return float(neighbour_probe(z_train, reference.labels_train, z, reference.labels, k=10).float().mean())


def silhouette(z: Tensor, labels: Tensor) -> float:
    """Mean silhouette of labels over at most 2,000 codes (Rousseeuw 1987); 0 for codes that are all equal."""
    from sklearn.metrics import silhouette_score

    z, labels = z[:2000].double(), labels[:2000]
    return float(silhouette_score(z.numpy(), labels.numpy())) if float(z.std(0).amax()) > 0 else 0.0


def sharpness(x: Tensor) -> float:
    """Mean variance of an image's Laplacian."""
    return float(laplacian_variance(x).mean())
