"""Whether attribute vectors do what they should: a classifier looks at images moved along them.

An image that the classifier sees without the attribute goes along the vector, one that it sees with it goes against
it. The share of images of which it then says the opposite is the flip share. What the vector does besides is told in
the same unit: how far the share of images with another attribute moves, separately among the images that were pushed
along and those pushed against, since both could cancel. A random direction of the same length for each image is the
control: what moves there is what any push of that size would move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..metrics.figures import Figure
from .attribute_vectors import AttributeVectors, apply, random_like

NUM_DRAWS = 1000
LEVEL = 0.95
STRENGTHS = (1.0, 2.0)
"""Between these a vector is to work."""
LEAST_FLIPPED = 0.8
MOST_BESIDES = 1 / 3


@dataclass(frozen=True)
class Push:
    """What a push does to images, as shares of them in [0, 1]; None where there is nothing to count.

    Attributes:
        flipped: images whose attribute flips.
        added: of those without it, the ones that get it.
        removed: of those with it, the ones that lose it.
        others_moved: how far the share of images with another attribute moves, up or down, from what it was: the mean
            over both ways of pushing, each with the weight of its images, and over all other attributes.
        others_flipped: images of which another attribute flips, the mean over all other attributes. Of attributes
            that were parted at their median, and of what the classifier is unsure of, any push flips some.
        each_moved: what `others_moved` is the mean of, by name.
    """

    flipped: Figure
    added: Figure | None
    removed: Figure | None
    others_moved: Figure | None
    others_flipped: Figure | None
    each_moved: dict[str, float]


@dataclass(frozen=True)
class Effect:
    """What a vector does at one strength.

    Attributes:
        attribute: its name.
        strength: in units of the vector.
        vector: along it.
        random: along random directions of the same length.
    """

    attribute: str
    strength: float
    vector: Push
    random: Push

    def works(self, *, singly: bool = False) -> bool:
        """Whether the vector flips 80 % of the images at a strength of 1 to 2, and others a third as much at most.

        Args:
            singly: whether to count each image of which another attribute flips, instead of how far shares move.
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
    known: Sequence[str],
    seed: int = 0,
) -> Iterator[Effect]:
    """Measure each vector at each strength.

    Args:
        z: codes `(B, Z)` of images that took no part in finding the vectors.
        vectors: to check.
        predict: codes `(B, Z)` -> probabilities `(B, A)` of attributes in the images they decode to.
        strengths: more than 0.
        known: names of these A attributes, the vectors' among them.
        seed: of the random directions, and of the draws that the intervals are made of.

    Yields:
        An effect for each attribute and strength, attribute by attribute. Intervals hold the middle 95 % of 1000 draws
        of the images with replacement (see `vaegan.metrics.bootstrap`).
    """
    before = predict(z) > 0.5
    draws = _draws(len(z), seed)
    for row, name in enumerate(vectors.names):
        column = list(known).index(name)
        sign = torch.where(before[:, column], -1.0, 1.0).to(z)
        control = random_like(vectors.vectors[row].expand(len(z), -1), seed + row)
        for strength in strengths:
            pushes = [
                _push(before, predict(apply(z, direction, strength * sign)) > 0.5, column, known, draws, seed)
                for direction in (vectors.vectors[row], control)
            ]
            yield Effect(name, strength, *pushes)


def _draws(num: int, seed: int) -> Tensor:
    """Return how often each of `num` images counts, `(1 + NUM_DRAWS, num)`; in the first row each does once."""
    drawn = torch.randint(num, (NUM_DRAWS, num), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(NUM_DRAWS, num, dtype=torch.float64)
    counts.scatter_add_(1, drawn, torch.ones_like(counts))
    return torch.cat([torch.ones(1, num, dtype=torch.float64), counts])


def _push(before: Tensor, after: Tensor, column: int, known: Sequence[str], draws: Tensor, seed: int) -> Push:
    """Compare what is seen before and after, both bool `(B, A)`, over all draws."""
    num = before.shape[0]
    change = after.double() - before.double()
    others = [index for index in range(len(known)) if index != column]
    sides = [~before[:, column], before[:, column]]
    moved_of_sides = [((draws * side) @ change).abs() for side in sides]
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
        _interval(moved[:, others].mean(1), num, seed) if others else None,
        _interval(flipped[:, others].mean(1), num, seed) if others else None,
        {known[index]: float(moved[0, index]) for index in others},
    )


def _interval(shares: Tensor, num: int, seed: int) -> Figure:
    """Return the first share with the interval of the others; draws without any image do not count."""
    bounds = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=shares.dtype)
    low, high = shares[1:].nanquantile(bounds).tolist()
    return Figure(float(shares[0]), low, high, num, seed)
