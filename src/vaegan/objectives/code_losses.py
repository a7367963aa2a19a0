r"""Losses of codes that are maps, beside L_prior and L_llike; at z their gradients join that of L_llike.

**Equivariance** (EQ-VAE, Kouzelis et al., arXiv:2502.09509): a code, scaled and rotated, decodes to the image, scaled
and rotated.

    L_eq = L_llike(t x, Dec(t z)),    t: scaling by s in [1/4, 1), then rotation by 90, 180 or 270 degrees

In the paper it replaces L_llike in half of the steps. Here encoder and decoder minimise L_llike + weight L_eq in every
step, so at weight 1 both count the same, as there. As in the published code, a code (C, h, w) is scaled to 1/4 h, ...,
h - 1 rows, codes and images are resized bilinearly, and t is the same for all images of a batch. L_GAN sees no
transformed images.

**Alignment** (VA-VAE, Yao et al., arXiv:2501.01423): `losses.alignment_loss` compares W z with the features of a frozen
network at each place of a code; W is linear and trained too. The weight adapts to each batch, as in the paper: at the
codes, the gradient norm of this loss is ``weight`` times that of L_llike (in the paper, at the encoder's last layer).
Only encoder and W minimise it. Memory grows with the square of the number of places, so they are averaged down to 32 x
32 where there are more.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import alignment_loss, wide
from ..networks.recompute import frozen_statistics
from ..pixels import ImageRange
from .balance import adaptive_weight
from .interface import Autocast, Losses, Noise, gradients_by_name, gradients_of, seeded
from .likelihoods import Layers, Likelihood

Gradients = dict[str, list[Tensor]]
_UNIT = ImageRange()
_MOST_PLACES = 32


@dataclass(frozen=True)
class Equivariance:
    """L_eq."""

    weight: float  # relative to L_llike
    code_shape: tuple[int, ...]  # (C, h, w)
    likelihood: Likelihood  # in pixels
    autocast: Autocast = contextlib.nullcontext  # of the forward pass

    def gradients(
        self, decoder: nn.Module, z: Tensor, x: Tensor, noise: Noise, inputs: Mapping[str, Sequence[Tensor]], *c: Tensor
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """Return L_eq in nats per image, and the gradients of ``weight`` L_eq at ``inputs``, by their names."""
        size, turns = self.transform(noise)
        pixels = x.shape[2] // self.code_shape[1]
        with self.autocast(), seeded(noise.seed, x.device), frozen_statistics(decoder):
            y = self.likelihood.decode(decoder, transformed(z.reshape(-1, *self.code_shape), size, turns), *c)
        target = transformed(x, (pixels * size[0], pixels * size[1]), turns)
        loss = self.likelihood.loss(y, target).mean()
        return loss.detach(), gradients_by_name(self.weight * loss, inputs)

    def transform(self, noise: Noise) -> tuple[tuple[int, int], int]:
        """Return the height and width that a code is scaled to, and by how many times 90 degrees it is rotated."""
        _, height, width = self.code_shape
        least = -(-height // 4)
        rows = least + int(noise.transform[0] * (height - least))
        return (rows, max(1, round(rows * width / height))), 1 + int(3 * noise.transform[1])


def transformed(maps: Tensor, size: tuple[int, int], turns: int) -> Tensor:
    """Return maps (B, C, h, w) resized to ``size``, rotated by ``turns`` times 90 degrees."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=False).rot90(turns, (2, 3))


class Alignment(nn.Module):
    """L_align with its weights, W, for codes (C, h, w) and features of ``dim`` channels (see `features_at`)."""

    def __init__(
        self, weight: float, code_shape: tuple[int, ...], layers: Layers, dim: int, image_range: ImageRange = _UNIT
    ) -> None:
        super().__init__()
        self.weight, self.code_shape, self.layers, self.image_range = weight, code_shape, layers, image_range
        self.projection = nn.Conv2d(self.code_shape[0], dim, 1, bias=False)

    def gradients(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return L_align of codes (B, Z) and images (B, C, H, W), its gradient at the codes, and at W."""
        size = min(self.code_shape[1], _MOST_PLACES), min(self.code_shape[2], _MOST_PLACES)
        with torch.no_grad():
            target = features_at(size, self.layers, self.image_range.to_unit(x))
        code = F.adaptive_avg_pool2d(z.reshape(-1, *self.code_shape), size)
        loss = alignment_loss(self.projection(code), target).mean()
        of_z, *of_projection = gradients_of([loss], [z, self.projection.weight])
        return loss.detach(), of_z, of_projection


def features_at(size: tuple[int, int], layers: Layers, x: Tensor) -> Tensor:
    """Return features (B, D, h, w), resized to ``size``, of images (B, C, H, W) in [0, 1].

    They are those of the deepest layer that is no coarser, else of the finest; of a transformer, its last patch tokens.
    """
    maps = list(layers(x))
    if maps[-1].dim() == 3:  # the first token is the class's
        batch, dim, num = maps[-1].shape
        maps = [maps[-1][:, :, 1:].reshape(batch, dim, isqrt(num - 1), -1)]
    chosen = next((each for each in reversed(maps) if each.shape[2] >= size[0]), maps[0])
    return F.interpolate(wide(chosen), size, mode="bilinear", align_corners=False, antialias=True)


class _Objective(Protocol):
    parts: dict[str, nn.Module]
    weights: dict[str, list[nn.Parameter]]
    encoder_llike_weight: float
    gamma: float


@dataclass(frozen=True)
class CodeLosses:
    """Those that an objective has."""

    equivariance: Equivariance | None = None
    alignment: Alignment | None = None

    def add(
        self, to: _Objective, gradients: Gradients, losses: Losses, z: Tensor, x: Tensor, noise: Noise, *c: Tensor
    ) -> dict[str, Tensor]:
        """Add them to the losses and to the gradients of L_llike; return the gradient of each, and of L_llike, at z.

        ``gradients`` are at ``z`` (none if the encoder is frozen), of ``decoder``, times gamma, and of ``likelihood``.
        """
        at_z = dict(zip(["llike"], gradients["z"], strict=False))
        if self.equivariance is not None and (gradients["z"] or gradients["decoder"]):
            inputs: dict[str, Sequence[Tensor]] = {part: to.weights.get(part, []) for part in ("decoder", "likelihood")}
            inputs["z"] = [z for _ in gradients["z"]]
            loss, more = self.equivariance.gradients(to.parts["decoder"], z, x, noise, inputs, *c)
            for part, of_part in more.items():
                factor = to.gamma if part == "decoder" else 1.0
                gradients[part] = [a + factor * b for a, b in zip(gradients[part], of_part, strict=True)]
            at_z |= zip(["equivariance"], more["z"], strict=False)
            for part, factor in (("encoder", to.encoder_llike_weight), ("decoder", to.gamma)):
                _add_loss(losses.get(part), "equivariance", loss, factor * self.equivariance.weight)
        if self.alignment is not None and gradients["z"]:
            loss, of_z, gradients["alignment"] = self.alignment.gradients(z, x)
            weight = adaptive_weight(at_z["llike"], [of_z], self.alignment.weight, most=1e8)  # as in their code
            at_z["alignment"] = weight * of_z
            gradients["z"] = [gradients["z"][0] + at_z["alignment"]]
            _add_loss(losses.get("encoder"), "alignment", loss, to.encoder_llike_weight * weight)
        return at_z


def _add_loss(losses: dict[str, Tensor] | None, name: str, loss: Tensor, weight: Tensor | float) -> None:
    """Add a loss to those of a part that is trained."""
    if losses is not None:
        losses |= {name: loss, "total": losses.pop("total") + weight * loss}
