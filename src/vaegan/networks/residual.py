"""Residual networks for images of 32 to 256 pixels, with codes that are vectors or maps.

    block      y = S x + Conv(dropout(SiLU(Norm(Conv(SiLU(Norm(x)))))))       S: identity, or 1 x 1 where widths differ
    encoder    convolution | a stage for each width: blocks, then half the size except in the last | middle | head
    decoder    first map | middle | a stage for each width: blocks, then twice the size except in the last | output
    middle     block, self-attention, block, where maps are smallest

Norms are over groups of channels (arXiv:1803.08494), so no image depends on another. This is the autoencoder under
latent diffusion (Rombach et al., arXiv:2112.10752, appendix G; blocks and attention after Ho et al., arXiv:2006.11239),
layer for layer, so that `exporting.diffusers` can rename its weights. A code that is a map z of (C, h, w) goes in and
out as a vector of C h w numbers, in this order, so that code for vectors works unchanged.

Self-attention over the pixels of a map has one head, and is a residual:

    y = x + W_o softmax(Q K^T / sqrt(C)) V,    Q, K, V = W_q h, W_k h, W_v h,    h = GroupNorm(x)

Each of the H W pixels attends to all others (Zhang et al., arXiv:1805.08318; in this form Ho et al., arXiv:2006.11239).
Its operations grow with the square of the number of pixels, so it is used where maps are smallest. Its memory does not,
on CPUs and CUDA: 16,384 pixels of 32 channels take 18 MiB, forward and backward on a CPU; all weights would take 1 GiB.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .conv import convolution
from .conv_shapes import Size, map_sizes
from .kernels.layout import Flatten, Unflatten
from .layers import dense_blocks
from .parts import LOGVAR_RANGE, Decoder, Encoder, ImageShape, is_map
from .recompute import Recomputable
from .resample import DownConv2d, UpConv2d


class NormSiLU(nn.GroupNorm):
    """SiLU(GroupNorm(x))."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(groups, channels, eps=GROUP_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (B, C, H, W) and apply SiLU."""
        return F.silu(super().forward(x))


class ResidualBlock(Recomputable):
    """Two convolutions with a shortcut: (B, C, H, W) -> (B, O, H, W); dropout is before the second."""

    def __init__(self, inputs: int, outputs: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = NormSiLU(inputs, groups)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = NormSiLU(outputs, groups)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def compute(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the block's residual."""
        past: Tensor = self.shortcut(x)
        y: Tensor = self.conv2(self.dropout(self.norm2(self.conv1(self.norm1(x)))))
        return past + y


class ResidualEncoder(Encoder):
    """Encoder of residual blocks; other arguments as `ConvEncoder`.

    Args:
        latent_dim: dimensions of the code; of a map its channels.
        channels: width of each stage, from the image on; one more than sizes are halved.
        blocks: in each stage.
        groups: of each norm; a divisor of all widths.
        attention: whether there is self-attention in the middle.
        quant: whether there is a 1 x 1 convolution next to a code that is a map.
        latent: 'vector', or 'map' for a code of (latent_dim, h, w), h and w the size of the last stage.
        hidden: width of each dense layer before the head; of a vector alone.
        dropout: share of values dropped in each block and of units after each dense layer, in training.

    Raises:
        UserError: if groups do not divide widths, there are too many stages, or an option does not work with a map.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        *,
        channels: Sequence[int],
        blocks: int = 2,
        groups: int = 32,
        attention: bool = True,
        quant: bool = True,
        latent: str = "vector",
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        variational: bool = True,
        condition_dim: int = 0,
    ) -> None:
        sizes = _sizes(image_shape, channels)
        of_maps = is_map(latent, hidden, condition_dim)
        _check_groups(channels, groups)
        layers: dict[str, nn.Module] = {"input": convolution(image_shape[0], channels[0], sizes[0], 3, 1, bias=True)}
        inputs = channels[0]
        for i, width in enumerate(channels, start=1):
            stage = _blocks(inputs, width, blocks, groups, dropout)
            if i < len(channels):
                stage["down"] = DownConv2d(width, width)
            layers[f"stage{i}"] = nn.Sequential(OrderedDict(stage))
            inputs = width
        layers["middle"] = _middle(inputs, groups, dropout, attention)
        layers["norm"] = NormSiLU(inputs, groups)
        outputs = 2 * latent_dim if variational else latent_dim
        if of_maps:
            layers["head"] = nn.Conv2d(inputs, outputs, 3, padding=1)
            layers |= {"quant": nn.Conv2d(outputs, outputs, 1)} if quant else {}
            layers["flatten"] = Flatten()
        else:
            features = inputs * sizes[-1][0] * sizes[-1][1] + condition_dim
            layers["flatten"] = Flatten()
            layers |= dense_blocks(features, hidden, "group", "silu", "norm-first", dropout)
            layers["head"] = nn.Linear((features, *hidden)[-1], outputs)
        super().__init__(layers, variational, LOGVAR_RANGE if of_maps else None)


class ResidualDecoder(Decoder):
    """Decoder of residual blocks; in each stage it has one more than the encoder.

    The output is 'tanh', 'sigmoid', 'linear' or 'centred'; channels are the widths of the stages from the first map
    on; hidden layers lie between z and the first map; the condition is joined to z. All else as `ResidualEncoder`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: int,
        output: str = "tanh",
        *,
        channels: Sequence[int],
        blocks: int = 2,
        groups: int = 32,
        attention: bool = True,
        quant: bool = True,
        latent: str = "vector",
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        condition_dim: int = 0,
    ) -> None:
        sizes = _sizes(image_shape, channels)[::-1]
        of_maps = is_map(latent, hidden, condition_dim)
        _check_groups(channels, groups)
        inputs = channels[0]
        layers: dict[str, nn.Module] = {}
        if of_maps:
            behind = {"post_quant": nn.Conv2d(latent_dim, latent_dim, 1)} if quant else {}
            behind["first"] = nn.Conv2d(latent_dim, inputs, 3, padding=1)
            layers["unflatten"] = Unflatten((latent_dim, *sizes[0]), behind=next(iter(behind.values())))
            layers |= behind
        else:
            features = latent_dim + condition_dim
            layers |= dense_blocks(features, hidden, "group", "silu", "norm-first", dropout)
            layers["first"] = nn.Linear((features, *hidden)[-1], inputs * sizes[0][0] * sizes[0][1])
        middle = _middle(inputs, groups, dropout, attention)
        if not of_maps:
            layers["unflatten"] = Unflatten((inputs, *sizes[0]), behind=middle.get_submodule("block1.conv1"))
        layers["middle"] = middle
        for i, width in enumerate(channels, start=1):
            stage = _blocks(inputs, width, blocks + 1, groups, dropout)
            if i < len(channels):
                stage["up"] = UpConv2d(width, width, sizes[i])
            layers[f"stage{i}"] = nn.Sequential(OrderedDict(stage))
            inputs = width
        layers["norm"] = NormSiLU(inputs, groups)
        layers["output"] = convolution(inputs, image_shape[0], sizes[-1], 3, 1, bias=True)
        super().__init__(layers, output)


def _sizes(image_shape: ImageShape, channels: Sequence[int]) -> list[Size]:
    if not channels:
        raise UserError("channels is empty, but a residual network needs a width for each size, like 128,256,512")
    return map_sizes((image_shape[1], image_shape[2]), (2,) * (len(channels) - 1))


def _check_groups(channels: Sequence[int], groups: int) -> None:
    for width in channels:
        if width % groups:
            raise UserError(f"groups {groups} does not divide {width} channels; choose groups that divide all widths")


def _blocks(inputs: int, width: int, num: int, groups: int, dropout: float) -> dict[str, nn.Module]:
    """Return ``num`` blocks ``block1``, ... in a row."""
    widths = [inputs, *[width] * num]
    return {f"block{i + 1}": ResidualBlock(widths[i], widths[i + 1], groups, dropout) for i in range(num)}


def _middle(width: int, groups: int, dropout: float, attention: bool) -> nn.Sequential:
    first, last = (ResidualBlock(width, width, groups, dropout) for _ in range(2))
    between: dict[str, nn.Module] = {"attention": SelfAttention(width, groups)} if attention else {}
    return nn.Sequential(OrderedDict({"block1": first, **between, "block2": last}))


GROUP_NORM_EPS = 1e-6


class SelfAttention(Recomputable):
    """Self-attention: (B, C, H, W) -> (B, C, H, W), after a group norm."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=GROUP_NORM_EPS)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def compute(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the attention between the pixels of each image."""
        batch, channels, height, width = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2).unsqueeze(1)  # (B, one head, H W, C)
        y: Tensor = self.out(F.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h)))
        return x + y.squeeze(1).transpose(1, 2).reshape(batch, channels, height, width)
