"""Paths between codes.

Straight: z(t) = (1 - t) a + t b. Codes of the prior N(0, I) in many dimensions lie near a sphere of radius sqrt(Z), and
a straight line cuts through its rarely visited inside. The spherical path turns at constant speed instead, by the angle
theta between a and b (Shoemake 1985, "Animating rotation with quaternion curves"; for latent codes White,
arXiv:1609.04468): its direction is sin((1 - t) theta)/sin(theta) a/|a| + sin(t theta)/sin(theta) b/|b|, and its length
goes evenly from |a| to |b|. A square between four codes is made of such paths: first down both sides, then across.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError

How = Literal["linear", "spherical"]


def interpolate(a: Tensor, b: Tensor, num: int, how: How = "linear") -> Tensor:
    """Return `num` codes on the way from each code of `a` to its fellow in `b`, both ends included exactly.

    Args:
        a: codes `(B, Z)` to start from.
        b: codes `(B, Z)` to arrive at.
        num: codes on each path, at least 2.
        how: 'linear' or 'spherical'.

    Returns:
        Codes `(num, B, Z)`.

    Raises:
        UserError: if there are fewer than 2 steps, the shapes differ, or `how` is unknown.
    """
    if num < 2:
        raise UserError(f"a path needs at least 2 codes, its two ends, not {num}")
    if a.shape != b.shape:
        raise UserError(f"a path needs as many codes at both ends, not {tuple(a.shape)} and {tuple(b.shape)}")
    if how not in _PATHS:
        raise UserError(f"unknown path '{how}'; there are {', '.join(_PATHS)}")
    t = torch.linspace(0.0, 1.0, num, dtype=a.dtype, device=a.device)[:, None, None]
    path = _PATHS[how](a, b, t)
    path[0], path[-1] = a, b
    return path


def interpolate_square(corners: Tensor, num: int, how: How = "linear") -> Tensor:
    """Return `num` by `num` codes between each four, the four included exactly.

    Args:
        corners: codes `(4, B, Z)`: left upper, right upper, left lower, right lower.
        num: codes on each side, at least 2.
        how: 'linear' (bilinear) or 'spherical'.

    Returns:
        Codes `(rows, columns, B, Z)`.

    Raises:
        UserError: as `interpolate`.
    """
    left, right = (interpolate(corners[i], corners[i + 2], num, how).flatten(0, 1) for i in (0, 1))
    across = interpolate(left, right, num, how)
    return across.reshape(num, num, *corners.shape[1:]).transpose(0, 1)


def mix(codes: Tensor, places: Tensor, how: How = "linear") -> Tensor:
    """Return the codes at places between two, three or four.

    Args:
        codes: `(2 to 4, Z)`: left and right; left upper, right upper, below; or the four corners as in
            `interpolate_square`.
        places: `(P, 2)` in [0, 1], to the right and down. Between two the second says nothing; three close to a
            point below.
        how: 'linear' or 'spherical'.

    Returns:
        Codes `(P, Z)`.

    Raises:
        UserError: if there are not two to four codes, or `how` is unknown.
    """
    if not 2 <= len(codes) <= 4:
        raise UserError(f"a path goes between 2, 3 or 4 codes, not {len(codes)}")
    if how not in _PATHS:
        raise UserError(f"unknown path '{how}'; there are {', '.join(_PATHS)}")
    path = _PATHS[how]
    right, down = (share[:, None] for share in places.to(codes).unbind(1))
    corners = codes[:, None].expand(-1, len(places), -1).unbind(0)
    if len(codes) == 2:
        return path(corners[0], corners[1], right)
    if len(codes) == 3:
        return path(path(corners[0], corners[1], right), corners[2], down)
    return path(path(corners[0], corners[2], down), path(corners[1], corners[3], down), right)


def _linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    return (1 - t) * a + t * b


def _spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Turn evenly from a to b; where the two span no angle (parallel, opposite or zero) go straight."""
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
