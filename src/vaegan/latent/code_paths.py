"""Paths: between codes, their smoothness, and along single dimensions.

Straight paths are z(t) = (1 - t) a + t b. Codes of the prior N(0, I) in many dimensions lie near a sphere of radius
sqrt(Z), and a straight line cuts through its rarely visited inside. The spherical path turns at constant speed, by the
angle theta between a and b (Shoemake 1985, "Animating rotation with quaternion curves"; for latent codes White,
arXiv:1609.04468): its direction is sin((1 - t) theta)/sin(theta) a/|a| + sin(t theta)/sin(theta) b/|b|, and its length
goes evenly from |a| to |b|. A square between four codes is made of such paths: first down both sides, then across.

Smoothness is measured in the images of a path, not in its codes. With images x_0 ... x_T and Euclidean steps
d_t = |x_t - x_{t-1}|,

    detour  = sum_t d_t / |x_T - x_0|     1 straight through pixel space; more where the path wanders
    largest = max_t d_t / mean_t d_t      1 at constant speed; T where it stands still and then jumps

A cross-fade of the two end images has 1 and 1. Paths of a good model leave the straight line (a cross-fade shows double
images), so a detour above 1 is no fault, but a jump is one.

Traversals change one dimension of a code at a time. An inactive dimension has q(z_d|x) = N(0, 1) and KL 0 for every
image; the mean KL over images measures the information in a dimension, so those with most come first.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError
from ..losses import kl_per_dimension

PathMethod = Literal["linear", "spherical"]


def interpolate(a: Tensor, b: Tensor, num: int, method: PathMethod = "linear") -> Tensor:
    """Return `num` codes on the path from each code of `a` to that of the same row in `b`, both ends included exactly.

    Args:
        a: codes `(B, Z)` to start from.
        b: codes `(B, Z)` to arrive at.
        num: codes on each path, at least 2.
        method: 'linear' or 'spherical'.

    Returns:
        Codes `(num, B, Z)`.

    Raises:
        UserError: if there are fewer than 2 steps, the shapes differ, or `method` is unknown.
    """
    if num < 2:
        raise UserError(f"a path needs at least 2 codes, its two ends, not {num}")
    if a.shape != b.shape:
        raise UserError(f"a path needs equal numbers of codes at both ends, not {tuple(a.shape)} and {tuple(b.shape)}")
    between = _path(method)
    t = torch.linspace(0.0, 1.0, num, dtype=a.dtype, device=a.device)[:, None, None]
    path = between(a, b, t)
    path[0], path[-1] = a, b
    return path


def interpolate_square(corners: Tensor, num: int, method: PathMethod = "linear") -> Tensor:
    """Return `num` by `num` codes between each four, the four included exactly.

    Args:
        corners: codes `(4, B, Z)`: left upper, right upper, left lower, right lower.
        num: codes on each side, at least 2.
        method: 'linear' (bilinear) or 'spherical'.

    Returns:
        Codes `(rows, columns, B, Z)`.

    Raises:
        UserError: as `interpolate`, or if there are not four corners.
    """
    if len(corners) != 4:
        raise UserError(f"a square needs codes of 4 corners, not {len(corners)}")
    left, right = (interpolate(corners[i], corners[i + 2], num, method).flatten(0, 1) for i in (0, 1))
    across = interpolate(left, right, num, method)
    return across.reshape(num, num, *corners.shape[1:]).transpose(0, 1)


def mix(codes: Tensor, points: Tensor, method: PathMethod = "linear") -> Tensor:
    """Return codes at points between two, three or four.

    Args:
        codes: `(2 to 4, Z)`: left and right; left upper, right upper, below; or the four corners as in
            `interpolate_square`.
        points: `(P, 2)` in [0, 1], to the right and down. Between two codes the second number is ignored; with three
            the lower side is one point.
        method: 'linear' or 'spherical'.

    Returns:
        Codes `(P, Z)`.

    Raises:
        UserError: if there are not two to four codes, or `method` is unknown.
    """
    if not 2 <= len(codes) <= 4:
        raise UserError(f"a path goes between 2, 3 or 4 codes, not {len(codes)}")
    path = _path(method)
    right, down = (share[:, None] for share in points.to(codes).unbind(1))
    corners = codes[:, None].expand(-1, len(points), -1).unbind(0)
    if len(codes) == 2:
        return path(corners[0], corners[1], right)
    if len(codes) == 3:
        return path(path(corners[0], corners[1], right), corners[2], down)
    return path(path(corners[0], corners[2], down), path(corners[1], corners[3], down), right)


def _linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    return (1 - t) * a + t * b


def _spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Turn at constant speed from a to b; where the two span no angle (parallel, opposite or zero) go straight."""
    length_a, length_b = (code.norm(dim=-1, keepdim=True) for code in (a, b))
    tiny = torch.finfo(a.dtype).tiny
    unit_a, unit_b = a / length_a.clamp_min(tiny), b / length_b.clamp_min(tiny)
    # The arc tangent keeps its precision at small angles, where an arc cosine loses half the digits.
    theta = 2 * torch.atan2((unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True))
    sine = theta.sin()
    spans = (sine > 1e-4) & (length_a > 0) & (length_b > 0)
    sine = torch.where(spans, sine, 1.0)
    direction = ((1 - t) * theta).sin() / sine * unit_a + (t * theta).sin() / sine * unit_b
    return torch.where(spans, direction * _linear(length_a, length_b, t), _linear(a, b, t))


_PATHS = {"linear": _linear, "spherical": _spherical}


def _path(method: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if method not in _PATHS:
        raise UserError(f"unknown path '{method}'; available: {', '.join(_PATHS)}")
    return _PATHS[method]


@dataclass(frozen=True)
class Smoothness:
    """Smoothness of B paths."""

    detour: Tensor  # `(B,)`, length over chord; infinite where a path comes back to where it started
    largest: Tensor  # `(B,)`, largest step over mean step; 1 where nothing moves


def smoothness(images: Tensor) -> Smoothness:
    """Measure paths by their images `(T + 1, B, ...)`, at least two of each of B; bytes, or floats of any range."""
    steps = torch.stack([_distance(a, b) for a, b in itertools.pairwise(images)])
    length, chord = steps.sum(0), _distance(images[0], images[-1])
    still = length == 0
    detour = torch.where(still, 1.0, length / chord)
    return Smoothness(detour, torch.where(still, 1.0, steps.amax(0) / steps.mean(0)))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    squares: Tensor = (a.double() - b.double()).square().flatten(1).sum(1)
    return squares.sqrt()


def order_by_kl(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """Return the dimensions, the most used first, int64 `(Z,)`, and the mean KL of each in nats per image, `(Z,)`.

    Of the means and log variances of codes, each `(N, Z)`.
    """
    kl, order = kl_per_dimension(mu, logvar).mean(0).sort(descending=True, stable=True)
    return order, kl


def traverse(z: Tensor, dimensions: Sequence[int] | Tensor, values: Sequence[float] | Tensor) -> Tensor:
    """Return codes `(D, V, Z)`: `z` `(Z,)` with dimension d of D set to each of V values."""
    rows = torch.as_tensor(dimensions, device=z.device)
    codes = z.repeat(len(rows), len(values), 1)
    settings = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    codes[torch.arange(len(rows), device=z.device), :, rows] = settings
    return codes
