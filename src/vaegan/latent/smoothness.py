"""How smooth a path is, measured where it is seen: in its images, not in its codes.

With x_0 ... x_T the images of a path and d_t = |x_t - x_{t-1}| the Euclidean steps between them,

    detour  = sum_t d_t / |x_T - x_0|     1 straight through pixel space; more where the path wanders
    largest = max_t d_t / mean_t d_t      1 at constant speed; T where it stands still and then leaps

A cross-fade of the two end images has 1 and 1: smooth paths of a good model leave the straight line (a cross-fade shows
double images), so a detour above 1 is no fault, but a leap is one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Smoothness:
    """Figures of B paths.

    Attributes:
        detour: `(B,)`, length over chord; infinite where a path comes back to where it started.
        largest: `(B,)`, largest step over mean step; 1 where nothing moves.
    """

    detour: Tensor
    largest: Tensor


def smoothness(images: Tensor) -> Smoothness:
    """Measure paths.

    Args:
        images: `(T + 1, B, ...)`, at least two of each of B paths; bytes, or floats of any range.
    """
    steps = torch.stack([_distance(a, b) for a, b in itertools.pairwise(images)])
    length, chord = steps.sum(0), _distance(images[0], images[-1])
    still = length == 0
    detour = torch.where(still, 1.0, length / chord)
    return Smoothness(detour, torch.where(still, 1.0, steps.amax(0) / steps.mean(0)))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    squares: Tensor = (a.double() - b.double()).square().flatten(1).sum(1)
    return squares.sqrt()
