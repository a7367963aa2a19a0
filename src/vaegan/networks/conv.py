"""Convolution networks for images of any size: the paper's family (arXiv:1512.09300, Table 1).

encoder        convolutions ``conv1``, ... | flatten | dense layers ``dense1``, ... | linear ``head``
decoder        dense layers | dense ``first`` map | upsampling ``up1``, ... | convolution ``output``
discriminator  as the encoder, with a linear ``output``

Where codes are maps, ``head`` and ``first`` are 3 x 3 convolutions and there are no dense layers: the same few weights
make the code of each place of each image. Such a code still goes in and out as a vector, as in `residual`.
"""

from collections.abc import Sequence

from torch import nn

from ..errors import UserError, one_of
from .conv_shapes import Size, layer_strides, map_sizes, same_padding, transposed_padding, valid_sizes
from .kernels.few_channels import MOST_CHANNELS, NarrowConv2d, NarrowInputConv2d
from .kernels.layout import Flatten, Unflatten
from .layers import ConvBlock, DenseBlock, dense_blocks, needs_bias
from .parts import LOGVAR_RANGE, Decoder, Discriminator, Encoder, ImageShape, is_map, logit_layers

PADDINGS = ("same", "valid")


def convolution(
    inputs: int, outputs: int, size: Size, kernel: int, stride: int, bias: bool, padded: bool = True
) -> nn.Conv2d:
    """Return a convolution that makes ``ceil(size / stride)`` pixels of ``size`` (height, width); fewer if unpadded."""
    if not padded:
        return nn.Conv2d(inputs, outputs, kernel, stride, bias=bias)
    if stride == 1:
        if kernel % 2 and min(inputs, outputs) <= MOST_CHANNELS:
            return NarrowConv2d(inputs, outputs, kernel, bias)
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2 if kernel % 2 else "same", bias=bias)
    padding = (same_padding(size[0], kernel, stride), same_padding(size[1], kernel, stride))
    if stride == 2 and inputs <= MOST_CHANNELS and padding[0] == padding[1]:
        return NarrowInputConv2d(inputs, outputs, kernel, stride, padding, bias=bias)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias)


def upsampling(
    inputs: int, outputs: int, size: Size, target: Size, kernel: int, stride: int, bias: bool
) -> nn.Conv2d | nn.ConvTranspose2d:
    """Return a convolution that makes exactly ``target`` pixels of ``size``; a plain one at stride 1."""
    if stride == 1:
        return convolution(inputs, outputs, size, kernel, 1, bias)
    padding, extra = zip(
        *(transposed_padding(n, m, kernel, stride) for n, m in zip(size, target, strict=True)), strict=True
    )
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, extra, bias=bias)


def _down_blocks(
    image_shape: ImageShape,
    channels: Sequence[int],
    strides: Sequence[int] | None,
    kernel: int,
    padding: str,
    norm: str,
    norm_first_layer: bool,
    activation: str,
    order: str,
) -> tuple[dict[str, nn.Module], int]:
    """Return the blocks ``conv1``, ... and the number of features that come out."""
    strides = layer_strides(channels, strides)
    padded = one_of("padding", padding, PADDINGS) == "same"
    size, kernels = image_shape[1:], [kernel] * len(strides)
    sizes = map_sizes(size, strides) if padded else valid_sizes(size, kernels, strides)
    inputs = image_shape[0]
    blocks: dict[str, nn.Module] = {}
    for i, outputs in enumerate(channels):
        own_norm = norm if norm_first_layer or i > 0 else "none"
        conv = convolution(inputs, outputs, sizes[i], kernel, strides[i], needs_bias(own_norm, order), padded)
        blocks[f"conv{i + 1}"] = ConvBlock(conv, own_norm, activation, order)
        inputs = outputs
    return blocks, inputs * sizes[-1][0] * sizes[-1][1]


class ConvEncoder(Encoder):
    """Convolutions, dense layers, a linear ``head``.

    Args:
        image_shape: ``(C, H, W)``, any size.
        latent_dim: dimensions Z of the code; of a map its channels.
        latent: 'vector', or 'map' for a code of (latent_dim, h, w), h and w the size of the last convolution's map.
        channels: width of each convolution.
        strides: stride of each convolution; 2 each by default.
        kernel: side of the kernels, odd or even.
        padding: 'same' or 'valid' (see `conv_shapes`).
        hidden: width of each dense layer after the convolutions.
        norm: 'none', 'batch', 'group' or 'layer', after each layer but the head.
        norm_first_layer: whether ``conv1`` has a norm too.
        activation: 'relu', 'leaky', 'elu', 'silu', 'gelu' or 'tanh'.
        order: 'norm-first' or 'activation-first'.
        dropout: share of units dropped after each dense layer in training.
        variational: whether the head gives ``(mu, logvar)`` or a plain code.
        condition_dim: dimensions A of the condition c that is joined to the flattened maps; 0 for none.

    Raises:
        UserError: if the strides do not fit the channels or the image's size, or an option does not work with a map.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        *,
        latent: str = "vector",
        channels: Sequence[int],
        strides: Sequence[int] | None = None,
        kernel: int = 5,
        padding: str = "same",
        hidden: Sequence[int] = (),
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        variational: bool = True,
        condition_dim: int = 0,
    ) -> None:
        of_maps = _is_map(latent, hidden, condition_dim, padding, dropout)
        layers, features = _down_blocks(
            image_shape, channels, strides, kernel, padding, norm, norm_first_layer, activation, order
        )
        outputs = 2 * latent_dim if variational else latent_dim
        if of_maps:
            layers |= {"head": nn.Conv2d(channels[-1], outputs, 3, padding=1), "flatten": Flatten()}
        else:
            layers["flatten"] = Flatten()
            features += condition_dim
            layers |= dense_blocks(features, hidden, norm, activation, order, dropout)
            layers["head"] = nn.Linear((features, *hidden)[-1], outputs)
        super().__init__(layers, variational, LOGVAR_RANGE if of_maps else None)


class ConvDecoder(Decoder):
    """Dense layers, a layer that makes the first map, upsampling convolutions, an output convolution.

    Args:
        image_shape: ``(C, H, W)``, any size; it comes out exactly.
        latent_dim: dimensions Z of the code.
        output: 'tanh', 'sigmoid' or 'linear'.
        channels: width of each upsampling convolution, from the first map on.
        strides: factor by which each of them upsamples; 2 each by default.
        hidden: width of each dense layer between z and the first map; dropout is after these.
        first_channels: channels of the first map.
        output_kernel: side of the last convolution's kernel.
        output_stride: factor by which the last convolution upsamples; 2 or more make it a transposed one.
        norm_first_layer: whether the first layer has a norm too.
        condition_dim: dimensions A of the condition c that is joined to z; 0 for none.

    All others, and errors, are those of `ConvEncoder`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        output: str = "tanh",
        *,
        latent: str = "vector",
        channels: Sequence[int],
        strides: Sequence[int] | None = None,
        kernel: int = 5,
        padding: str = "same",
        hidden: Sequence[int] = (),
        first_channels: int = 256,
        output_kernel: int = 5,
        output_stride: int = 1,
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        condition_dim: int = 0,
    ) -> None:
        of_maps = _is_map(latent, hidden, condition_dim, padding, dropout)
        strides = (*layer_strides(channels, strides), output_stride)
        backwards, kernels = strides[::-1], (output_kernel, *[kernel] * len(channels))
        if one_of("padding", padding, PADDINGS) == "same":
            sizes = map_sizes(image_shape[1:], backwards)[::-1]
        else:
            sizes = valid_sizes(image_shape[1:], kernels, backwards, covering=True)[::-1]
        first_norm = norm if norm_first_layer or hidden else "none"
        layers: dict[str, nn.Module] = {}
        if of_maps:
            first = nn.Conv2d(latent_dim, first_channels, 3, padding=1, bias=needs_bias(first_norm, order))
            layers["unflatten"] = Unflatten((latent_dim, *sizes[0]), behind=first)
            layers["first"] = ConvBlock(first, first_norm, activation, order)
        else:
            inputs = latent_dim + condition_dim
            layers |= dense_blocks(inputs, hidden, norm, activation, order, dropout, norm_first_layer)
            features = first_channels * sizes[0][0] * sizes[0][1]
            layers["first"] = DenseBlock((inputs, *hidden)[-1], features, first_norm, activation, order)
        inputs, bias = first_channels, needs_bias(norm, order)
        maps: dict[str, nn.Module] = {}
        for i, outputs in enumerate(channels):
            conv = upsampling(inputs, outputs, sizes[i], sizes[i + 1], kernel, strides[i], bias)
            maps[f"up{i + 1}"] = ConvBlock(conv, norm, activation, order)
            inputs = outputs
        size, target = sizes[-2:]
        maps["output"] = upsampling(inputs, image_shape[0], size, target, output_kernel, output_stride, bias=True)
        if not of_maps:
            layers["unflatten"] = Unflatten((first_channels, *sizes[0]), behind=maps[next(iter(maps))])
        super().__init__(layers | maps, output)


class ConvDiscriminator(Discriminator):
    """Convolutions, dense layers, a linear ``output`` that is the logit.

    Layer l is the last convolution before its norm and non-linearity, as in the authors' code. The paper's
    discriminator has no norm behind its first convolution.

    Args:
        patch: whether to judge each patch by itself: a convolution is the output, and there are no dense layers
            (Isola et al., arXiv:1611.07004, section 3.2.2). A patch is as large as the convolutions see.
        spectral_norm: whether each weight is divided by its largest singular value.
        minibatch_features: features of minibatch discrimination before the output; 0 for none.

    All others are those of `ConvEncoder`. UserError is also raised if patches meet what needs whole images.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        *,
        channels: Sequence[int],
        strides: Sequence[int] | None = None,
        kernel: int = 5,
        padding: str = "same",
        hidden: Sequence[int] = (),
        norm: str = "batch",
        norm_first_layer: bool = True,
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
        patch: bool = False,
        spectral_norm: bool = False,
        minibatch_features: int = 0,
        condition_dim: int = 0,
    ) -> None:
        layers, features = _down_blocks(
            image_shape, channels, strides, kernel, padding, norm, norm_first_layer, activation, order
        )
        layer_l = f"conv{len(channels)}.conv"
        if patch:
            _check_patch(hidden, dropout, minibatch_features, condition_dim)
            layers["output"] = convolution(channels[-1], 1, image_shape[1:], kernel, 1, bias=True)
            super().__init__(layers, layer_l, spectral_norm, judges_patches=True)
            return
        layers["flatten"] = Flatten()
        features += condition_dim
        layers |= dense_blocks(features, hidden, norm, activation, order, dropout)
        layers |= logit_layers((features, *hidden)[-1], minibatch_features)
        super().__init__(layers, layer_l, spectral_norm)


def _is_map(latent: str, hidden: Sequence[int], condition_dim: int, padding: str, dropout: float) -> bool:
    """Whether codes are maps; UserError if an option does not work with them."""
    of_maps = is_map(latent, hidden, condition_dim)
    if of_maps and padding != "same":
        raise UserError(f"padding {padding} cannot be used with a map code; set it to same")
    if of_maps and dropout:
        raise UserError("dropout is set, but a map code needs no dense layers; leave dropout out")
    return of_maps


def _check_patch(hidden: Sequence[int], dropout: float, minibatch_features: int, condition_dim: int) -> None:
    """Refuse settings of dense layers, which a discriminator of patches does not have."""
    dense_settings = {"hidden": hidden, "dropout": dropout, "minibatch-features": minibatch_features}
    for name, value in dense_settings.items():
        if value:
            raise UserError(f"{name} is set, but a patch discriminator has no dense layers; leave it out")
    if condition_dim:
        raise UserError("a patch discriminator has no dense layer to concatenate a condition to; set patch to False")
