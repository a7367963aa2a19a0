"""Base classes of encoder, decoder and discriminator: named layers in sequence, and the outputs of each.

encoder        x -> (mu, logvar), or z of a plain autoencoder
decoder        z -> logits -> x_tilde in the network's range
discriminator  x -> logit of "x is real"

A conditional network also takes the condition c ``(B, A)`` of each image: (x, c) or (z, c). As in arXiv:1512.09300,
section 4.2, it is concatenated to the input of the first dense layer in encoder and discriminator, and to z in the
decoder: in each of them, to the first vectors in the sequence of layers.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ..errors import UserError, one_of
from ..pixels import ImageRange
from .layers import MinibatchDiscrimination

ImageShape = tuple[int, int, int]
LATENTS = ("vector", "map")
LOGVAR_RANGE = -30.0, 20.0
"""Of codes that are maps, as in Rombach et al.'s code and diffusers (`DiagonalGaussianDistribution`)."""
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
    "centred": lambda x: x,
}
IMAGE_RANGES = {
    "tanh": ImageRange(-1.0, 1.0),
    "sigmoid": ImageRange(0.0, 1.0),
    "linear": ImageRange(0.0, 1.0),
    "centred": ImageRange(-1.0, 1.0),
}
"""Range of images inside the networks, by the decoder's output."""


def is_map(latent: str, hidden: Sequence[int], condition_dim: int) -> bool:
    """Whether codes are maps; UserError if ``latent`` is unknown or what needs vectors is set beside a map."""
    if one_of("latent", latent, LATENTS) == "vector":
        return False
    if hidden:
        raise UserError("hidden is set, but a map code needs no dense layers; leave hidden out")
    if condition_dim:
        raise UserError("a map code has no dense layer to concatenate a condition to; set model.latent vector")
    return True


class _Layers(nn.Sequential):
    """Named layers applied one after the other; any of them can be hooked by its name."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__(OrderedDict(layers))

    def through(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the last layer's output; ``c`` is concatenated to the first vectors."""
        for layer in self:
            if c is not None and x.dim() == 2:
                x, c = torch.cat([x, c.to(x.dtype)], dim=1), None
            x = layer(x)
        return x


class Encoder(_Layers):
    """Layers that end in ``(B, 2 Z)``, which are mu and logvar, or in ``(B, Z)`` if not variational.

    Log variances outside of ``logvar_range``, if there is one, are cut to its ends and get no gradient.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        variational: bool = True,
        logvar_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(layers)
        self.variational, self.logvar_range = variational, logvar_range

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor] | Tensor:
        """Return ``(mu, logvar)``, each ``(B, Z)``, of images ``(B, C, H, W)``; ``z`` if not variational."""
        codes = self.through(x, c)
        if not self.variational:
            return codes
        mu, logvar = codes.chunk(2, dim=1)
        return mu, logvar if self.logvar_range is None else logvar.clamp(*self.logvar_range)


class Decoder(_Layers):
    """Layers that end in ``(B, C, H, W)``, then the output non-linearity."""

    def __init__(self, layers: Mapping[str, nn.Module], output: str = "tanh") -> None:
        super().__init__(layers)
        self.output_name = one_of("output", output, OUTPUTS)

    def logits(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the image ``(B, C, H, W)`` before the output non-linearity."""
        return self.through(z, c)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return images ``(B, C, H, W)`` of codes ``(B, Z)`` in the range of `IMAGE_RANGES`."""
        return OUTPUTS[self.output_name](self.through(z, c))


class Discriminator(_Layers):
    """Layers that end in ``(B, 1)``, the logit, or in a map of logits ``(B, 1, h, w)``, each of one patch of the image.

    Attributes:
        default_feature_layer: name of the layer l whose output the likelihood compares, if none is named.
        couples_images: whether in training an image's logit depends on the other images of the batch.
        judges_patches: whether there is a logit for each patch.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        default_feature_layer: str,
        spectral_norm: bool = False,
        judges_patches: bool = False,
    ) -> None:
        super().__init__(layers)
        self.default_feature_layer = default_feature_layer
        self.judges_patches = judges_patches
        coupling = (nn.modules.batchnorm._BatchNorm, MinibatchDiscrimination)
        self.couples_images = any(isinstance(module, coupling) for module in self.modules())
        if spectral_norm:
            add_spectral_norm(self)

    def forward(self, x: Tensor, c: Tensor | None = None, *, each_patch: bool = False) -> Tensor:
        """Return logits ``(B,)`` of images ``(B, C, H, W)``, under conditions ``(B, A)``; positive means real.

        With ``each_patch`` those of all patches ``(B, P)``, where there are any, instead of their mean.
        """
        logits = self.through(x, c).flatten(1)
        if self.judges_patches:
            return logits if each_patch else logits.mean(1)
        return logits.squeeze(1)


def logit_layers(inputs: int, minibatch_features: int) -> dict[str, nn.Module]:
    """Return a discriminator's last layers: minibatch discrimination if any, and the logit."""
    layers: dict[str, nn.Module] = {}
    if minibatch_features:
        layers["minibatch"] = MinibatchDiscrimination(inputs, minibatch_features)
    layers["output"] = nn.Linear(inputs + minibatch_features, 1)
    return layers


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Run a block with modules, and all inside them, in evaluation mode, and restore the mode of each afterwards."""
    modes = [(inner, inner.training) for module in modules for inner in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for inner, mode in modes:
            inner.training = mode


def add_spectral_norm(network: nn.Module) -> None:
    """Divide each convolution's and dense layer's weight by its largest singular value (arXiv:1802.05957)."""
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            parametrizations.spectral_norm(module)
