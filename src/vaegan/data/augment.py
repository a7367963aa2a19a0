"""Augmentation: random geometric and colour changes of training images, drawn anew for each batch.

The authors' code shifts by N(0, 2 px), scales and rotates by N(0, 0.01), changes gamma and contrast by factors exp(N(0,
0.05)) and the hue by N(0, 0.01) of a full turn, per image. The draws are made for the whole batch from the seed and the
images seen, so they depend neither on the number of processes nor on earlier draws.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import AugmentSettings
from .batches import Batches, StreamBatches

# RGB -> YIQ (NTSC, as in FCC 1953): luma, and two axes of colour in whose plane a hue is an angle.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_NUM_DRAWS = 7


def augmented_batch(
    batches: Batches | StreamBatches,
    by: AugmentSettings,
    device: torch.device | str,
    images_seen: int,
    *,
    binarize: bool = False,
) -> Tensor:
    """Return this rank's share of a batch, augmented on the device, float (b, C, H, W) in [0, 1].

    With ``binarize`` it is then drawn black and white.
    """
    x = batches.pixels.to_unit(batches.at(images_seen).to(device, non_blocking=True))
    size, seed, share = batches.batch_size, batches.seed, batches.share
    x = augmented(x, draw(size, seed=seed, images=images_seen, share=share), by, alpha=batches.pixels.alpha)
    if binarize:
        draws = torch.rand(size, *x.shape[1:], generator=_generator(seed, images_seen, 6))
        x = (draws[share].to(x) < x).to(x)
    return x


def draw(batch_size: int, *, seed: int, images: int, share: slice = slice(None)) -> Tensor:
    """Draw N(0, 1) for the batch that starts after ``images`` images: (7, B), cut to ``share`` of the batch."""
    return torch.randn(_NUM_DRAWS, batch_size, generator=_generator(seed, images, 2))[:, share]


def augmented(x: Tensor, draws: Tensor, by: AugmentSettings, *, alpha: bool = False) -> Tensor:
    """Change images (B, C, H, W) in [0, 1] by standard deviations times draws (7, B); they stay in [0, 1].

    With ``alpha`` the last channel is opacity, which moves with the image, and whose values do not change.
    """
    draws = draws.to(x)
    if by.shift or by.scale or by.rotation:
        x = _moved(x, by, *draws[:4])
    if alpha:
        return torch.cat([_recoloured(x[:, :-1], by, draws), x[:, -1:].clamp(0.0, 1.0)], 1)
    return _recoloured(x, by, draws)


def _moved(x: Tensor, by: AugmentSettings, right: Tensor, down: Tensor, larger: Tensor, turned: Tensor) -> Tensor:
    """Shift, scale and rotate about the centre; the border's pixels extend beyond it."""
    height, width = x.shape[2:]
    shrink, angle = torch.exp(-by.scale * larger), by.rotation * turned
    cos, sin = shrink * torch.cos(angle), shrink * torch.sin(angle)
    # Sampling positions in [-1, 1]; the sides' ratio keeps a rotation rigid where images are not square.
    to_x = [cos, -sin * height / width, -2.0 * by.shift * right / width]
    to_y = [sin * width / height, cos, -2.0 * by.shift * down / height]
    where = F.affine_grid(torch.stack(to_x + to_y, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, where, mode="bilinear", padding_mode="border", align_corners=False)


def _recoloured(x: Tensor, by: AugmentSettings, draws: Tensor) -> Tensor:
    """Change gamma, contrast and hue."""
    if by.gamma:
        x = x.clamp(min=0.0) ** torch.exp(by.gamma * draws[4]).view(-1, 1, 1, 1)
    if by.contrast:
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * torch.exp(by.contrast * draws[5]).view(-1, 1, 1, 1)
    if by.hue and x.shape[1] == 3:
        x = _turn_hue(x, 2.0 * math.pi * by.hue * draws[6])
    return x.clamp(0.0, 1.0)


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def _turn_hue(x: Tensor, angle: Tensor) -> Tensor:
    """Turn the colours of RGB images by an angle per image around the grey axis."""
    to_yiq = _YIQ.to(x)
    cos, sin, zero, one = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [one, zero, zero], [zero, cos, -sin], [zero, sin, cos]
    turn = torch.stack([each for row in rows for each in row], 1).view(-1, 3, 3)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, x)
