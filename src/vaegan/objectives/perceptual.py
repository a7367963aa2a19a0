r"""L_llike with a perceptual loss: the distance of images in the hidden layers of a frozen network.

    L_llike = L_pixels + weight D d(x, x_tilde),    d: `losses.layers_distance`, D: numbers of an image

as the autoencoders of latent diffusion have it (Rombach et al., arXiv:2112.10752, section 3.1; in their code, too, d is
added to the loss of each of the D numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..losses import layers_distance, wide
from ..pixels import ImageRange
from .likelihoods import Likelihood

Layers = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, C, H, W) in [0, 1] -> features of several layers, each (B, C, ...), differentiable in the images."""


class PerceptualLikelihood(nn.Module):
    """A likelihood in pixels plus a perceptual loss.

    Args:
        pixels: the likelihood in pixels.
        layers: of a frozen network, for instance those of an extractor of `metrics.extractors.features`.
        weight: of the perceptual loss.
        image_range: lowest and highest value inside the decoder's network.
    """

    in_features = False

    def __init__(
        self, pixels: Likelihood, layers: Layers, weight: float = 1.0, image_range: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        super().__init__()
        self.pixels, self.weight = pixels, weight  # a module becomes a child: its variance may be trained
        self.layers = layers
        self.image_range = ImageRange(*image_range)

    def decode(self, decoder: nn.Module, z: Tensor, *c: Tensor) -> Tensor:
        """Raw output of the decoder, as the pixels' likelihood wants it."""
        return self.pixels.decode(decoder, z, *c)

    def image(self, y: Tensor) -> Tensor:
        """The image in the network's range that ``y`` stands for."""
        return self.pixels.image(y)

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Nats per image of images ``target``, (B,)."""
        x_tilde, x = (self._public(image) for image in (self.image(y), target))
        with torch.no_grad():
            targets = self.layers(x)
        distance = layers_distance(self.layers(x_tilde), targets)
        return self.pixels.loss(y, target) + self.weight * x[0].numel() * distance

    def _public(self, image: Tensor) -> Tensor:
        return self.image_range.to_unit(wide(image))
