"""L_llike, the reconstruction loss: in pixels, or in the discriminator's layer l.

A likelihood says which raw output of the decoder its loss is written in (logits for Bernoulli), how that output
becomes an image in the network's range, and the loss per image in nats.

The autoencoders of latent diffusion add a perceptual loss (Rombach et al., arXiv:2112.10752, section 3.1):

    L_llike = L_pixels + weight D d(x, x_tilde),    d: `losses.layers_distance` or LPIPS, D: numbers of an image

In their code, too, d is added to the loss of each of the D numbers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .. import losses
from ..errors import UserError
from ..pixels import ImageRange

Layers = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, C, H, W) in [0, 1] -> features of several layers, each (B, C, ...), differentiable in the images."""


class Likelihood(Protocol):
    """How reconstructions are compared with their originals."""

    in_features: bool
    """Whether the loss is taken in Dis_l (``loss`` gets features) or in pixels (it gets raw outputs and images)."""

    def decode(self, decoder: nn.Module, z: Tensor, *c: Tensor) -> Tensor:
        """Raw output y of the decoder, (B, C, H, W); c (B, A) for a conditional one."""
        ...

    def image(self, y: Tensor) -> Tensor:
        """The image in the network's range that y stands for, (B, C, H, W)."""
        ...

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Nats per image, (B,)."""
        ...


class _OfImages(nn.Module):
    """Written in the decoder's image as it is."""

    def decode(self, decoder: nn.Module, z: Tensor, *c: Tensor) -> Tensor:
        """The decoder's image."""
        out: Tensor = decoder(z, *c)
        return out

    def image(self, y: Tensor) -> Tensor:
        """The image itself."""
        return y


class FeatureLikelihood(_OfImages):
    """The paper's: Gaussian with unit variance in layer l of the discriminator (eq. 7)."""

    in_features = True

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Half the squared distance of features ``y`` to the real image's features ``target``, (B,)."""
        return losses.gaussian_feature_loss(y, target)


class _OfPixels(_OfImages):
    """Written in pixels on the [0, 1] scale; ``image_range`` is that inside the network."""

    in_features = False

    def __init__(self, image_range: tuple[float, float]) -> None:
        super().__init__()
        self.image_range = ImageRange(*image_range)

    def unit(self, image: Tensor) -> Tensor:
        """The image on the [0, 1] scale."""
        return self.image_range.to_unit(image)


class GaussianPixels(_OfPixels):
    """Gaussian in pixels on the [0, 1] scale, whatever the network's range, with fixed or learned variance.

    A learned variance is one number for all pixels (Rybkin et al., arXiv:2006.13202); it belongs to no network, and
    its gradient is that of the unweighted L_llike.

    Args:
        image_range: lowest and highest value inside the network.
        variance: variance of a pixel, above 0; where learned, the first value.
        learned: whether it is trained.
    """

    def __init__(
        self, image_range: tuple[float, float] = (0.0, 1.0), variance: float = 1.0, *, learned: bool = False
    ) -> None:
        super().__init__(image_range)
        log_variance = math.log(variance)
        self.log_variance: Tensor | float = nn.Parameter(torch.tensor(log_variance)) if learned else log_variance

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """-log N(x | x_tilde, variance) of images ``target`` in nats, (B,)."""
        return losses.gaussian_pixel_loss(self.unit(y), self.unit(target), self.log_variance)


class LaplacePixels(_OfPixels):
    """Laplace in pixels on the [0, 1] scale: the absolute error, which blurs edges less than the squared one."""

    def __init__(self, image_range: tuple[float, float] = (0.0, 1.0), variance: float = 1.0) -> None:
        super().__init__(image_range)
        self.scale = math.sqrt(variance / 2.0)

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """-log Laplace(x | x_tilde, scale) of images ``target`` in nats, (B,)."""
        return losses.laplace_pixel_loss(self.unit(y), self.unit(target), self.scale)


class BernoulliPixels(nn.Module):
    """Bernoulli in pixels, from the decoder's logits; for networks with a sigmoid at their end."""

    in_features = False

    def decode(self, decoder: nn.Module, z: Tensor, *c: Tensor) -> Tensor:
        """The decoder's logits; UserError if it has no method for them."""
        logits = getattr(decoder, "logits", None)
        if logits is None:
            raise UserError(
                "loss.likelihood bernoulli: this decoder has no method logits(z), the values before its sigmoid; "
                "add it or use 'gaussian'"
            )
        out: Tensor = logits(z, *c)
        return out

    def image(self, y: Tensor) -> Tensor:
        """Sigmoid of the logits."""
        return torch.sigmoid(y)

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Binary cross entropy of images ``target`` in nats, (B,)."""
        return losses.bernoulli_loss(y, target)


class PerceptualLikelihood(nn.Module):
    """A likelihood in pixels plus ``weight`` times a perceptual loss in the layers of a frozen network.

    Layers that have a ``distance`` of their own, as LPIPS, are compared by it.
    """

    in_features = False

    def __init__(
        self, pixels: Likelihood, layers: Layers, weight: float = 1.0, image_range: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        super().__init__()
        self.pixels, self.weight = pixels, weight  # a module becomes a child: its variance may be trained
        self.layers, self.distance = layers, getattr(layers, "distance", losses.layers_distance)
        self.image_range = ImageRange(*image_range)

    def decode(self, decoder: nn.Module, z: Tensor, *c: Tensor) -> Tensor:
        """Raw output of the decoder, as the pixels' likelihood wants it."""
        return self.pixels.decode(decoder, z, *c)

    def image(self, y: Tensor) -> Tensor:
        """The image in the network's range that ``y`` stands for."""
        return self.pixels.image(y)

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Nats per image of images ``target``, (B,)."""
        x_tilde, x = (self.image_range.to_unit(losses.wide(image)) for image in (self.image(y), target))
        with torch.no_grad():
            targets = self.layers(x)
        distance = self.distance(self.layers(x_tilde), targets)
        return self.pixels.loss(y, target) + self.weight * x[0].numel() * distance
