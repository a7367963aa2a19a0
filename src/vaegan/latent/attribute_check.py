"""Whether attribute vectors do what they should: a classifier looks at images moved along them.

An image that the classifier sees without the attribute goes along the vector, one that it sees with it goes against
it. The share of images of which it then says the opposite is the flip share; how far its opinion of all other
attributes moves is what the vector does besides. A random direction of the same length is the control: flips there
are what any push of that size would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .attributes import AttributeVectors, apply, random_like


@dataclass(frozen=True)
class Effect:
    """What a vector does at one strength; shares and probabilities in [0, 1], None where there is nothing to count.

    Attributes:
        attribute: its name.
        strength: in units of the vector.
        flipped: share of images whose attribute flips.
        added: share of those without it that get it.
        removed: share of those with it that lose it.
        own: mean change (absolute) of the attribute's own probability.
        others: mean change (absolute) of the other attributes' probabilities.
        random_flipped: share of images whose attribute flips along a random direction of the same length.
        random_others: mean change of the others there.
    """

    attribute: str
    strength: float
    flipped: float
    added: float | None
    removed: float | None
    own: float
    others: float | None
    random_flipped: float
    random_others: float | None


def check_vectors(
    z: Tensor,
    vectors: AttributeVectors,
    predict: Callable[[Tensor], Tensor],
    strengths: Sequence[float],
    *,
    columns: Sequence[int] | None = None,
    seed: int = 0,
) -> Iterator[Effect]:
    """Measure each vector at each strength.

    Args:
        z: codes `(B, Z)` of images that took no part in finding the vectors.
        vectors: to check.
        predict: codes `(B, Z)` -> probabilities `(B, A')` of attributes in the images they decode to.
        strengths: more than 0.
        columns: where the vectors' attributes stand among the A' that ``predict`` knows; one after another if None.
        seed: of the random directions, one for each attribute.

    Yields:
        An effect for each attribute and strength, attribute by attribute.
    """
    before = predict(z)
    columns = range(len(vectors.names)) if columns is None else columns
    for row, (name, column) in enumerate(zip(vectors.names, columns, strict=True)):
        has = before[:, column] > 0.5
        sign = torch.where(has, -1.0, 1.0).to(z)
        control = random_like(vectors.vectors[row], seed + row)
        for strength in strengths:
            after = predict(apply(z, vectors.vectors[row], strength * sign))
            random = predict(apply(z, control, strength * sign))
            flips = (after[:, column] > 0.5) != has
            moved, others = _moved(before, after, column)
            yield Effect(
                name,
                strength,
                float(flips.float().mean()),
                _share(flips[~has]),
                _share(flips[has]),
                moved,
                others,
                float(((random[:, column] > 0.5) != has).float().mean()),
                _moved(before, random, column)[1],
            )


def _moved(before: Tensor, after: Tensor, column: int) -> tuple[float, float | None]:
    """Return the mean change of one column and of all others."""
    change = (after - before).abs().mean(0)
    others = torch.cat([change[:column], change[column + 1 :]])
    return float(change[column]), _share(others)


def _share(values: Tensor) -> float | None:
    return float(values.float().mean()) if len(values) else None
