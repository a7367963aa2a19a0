"""What a recipe is, and small functions to write recipes with. No torch here.

All weights are on our scale, nats per image (sums over dimensions, means over the batch). Other code often averages
over dimensions too: a weight w on the mean squared difference of D features is a weight 2 w / D, or
`mean_feature_weight(w, D)`, on our L_llike = 1/2 sum of squares.
"""

from dataclasses import dataclass
from typing import Any, Literal

from ..config import Config
from ..settings import (
    DataSettings,
    DecoderSettings,
    DiscriminatorSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    TrainSettings,
)

YOURS = "your-images"
"""Placeholder for the data of a recipe for your own images: not a source, so training asks for one."""
YOUR_MODEL = "your-model"
"""Placeholder likewise for the model that a recipe starts from."""

NUM_IMAGES = {
    "mnist": 60_000, "celeba": 182_637, "lfw": 11_900, "stl10": 105_000, "cifar10": 50_000, "digits": 1_524
}  # fmt: skip
"""Training images by source."""
IMAGE_SHAPES = {"mnist": (1, 28, 28), "digits": (1, 8, 8)}
"""(C, H, W) of sources that are used in their own size."""

Settings = tuple[DataSettings, ModelSettings, LossSettings, OptimSettings, TrainSettings]


@dataclass(frozen=True)
class Recipe:
    """A named, complete configuration, with its origin."""

    name: str
    summary: str
    """One line for listings."""
    data: str
    """What data it is for, in a few words."""
    image_shape: tuple[int, int, int]
    """(C, H, W) of these images."""
    origin: str
    """Where the values come from."""
    config: Config
    num_images: int
    """Number of training images, assumed if it is for your own; expected times are computed from it."""
    notes: tuple[str, ...] = ()
    """Differences from the origin and their reasons, what is not stated there, what to try; a line each."""


def recipe(
    name: str,
    summary: str,
    data: str,
    origin: str,
    settings: Settings,
    *,
    num_images: int | None = None,
    notes: tuple[str, ...] = (),
    init_from: str | None = None,
) -> Recipe:
    """Return a recipe made of its groups of settings."""
    data_, model, loss, optim, train = settings
    config = Config(recipe=name, init_from=init_from, data=data_, model=model, loss=loss, optim=optim, train=train)
    size = data_.height_width
    image_shape = IMAGE_SHAPES[data_.source] if size is None else (data_.channels or 3, *size)
    num_images = num_images or NUM_IMAGES.get(data_.source, 10_000)
    return Recipe(name, summary, data, image_shape, origin, config, num_images, notes)


def data_of(source: str, size: int | None = None, channels: Literal[1, 3] | None = None, **more: Any) -> DataSettings:
    """Return settings for images of a source and size; ``more`` are other settings of data."""
    return DataSettings(source=source, size=size, channels=channels, **more)


def adam(lr: float, **more: Any) -> OptimSettings:
    """Return settings of Adam with a learning rate; ``more`` are other settings of the optimisers."""
    return OptimSettings(name="adam", lr=lr, **more)


def mean_feature_weight(weight: float, num_features: int) -> float:
    """Return the weight on L_llike that equals ``weight`` on the mean squared difference of ``num_features``."""
    return 2.0 * weight / num_features


def paper_conv(
    encoder: tuple[int, ...],
    first: int,
    decoder: tuple[int, ...],
    discriminator: tuple[int, ...],
    hidden: tuple[int, int],
    latent_dim: int = 128,
) -> ModelSettings:
    """The pattern of arXiv:1512.09300, Table 1, at any width.

    Each encoder convolution halves the image, each of the decoder doubles it; the discriminator's first has
    stride 1 and no norm.

    Args:
        encoder: channels of its convolutions.
        first: channels of the map made from z.
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


def paper_mlp(width: int, num_layers: int, latent_dim: int) -> ModelSettings:
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
