"""Layers of all networks: blocks of a weight layer, a norm and a non-linearity, and minibatch discrimination.

    norm-first:        y = activation(norm(W x))           (no bias: the norm would cancel it)
    activation-first:  y = norm(activation(W x + b))

Each stage is a named module (``conv`` or ``linear``, ``norm``, ``activation``, ``dropout``), present even where it does
nothing, so that a hook can take the features of any stage of any network by the same name.

Minibatch discrimination gives the discriminator a measure of how similar the images of a batch are: each image's
features f are mapped to a matrix of rows M_b = (f T)_b; with the other images j of the batch,

    o_b(i) = sum_j exp(-|M_b(i) - M_b(j)|_1)

(Salimans et al., "Improved techniques for training GANs", arXiv:1606.03498, section 3.2). A generator that
always makes the same image has large o.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import one_of
from .recompute import Recomputable

LEAKY_SLOPE = 0.2
MAX_GROUPS = 32
MIN_GROUP_CHANNELS = 4
NORMS = ("none", "batch", "group", "layer")
ORDERS = ("norm-first", "activation-first")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky": lambda x: F.leaky_relu(x, LEAKY_SLOPE),
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}
# Where the derivative can be had from the result alone, so that autograd lets the argument be overwritten.
IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "leaky": lambda x: F.leaky_relu_(x, LEAKY_SLOPE),
}


class Activation(nn.Module):
    """A non-linearity by name; it may overwrite its argument where the caller allows that."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = one_of("activation", name, ACTIVATIONS)

    def forward(self, x: Tensor, overwrite: bool = False) -> Tensor:
        """Map ``x`` of any shape; with ``overwrite`` the result takes the place of ``x``, if it can."""
        if overwrite and self.name in IN_PLACE:
            return IN_PLACE[self.name](x)
        return ACTIVATIONS[self.name](x)

    def extra_repr(self) -> str:
        """Show the name."""
        return self.name


def map_norm(name: str, channels: int) -> nn.Module:
    """Return the norm of maps ``(B, C, H, W)``; 'layer' takes all of an image, 'group' up to 32 groups of channels."""
    if one_of("norm", name, NORMS) == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(_num_groups(channels), channels)
    return nn.GroupNorm(1, channels) if name == "layer" else nn.Identity()


def dense_norm(name: str, features: int) -> nn.Module:
    """Return the norm of vectors ``(B, features)``."""
    if one_of("norm", name, NORMS) == "batch":
        return nn.BatchNorm1d(features)
    if name == "group":
        return nn.GroupNorm(_num_groups(features), features)
    return nn.LayerNorm(features) if name == "layer" else nn.Identity()


def needs_bias(norm: str, order: str) -> bool:
    """Return whether a layer needs its own bias: not if a norm, which has one, directly follows it."""
    return norm == "none" or order == "activation-first"


class NormActivation(nn.Module):
    """Base of the blocks: norm and non-linearity, in either order, after a weight layer."""

    def __init__(self, norm: nn.Module, activation: str, order: str) -> None:
        super().__init__()
        self.norm = norm
        self.activation = Activation(activation)
        self.order = one_of("order", order, ORDERS)

    def _finish(self, y: Tensor, layer: nn.Module) -> Tensor:
        """Apply norm and non-linearity to ``y``, the output of ``layer``.

        The non-linearity overwrites its argument, which saves memory traffic, unless the layer or the norm is
        hooked: the tensor that a forward hook took must keep its values.
        """
        overwrite = not (layer._forward_hooks or self.norm._forward_hooks)
        if self.order == "norm-first":
            return self.activation(self.norm(y), overwrite)  # type: ignore[no-any-return]
        return self.norm(self.activation(y, overwrite))  # type: ignore[no-any-return]


class ConvBlock(Recomputable, NormActivation):
    """A convolution, plain or transposed, with norm and non-linearity: maps ``(B, C, H, W)`` to such."""

    def __init__(
        self,
        conv: nn.Conv2d | nn.ConvTranspose2d,
        norm: str = "batch",
        activation: str = "relu",
        order: str = "norm-first",
    ) -> None:
        super().__init__(map_norm(norm, conv.out_channels), activation, order)
        self.conv = conv

    def compute(self, x: Tensor) -> Tensor:
        """Return the features of ``x``."""
        return self._finish(self.conv(x), self.conv)


class DenseBlock(NormActivation):
    """A dense layer with norm, non-linearity and dropout: ``(B, inputs) -> (B, outputs)``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: str = "batch",
        activation: str = "relu",
        order: str = "norm-first",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dense_norm(norm, outputs), activation, order)
        self.linear = nn.Linear(inputs, outputs, bias=needs_bias(norm, order))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of ``x``."""
        return self.dropout(self._finish(self.linear(x), self.linear))  # type: ignore[no-any-return]


def dense_blocks(
    inputs: int,
    hidden: Iterable[int],
    norm: str,
    activation: str,
    order: str,
    dropout: float,
    norm_first_layer: bool = True,
) -> dict[str, nn.Module]:
    """Return blocks ``dense1``, ``dense2``, ... of widths ``hidden``."""
    blocks: dict[str, nn.Module] = {}
    for i, outputs in enumerate(hidden, start=1):
        own_norm = norm if norm_first_layer or i > 1 else "none"
        blocks[f"dense{i}"] = DenseBlock(inputs, outputs, own_norm, activation, order, dropout)
        inputs = outputs
    return blocks


def _num_groups(channels: int) -> int:
    """Return the greatest divisor of ``channels`` that makes at most 32 groups of at least 4 channels.

    A group of one value would always be normalised to zero, and one of two to its signs.
    """
    most = max(1, min(MAX_GROUPS, channels // MIN_GROUP_CHANNELS))
    return max(groups for groups in range(1, most + 1) if channels % groups == 0)


class MinibatchDiscrimination(nn.Module):
    """Append ``num_features`` measures of closeness (rows b of the matrix) to each image's features."""

    def __init__(self, inputs: int, num_features: int, row_dim: int = 5) -> None:
        super().__init__()
        self.num_features = num_features
        self.row_dim = row_dim
        self.linear = nn.Linear(inputs, num_features * row_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, ``(B, inputs)``, with its closeness to the batch: ``(B, inputs + num_features)``."""
        # The distances are small differences: in the weights' precision, also under autocast.
        rows = self.linear(x).to(self.linear.weight.dtype).unflatten(1, (self.num_features, self.row_dim))
        distances = (rows.unsqueeze(0) - rows.unsqueeze(1)).abs().sum(dim=3)
        return torch.cat([x, torch.exp(-distances).sum(dim=1).to(x.dtype)], dim=1)
