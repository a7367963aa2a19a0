"""The networks of a flow: v(y, t | label) over codes that are vectors, and over codes that are maps.

Over maps it is a small U-shaped network (Ho et al., arXiv:2006.11239, appendix B), with p x p patches as channels:

    input      convolution, and a learned map that tells places apart
    outer      two blocks | half the size: block, self-attention, block | twice the size
    output     joined to the first two blocks' | two blocks | norm, convolution

Time and label scale and shift each block's second norm (Dhariwal and Nichol, arXiv:2105.05233, section 3).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.resample import DownConv2d, UpConv2d
from ..networks.residual import NormSiLU, SelfAttention

_HIDDEN, _FREQUENCIES = 256, 16
_GROUPS, _WIDTH, _WIDEST = 8, 64, 256
_MOST_PLACES = 256  # of a map; larger ones are cut into patches, which bounds the time


class Velocity(nn.Module):
    """v(y, t | label): `(B, Z)`, `(B,)`, int `(B,)` -> `(B, Z)`; without labels, `num_labels` 0, all are 0."""

    def __init__(self, latent_dim: int, num_labels: int = 0, hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.label = nn.Embedding(max(1, num_labels), hidden)
        self.first = nn.Linear(latent_dim + 2 * _FREQUENCIES, hidden)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(3))
        self.last = nn.Linear(hidden, latent_dim)
        nn.init.zeros_(self.label.weight)
        nn.init.zeros_(self.last.weight)

    def forward(self, y: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the velocity."""
        h = self.first(torch.cat([y, _waves(t)], 1)) + self.label(labels)
        for layer in self.inner:
            h = h + layer(nn.functional.silu(h))
        out: Tensor = self.last(nn.functional.silu(h))
        return out


class MapVelocity(nn.Module):
    """The same over maps (C, h, w), which go in and out as vectors; the label `num_labels` is that of no label."""

    def __init__(self, code_shape: Sequence[int], num_labels: int = 0, width: int | None = None) -> None:
        super().__init__()
        channels, *size = code_shape
        self.code_shape, self.patch = tuple(code_shape), _patch(*size)
        inputs, (high, wide) = channels * self.patch**2, (side // self.patch for side in size)
        width = width or min(_WIDEST, _WIDTH * -(-2 * inputs // _WIDTH))
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.label = nn.Embedding(num_labels + 1, 4 * width)
        self.input = nn.Conv2d(inputs, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(width, high, wide))
        self.before = nn.ModuleList(_Block(width, width, 4 * width) for _ in range(2))
        self.down = DownConv2d(width, 2 * width)
        self.inner = nn.ModuleList(_Block(2 * width, 2 * width, 4 * width) for _ in range(2))
        self.attention = SelfAttention(2 * width, _GROUPS)
        self.up = UpConv2d(2 * width, width, (high, wide))
        self.after = nn.ModuleList(_Block(inputs, width, 4 * width) for inputs in (2 * width, width))
        self.norm = NormSiLU(width, _GROUPS)
        self.output = nn.Conv2d(width, inputs, 3, padding=1)
        for last in (self.label, self.attention.out, self.output):
            nn.init.zeros_(last.weight)

    @property
    def places(self) -> int:
        """Number of patches."""
        return self.place[0].numel()

    def forward(self, y: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the velocity."""
        c = F.silu(self.time(_waves(t)) + self.label(labels))
        h = self.input(F.pixel_unshuffle(y.reshape(-1, *self.code_shape), self.patch)) + self.place
        for block in self.before:
            h = block(h, c)
        inner = self.inner[1](self.attention(self.inner[0](self.down(h), c)), c)
        h = torch.cat([h, self.up(inner)], 1)
        for block in self.after:
            h = block(h, c)
        out: Tensor = F.pixel_shuffle(self.output(self.norm(h)), self.patch).flatten(1)
        return out


class _Block(nn.Module):
    """Two convolutions with a shortcut: (B, C, H, W) and an embedding (B, E) -> (B, O, H, W)."""

    def __init__(self, inputs: int, outputs: int, embedded: int) -> None:
        super().__init__()
        self.norm1 = NormSiLU(inputs, _GROUPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embedding = nn.Linear(embedded, 2 * outputs)
        self.norm2 = nn.GroupNorm(_GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = self.embedding(c)[..., None, None].chunk(2, 1)
        h = self.norm2(self.conv1(self.norm1(x))) * (1 + scale) + shift
        out: Tensor = self.shortcut(x) + self.conv2(F.silu(h))
        return out


def _waves(t: Tensor) -> Tensor:
    """Return cosines and sines of times `(B,)`."""
    angles = t[:, None] * torch.linspace(0.0, math.log(30.0), _FREQUENCIES, device=t.device).exp()
    return torch.cat([angles.cos(), angles.sin()], 1)


def _patch(height: int, width: int) -> int:
    """Return the smallest power of 2 whose patches are few enough, or the largest one that divides both sides."""
    patch = 1
    while height * width > _MOST_PLACES * patch**2 and height % (2 * patch) == width % (2 * patch) == 0:
        patch *= 2
    return patch
