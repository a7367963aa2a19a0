"""Recipes of our own: networks in the paper's pattern, with losses and optimisers that are steadier on small data."""

from __future__ import annotations

from ..config import LossSettings, OptimSettings, TrainSettings
from .recipe import YOURS, data_of, paper_conv, paper_mlp, recipe


def _adam() -> OptimSettings:
    """Adam with the short first memory that adversarial training likes (Radford et al., arXiv:1511.06434)."""
    return OptimSettings(name="adam", lr=5e-4, beta1=0.5, beta2=0.99, ema=0.995)


def _loss(gamma: float) -> LossSettings:
    """Non-saturating loss with one-sided label smoothing, steadier than minimax on small data."""
    return LossSettings(gamma=gamma, adversarial="non-saturating", label_smoothing=0.1)


ALL = (
    recipe(
        "digits",
        "small convolutional VAE/GAN, trained in a minute or two on a laptop",
        "8x8 grey digits",
        (1, 8, 8),
        "ours: the paper's pattern scaled down to 8x8",
        (
            data_of("digits"),
            paper_conv((32, 64), 64, (64, 32), (32, 64, 64), (128, 128), latent_dim=16),
            _loss(gamma=0.01),
            _adam(),
            TrainSettings(epochs=60, snapshot_epochs=5),
        ),
        num_images=1_617,
    ),
    recipe(
        "mnist-mlp",
        "fully connected VAE/GAN, two layers of 512 in each part",
        "28x28 grey digits",
        (1, 28, 28),
        "ours: the authors' MNIST network at half width, with Adam",
        (
            data_of("mnist"),
            paper_mlp(512, 2, 20),
            _loss(gamma=0.01),
            _adam(),
            TrainSettings(epochs=20, batch_size=128),
        ),
        num_images=60_000,
    ),
    recipe(
        "mnist-conv",
        "convolutional VAE/GAN for small grey images",
        "28x28 grey digits",
        (1, 28, 28),
        "ours: the paper's pattern scaled down to 28x28",
        (
            data_of("mnist"),
            paper_conv((32, 64), 64, (64, 32), (32, 64, 64), (256, 256), latent_dim=20),
            _loss(gamma=0.01),
            _adam(),
            TrainSettings(epochs=5, batch_size=128),
        ),
        num_images=60_000,
    ),
    recipe(
        "conv-32",
        "the authors' 32x32 network, for any folder of images",
        "32x32 images",
        (3, 32, 32),
        "network of the authors' code for CIFAR-10; loss and optimiser ours",
        (
            data_of(YOURS, 32),
            paper_conv((64, 128, 256), 256, (192, 128, 32), (32, 128, 192, 256), (1024, 512)),
            _loss(gamma=1e-3),
            _adam(),
            TrainSettings(epochs=50),
        ),
    ),
    recipe(
        "conv-64",
        "the paper's 64x64 network, for any folder of images",
        "64x64 images",
        (3, 64, 64),
        "network of arXiv:1512.09300, Table 1; loss and optimiser ours",
        (
            data_of(YOURS, 64),
            paper_conv((64, 128, 256), 256, (256, 128, 32), (32, 128, 256, 256), (2048, 512)),
            _loss(gamma=1e-3),
            _adam(),
            TrainSettings(epochs=20),
        ),
    ),
)
"""Recipes of this origin; the first is the default of all."""
