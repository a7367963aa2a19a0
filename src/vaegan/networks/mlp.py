"""Fully connected networks: the image is a vector of its ``C H W`` values."""

from collections.abc import Sequence
from math import prod

from torch import nn

from .layers import dense_blocks
from .parts import Decoder, Discriminator, Encoder, ImageShape, logit_layers


class MLPEncoder(Encoder):
    """Dense layers ``dense1``, ``dense2``, ..., then a linear ``head``.

    Args:
        image_shape: ``(C, H, W)``.
        latent_dim: dimensions Z of the code.
        hidden: width of each dense layer.
        condition_dim: dimensions A of the condition c that is joined to the image; 0 for none.

    All others are those of `conv.ConvEncoder`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        *,
        hidden: Sequence[int] = (),
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        variational: bool = True,
        condition_dim: int = 0,
    ) -> None:
        widths = (prod(image_shape) + condition_dim, *hidden)
        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        layers |= dense_blocks(widths[0], hidden, norm, activation, order, dropout, norm_first_layer)
        layers["head"] = nn.Linear(widths[-1], 2 * latent_dim if variational else latent_dim)
        super().__init__(layers, variational)


class MLPDecoder(Decoder):
    """Dense layers ``dense1``, ``dense2``, ..., then a linear ``output`` that is the image.

    The output is 'tanh', 'sigmoid' or 'linear'; the condition c is joined to z. Other arguments as `MLPEncoder`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        output: str = "tanh",
        *,
        hidden: Sequence[int] = (),
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        condition_dim: int = 0,
    ) -> None:
        widths = (latent_dim + condition_dim, *hidden)
        layers = dense_blocks(widths[0], hidden, norm, activation, order, dropout, norm_first_layer)
        layers["output"] = nn.Linear(widths[-1], prod(image_shape))
        layers["unflatten"] = nn.Unflatten(1, tuple(image_shape))
        super().__init__(layers, output)


class MLPDiscriminator(Discriminator):
    """Dense layers ``dense1``, ``dense2``, ..., then a linear ``output`` that is the logit; arguments as `MLPEncoder`.

    Layer l is the last dense layer before its norm and non-linearity. ``spectral_norm`` divides each weight by its
    largest singular value; ``minibatch_features`` of minibatch discrimination come before the output, 0 for none.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        *,
        hidden: Sequence[int] = (),
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        spectral_norm: bool = False,
        minibatch_features: int = 0,
        condition_dim: int = 0,
    ) -> None:
        widths = (prod(image_shape) + condition_dim, *hidden)
        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        layers |= dense_blocks(widths[0], hidden, norm, activation, order, dropout, norm_first_layer)
        layers |= logit_layers(widths[-1], minibatch_features)
        super().__init__(layers, f"dense{len(hidden)}.linear" if hidden else "output", spectral_norm)
