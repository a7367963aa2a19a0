"""Check of attribute vectors: an independent classifier judges images whose codes were moved along them.

An image that the classifier judges to be without the attribute is moved along the vector, one with it against it. The
share of images whose attribute then changes is the flip share. Side effects are in the same unit: how far the share of
images with another attribute moves, separately for images moved along and against, since both could cancel. The control
is a random direction of the same length for each image: the effect of any move of that size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..metrics.figures import Figure
from .attribute_vectors import AttributeVectors, apply, random_like

NUM_DRAWS = 1000
LEVEL = 0.95
STRENGTHS = (1.0, 2.0)
"""A vector is required to work at a strength between these."""
LEAST_FLIPPED = 0.8
MOST_BESIDES = 1 / 3


@dataclass(frozen=True)
class Push:
    """The effect of moving codes, as shares of images in [0, 1]; None where there are no such images."""

    flipped: Figure  # images whose attribute flips
    added: Figure | None  # of those without it, the ones that gain it
    removed: Figure | None  # of those with it, the ones that lose it
    # how far the share of images with another attribute moves, up or down: the mean over both directions, each weighted
    # by its images, and over all other attributes
    others_moved: Figure | None
    # images of which another attribute flips, the mean over all other attributes. Any move flips some images of
    # attributes split at their median, and of those the classifier is unsure of
    others_flipped: Figure | None
    each_moved: dict[str, float]  # attribute -> the shift of its share, of which `others_moved` is the mean


@dataclass(frozen=True)
class Effect:
    """The effect of a vector at one strength, and of random directions of the same length."""

    attribute: str
    strength: float
    vector: Push
    random: Push

    def works(self, *, singly: bool = False) -> bool:
        """Whether the vector flips 80 % of the images at a strength of 1 to 2, and others at most a third as much.

        With ``singly``, others are images of which another attribute flips, instead of shifts of shares.
        """
        others = self.vector.others_flipped if singly else self.vector.others_moved
        besides = 0.0 if others is None else others.value
        flipped = self.vector.flipped.value
        is_meant = STRENGTHS[0] <= self.strength <= STRENGTHS[1]
        return is_meant and flipped >= LEAST_FLIPPED and besides < MOST_BESIDES * flipped


def check_vectors(
    z: Tensor,
    vectors: AttributeVectors,
    predict: Callable[[Tensor], Tensor],
    strengths: Sequence[float],
    *,
    attribute_names: Sequence[str],
    seed: int = 0,
) -> Iterator[Effect]:
    """Yield the effect of each vector at each strength (above 0), attribute by attribute.

    The codes `(B, Z)` are of images that the vectors were not computed from; ``predict`` gives the probabilities
    `(B, A)` of ``attribute_names``, the vectors' among them, in the images that codes decode to. Intervals hold the
    middle 95 % of 1000 draws of the images with replacement (see `vaegan.metrics.bootstrap`).
    """
    before = predict(z) > 0.5
    draws = _draws(len(z), seed)
    for row, name in enumerate(vectors.names):
        column = list(attribute_names).index(name)
        sign = torch.where(before[:, column], -1.0, 1.0).to(z)
        control = random_like(vectors.vectors[row].expand(len(z), -1), seed + row)
        for strength in strengths:
            pushes = [
                _push(before, predict(apply(z, direction, strength * sign)) > 0.5, column, attribute_names, draws, seed)
                for direction in (vectors.vectors[row], control)
            ]
            yield Effect(name, strength, *pushes)


def _draws(num: int, seed: int) -> Tensor:
    """Return how often each of `num` images counts, `(1 + NUM_DRAWS, num)`; in the first row each does once."""
    drawn = torch.randint(num, (NUM_DRAWS, num), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(NUM_DRAWS, num, dtype=torch.float64)
    counts.scatter_add_(1, drawn, torch.ones_like(counts))
    return torch.cat([torch.ones(1, num, dtype=torch.float64), counts])


def _push(before: Tensor, after: Tensor, column: int, attribute_names: Sequence[str], draws: Tensor, seed: int) -> Push:
    """Compare predictions before and after, both bool `(B, A)`, over all draws."""
    num = before.shape[0]
    change = after.double() - before.double()
    others = [index for index in range(len(attribute_names)) if index != column]
    sides = [~before[:, column], before[:, column]]
    sums_of_sides = [(draws * side) @ change for side in sides]
    # A draw keeps the direction of all images: the absolute value of each would be too large, by chance alone.
    moved_of_sides = [torch.where(sums[0] < 0, -sums, sums) for sums in sums_of_sides]
    added, removed = (
        _interval(moved[:, column] / (draws @ side.double()), int(side.sum()), seed) if side.any() else None
        for side, moved in zip(sides, moved_of_sides, strict=True)
    )
    moved = (moved_of_sides[0] + moved_of_sides[1]) / num
    flipped = draws @ change.abs() / num
    return Push(
        _interval(flipped[:, column], num, seed),
        added,
        removed,
        _interval(moved[:, others].mean(1).clamp_min(0), num, seed) if others else None,
        _interval(flipped[:, others].mean(1), num, seed) if others else None,
        {attribute_names[index]: float(moved[0, index]) for index in others},
    )


def _interval(shares: Tensor, num: int, seed: int) -> Figure:
    """Return the first share with the interval of the others; draws without any image do not count."""
    bounds = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=shares.dtype)
    low, high = shares[1:].nanquantile(bounds).tolist()
    return Figure(float(shares[0]), low, high, num, seed)
