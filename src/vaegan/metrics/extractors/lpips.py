"""LPIPS: a perceptual distance of two images, in features of a VGG16 whose channels are weighted by human judgements.

Version 0.1 with VGG16 of Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric"
(arXiv:1801.03924): images in [-1, 1] are shifted and scaled by channel, and compared in the maps after relu1_2,
relu2_2, relu3_3, relu4_3 and relu5_3. The weights are in two files: torchvision's VGG16, of which the dense layers are
not used, and the weights of the channels, from the package lpips and with its names. One file may hold both.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...losses import wide
from .learned import fingerprint_of, in_batches
from .weights import Published, checked_weights, read_weights

VGG16 = Published(
    "lpips",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
LINEAR = Published(
    "lpips",
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)
SMALLEST = 16
"""Pixels along a side that the four poolings need."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of red, green, blue in [-1, 1]
_STAGES = (((0, 2), 64), ((5, 7), 128), ((10, 12, 14), 256), ((17, 19, 21), 512), ((24, 26, 28), 512))
"""Places of the convolutions in torchvision's ``features`` and their width; a pooling lies between stages."""
_PIXELS_AT_ONCE = 2**18


def _channels(number: int) -> str:
    """Return the name that the weights of a layer's channels have in the package lpips."""
    return f"lin{number}.model.1.weight"


def _convolutions() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each tensor of VGG16's convolutions."""
    width = 3
    for convolutions, num_out in _STAGES:
        for place in convolutions:
            yield f"features.{place}.weight", (num_out, width, 3, 3)
            yield f"features.{place}.bias", (num_out,)
            width = num_out


_CONVOLUTIONS = dict(_convolutions())
_WEIGHTS = {_channels(number): (1, width, 1, 1) for number, (_, width) in enumerate(_STAGES)}


class LPIPS:
    """The network and its distance; weights and errors as in `weights.read_weights`.

    ``places`` are the channels of images that it uses, counted from 0; a single one counts as grey.
    """

    name = "lpips"

    def __init__(
        self,
        folder: Path,
        weights: Path | None = None,
        device: torch.device | str = "cpu",
        places: Sequence[int] = (0, 1, 2),
    ) -> None:
        tensors, place = read_weights(VGG16, weights, folder), weights or folder
        loaded = checked_weights(VGG16, tensors, _CONVOLUTIONS, place)
        if _channels(0) not in tensors:
            tensors = read_weights(LINEAR, weights if weights and weights.is_dir() else None, folder)
        loaded |= checked_weights(LINEAR, tensors, _WEIGHTS, place)
        self.fingerprint = f"{fingerprint_of(loaded)} of channels {list(places)}"
        self._tensors = {name: tensor.to(device) for name, tensor in loaded.items()}
        self._device, self._places = device, list(places)

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return the five maps, `(B, C, h, w)` on the device, differentiable in the images, in [0, 1]."""
        h = 2 * x[:, self._places].expand(-1, 3, -1, -1) - 1
        shift, scale = (h.new_tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))
        h, maps = (h - shift) / scale, []
        for number, (convolutions, _) in enumerate(_STAGES):
            h = F.max_pool2d(h, 2) if number else h
            for place in convolutions:
                weight, bias = (self._tensors[f"features.{place}.{name}"] for name in ("weight", "bias"))
                h = F.relu(F.conv2d(h, weight, bias, padding=1))
            maps.append(h)
        return maps

    def distance(self, layers: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """Return LPIPS, `(B,)`, of the maps of generated and of real images; the latter get no gradient.

        This is eq. 1: squared differences, weighted and summed over channels and layers, averaged over positions.
        """
        total = torch.zeros((), device=self._device)
        for number, (made, real) in enumerate(zip(layers, targets, strict=True)):
            difference = (_unit(wide(made)) - _unit(wide(real.detach()))).square()
            total = total + (difference * self._tensors[_channels(number)]).sum(1).mean((1, 2))
        return total

    @torch.inference_mode()
    def of_pairs(self, x_tilde: Tensor, x: Tensor) -> Tensor:
        """Return LPIPS, `(B,)` on the CPU, of images `(B, C, H, W)` in [0, 1] and their originals."""
        size = max(1, _PIXELS_AT_ONCE // x[0, 0].numel())
        return in_batches(
            lambda pairs: self.distance(*map(self, pairs.unbind(1))), torch.stack([x_tilde, x], 1), size, self._device
        )


def _unit(features: Tensor) -> Tensor:
    """Divide by the length over channels, plus 1e-10 as in the authors' code; where all are 0 nothing is NaN."""
    lengths: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (lengths + 1e-10)
