"""Recipes: named, complete settings, each with its origin. No torch here.

A recipe is one entry in `RECIPES`; the networks of Larsen et al. (arXiv:1512.09300, Table 1) are settings
of the `conv` and `mlp` families, made by the small functions below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .config import (
    Config,
    DataSettings,
    DecoderSettings,
    DiscriminatorSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    TrainSettings,
)
from .errors import UserError, nearest
from .settings_io import with_settings

YOURS = "your-images"
"""Stands for the data of a recipe that has none of its own: no source, so training asks for one."""


@dataclass(frozen=True)
class Recipe:
    """One way to train: what, on which data, where its values come from."""

    name: str
    summary: str
    """One line for listings."""
    data: str
    """What it is made for, in a few words."""
    image_shape: tuple[int, int, int]
    """(C, H, W) of these images."""
    origin: str
    """Where the values come from."""
    config: Config


def config_for(name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return the settings of recipe ``name`` with ``overrides`` (see `settings_io.with_settings`).

    Raises:
        UserError: for an unknown recipe or setting (with the nearest name), or a value that is not allowed.
    """
    if name not in RECIPES:
        hint = nearest(name, RECIPES) or "; `vaegan recipes` lists them"
        raise UserError(f"unknown recipe {name!r}{hint}")
    return with_settings(RECIPES[name].config, overrides or {})


def _conv(
    encoder: tuple[int, ...],
    first: int,
    decoder: tuple[int, ...],
    discriminator: tuple[int, ...],
    hidden: tuple[int, int],
    latent_dim: int = 128,
) -> ModelSettings:
    """The paper's pattern, at any width.

    Each encoder convolution halves the image, each of the decoder doubles it; the discriminator's first has
    stride 1 and no norm.

    Args:
        encoder: channels of its convolutions.
        first: channels of the map made out of z.
        decoder: channels of its upsampling convolutions.
        discriminator: channels of its convolutions.
        hidden: widths of the dense layer in encoder and discriminator.
        latent_dim: dimensions of z.
    """
    strides = (1,) + (2,) * (len(discriminator) - 1)
    return ModelSettings(
        network="conv",
        latent_dim=latent_dim,
        encoder=PartSettings(channels=encoder, hidden=hidden[:1]),
        decoder=DecoderSettings(first_channels=first, channels=decoder),
        discriminator=DiscriminatorSettings(
            channels=discriminator, strides=strides, hidden=hidden[1:], norm_first_layer=False
        ),
    )


def _mlp(width: int, num_layers: int, latent_dim: int) -> ModelSettings:
    """Fully connected: ``num_layers`` hidden layers of ``width`` in each part."""
    hidden = (width,) * num_layers
    return ModelSettings(
        network="mlp",
        latent_dim=latent_dim,
        output="sigmoid",
        encoder=PartSettings(hidden=hidden),
        decoder=DecoderSettings(hidden=hidden),
        discriminator=DiscriminatorSettings(hidden=hidden, norm_first_layer=False),
    )


def _adam() -> OptimSettings:
    """Adam with the short first memory that adversarial training likes (Radford et al., arXiv:1511.06434)."""
    return OptimSettings(name="adam", lr=5e-4, beta1=0.5, beta2=0.99, ema=0.995)


def _paper_optim() -> OptimSettings:
    """RMSProp with rate 3e-4 and decay 0.9, annealed, as the authors' code has it."""
    return OptimSettings(name="rmsprop", lr=3e-4, beta2=0.9, schedule="anneal")


def _ours(gamma: float) -> LossSettings:
    """Non-saturating loss with one-sided label smoothing, steadier than minimax on small data."""
    return LossSettings(gamma=gamma, adversarial="non-saturating", label_smoothing=0.1)


def _paper_loss(gamma: float, real_weight: float) -> LossSettings:
    """Minimax on both kinds of fakes, reals weighted r and fakes 1 - r together, with the balance gate."""
    fake = (1 - real_weight) / 2
    return LossSettings(gamma=gamma, real_weight=real_weight, prior_weight=fake, reconstruction_weight=fake, gate=True)


def _data(source: str, size: int | None = None, channels: Literal[1, 3] | None = None) -> DataSettings:
    return DataSettings(source=source, size=size, channels=channels)


def _recipe(
    name: str,
    summary: str,
    data: str,
    image_shape: tuple[int, int, int],
    origin: str,
    settings: tuple[DataSettings, ModelSettings, LossSettings, OptimSettings, TrainSettings],
) -> Recipe:
    data_, model, loss, optim, train = settings
    config = Config(recipe=name, data=data_, model=model, loss=loss, optim=optim, train=train)
    return Recipe(name, summary, data, image_shape, origin, config)


_ALL = (
    _recipe(
        "digits",
        "small convolutional VAE/GAN, trained in a minute or two on a laptop",
        "8x8 grey digits",
        (1, 8, 8),
        "ours: the paper's pattern scaled down to 8x8",
        (
            _data("digits"),
            _conv((32, 64), 64, (64, 32), (32, 64, 64), (128, 128), latent_dim=16),
            _ours(gamma=0.01),
            _adam(),
            TrainSettings(epochs=60, snapshot_epochs=5),
        ),
    ),
    _recipe(
        "mnist-mlp",
        "fully connected VAE/GAN, two layers of 512 in each part",
        "28x28 grey digits",
        (1, 28, 28),
        "ours: the authors' MNIST network at half width, with Adam",
        (
            _data("mnist"),
            _mlp(512, 2, 20),
            _ours(gamma=0.01),
            _adam(),
            TrainSettings(epochs=20, batch_size=128),
        ),
    ),
    _recipe(
        "mnist-conv",
        "convolutional VAE/GAN for small grey images",
        "28x28 grey digits",
        (1, 28, 28),
        "ours: the paper's pattern scaled down to 28x28",
        (
            _data("mnist"),
            _conv((32, 64), 64, (64, 32), (32, 64, 64), (256, 256), latent_dim=20),
            _ours(gamma=0.01),
            _adam(),
            TrainSettings(epochs=5, batch_size=128),
        ),
    ),
    _recipe(
        "conv-32",
        "the authors' 32x32 network, for any folder of images",
        "32x32 images",
        (3, 32, 32),
        "network of the authors' code for CIFAR-10; loss and optimiser ours",
        (
            _data(YOURS, 32),
            _conv((64, 128, 256), 256, (192, 128, 32), (32, 128, 192, 256), (1024, 512)),
            _ours(gamma=1e-3),
            _adam(),
            TrainSettings(epochs=50),
        ),
    ),
    _recipe(
        "conv-64",
        "the paper's 64x64 network, for any folder of images",
        "64x64 images",
        (3, 64, 64),
        "network of arXiv:1512.09300, Table 1; loss and optimiser ours",
        (
            _data(YOURS, 64),
            _conv((64, 128, 256), 256, (256, 128, 32), (32, 128, 256, 256), (2048, 512)),
            _ours(gamma=1e-3),
            _adam(),
            TrainSettings(epochs=20),
        ),
    ),
    _recipe(
        "larsen-mnist",
        "the authors' MNIST network with the paper's loss and optimiser",
        "28x28 grey digits",
        (1, 28, 28),
        "arXiv:1512.09300 and the authors' code: two layers of 1024, minimax, gate, RMSProp",
        (
            _data("mnist"),
            _mlp(1024, 2, 128),
            _paper_loss(gamma=1e-6, real_weight=0.5),
            _paper_optim(),
            TrainSettings(epochs=40, batch_size=64),
        ),
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
"""Every recipe by name; the first is the default."""
DEFAULT = _ALL[0].name
