"""What vectors do, counted by hand in a world where the classifier sees the signs of code dimensions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vaegan.latent.attribute_check import check_vectors
from vaegan.latent.attribute_vectors import AttributeVectors, random_like

NAMES = ("c", "a", "b")


def vectors_of(*rows, names=("a", "b")) -> AttributeVectors:
    vectors = torch.tensor(rows)
    return AttributeVectors(tuple(names), vectors, torch.zeros(len(rows)), torch.ones(len(rows), 2, dtype=torch.long))


def signs(z):
    return (z[:, :3] > 0).float()


# Columns are c, a, b and one that is not seen; rows are images.
Z = torch.tensor([[5.0, -1, 5, 0], [5, -3, 5, 0], [-1, 1, 5, 0], [-0.5, 5, -1, 0]])


def test_flips_by_hand():
    # The first vector moves a alone; the second moves b, and drags c along.
    vectors = vectors_of([0.0, 2, 0, 0], [2.0, 0, 2, 0])
    first, first2, second, _ = check_vectors(Z, vectors, signs, (1.0, 2.0), attribute_names=NAMES)
    assert [(e.attribute, e.strength) for e in (first, first2, second)] == [("a", 1.0), ("a", 2.0), ("b", 1.0)]
    # Without: -1 flips, -3 does not. With: 1 flips, 5 does not.
    assert [first.vector.flipped.value, first.vector.added.value, first.vector.removed.value] == [0.5, 0.5, 0.5]
    assert [first2.vector.flipped.value, first2.vector.added.value, first2.vector.removed.value] == [0.75, 1.0, 0.5]
    assert first.vector.each_moved == {"c": 0.0, "b": 0.0}
    # The last image gets b, and c with it; the others lose 2 of b = 5 and of c, which turns nothing.
    assert [second.vector.flipped.value, second.vector.added.value, second.vector.removed.value] == [0.25, 1.0, 0.0]
    assert second.vector.each_moved == {"c": 0.25, "a": 0.0}
    assert second.vector.others_moved.value == second.vector.others_flipped.value == 1 / 8


def test_ways_that_cancel_are_both_told():
    # c follows a both ways: no share of all images changes, but the one among each half does.
    z = torch.tensor([[-1.0, -1, 5, 0], [-1, -1, 5, 0], [1, 1, 5, 0], [1, 1, 5, 0]])
    (effect,) = check_vectors(z, vectors_of([2.0, 2, 0, 0], names="a"), signs, (1.0,), attribute_names=NAMES)
    assert effect.vector.each_moved == {"c": 1.0, "b": 0.0}
    assert effect.vector.others_moved.value == 0.5
    # Flips to both sides within one way of pushing leave the share where it was.
    z = torch.tensor([[0.0, -1, 1, 0], [0, -1, -1, 0]])
    (effect,) = check_vectors(
        z, vectors_of([0.0, 2, 0, 0], names="a"), lambda z: torch.stack([z[:, 1] > 0, z[:, 2] * (1 - z[:, 1]) > 0], 1),
        (1.5,), attribute_names=("a", "b"),
    )  # fmt: skip
    assert effect.vector.flipped.value == 1.0
    assert effect.vector.others_flipped.value == 1.0
    assert effect.vector.others_moved.value == 0.0


def test_random_directions_have_the_length_of_the_vector():
    seen = []

    def predict(z):
        seen.append(z)
        return signs(z)

    list(check_vectors(Z, vectors_of([0.0, 3, 4, 0], names="a"), predict, (2.0,), attribute_names=NAMES, seed=7))
    assert torch.equal(seen[0], Z)
    pushes = seen[2] - Z
    assert pushes.norm(dim=1).tolist() == pytest.approx([10.0] * 4)
    sign = torch.tensor([1.0, 1, -1, -1])[:, None]
    torch.testing.assert_close(pushes, 2 * sign * random_like(torch.tensor([[0.0, 3, 4, 0]] * 4), 7))


def test_intervals_are_those_of_a_share():
    # 40 of 100 images flip: the binomial's middle 95 %.
    z = torch.tensor([[0.0, -1, 5, 0]] * 40 + [[0.0, -9, 5, 0]] * 60)
    (effect,) = check_vectors(z, vectors_of([0.0, 2, 0, 0], names="a"), signs, (1.0,), attribute_names=NAMES)
    for share in (effect.vector.flipped, effect.vector.added):
        assert (share.low, share.high) == pytest.approx((0.31, 0.5), abs=0.021)
    (again,) = check_vectors(z, vectors_of([0.0, 2, 0, 0], names="a"), signs, (1.0,), attribute_names=NAMES)
    assert again == effect


def test_the_interval_of_small_side_effects_holds_their_value():
    """Flips to both sides by chance, which nearly cancel."""
    generator = torch.Generator().manual_seed(0)
    z = torch.rand(256, 12, generator=generator) - 0.5
    after = torch.where(torch.rand(z.shape, generator=generator) < 0.1, -z, z)
    predictions = iter([(z > 0).float(), *[(after > 0).float()] * 2])
    names = tuple("abcdefghijkl")
    vectors = vectors_of([0.0] * 12, names="a")
    (effect,) = check_vectors(z, vectors, lambda z: next(predictions), (1.0,), attribute_names=names)
    others = effect.vector.others_moved
    assert 0 <= others.low < others.value < others.high
    assert others.value == pytest.approx((others.low + others.high) / 2, rel=0.1)


def test_nothing_is_counted_where_there_is_nothing():
    (effect,) = check_vectors(
        torch.ones(3, 4),
        vectors_of([0.0, 1, 0, 0], names="a"),
        lambda z: signs(z)[:, 1:2],
        (1.0,),
        attribute_names=("a",),
    )
    assert effect.vector.added is None
    assert effect.vector.others_moved is None
    assert effect.vector.each_moved == {}
    assert effect.vector.removed.value == 1.0


def test_when_a_vector_works():
    z = torch.tensor([[5.0, -1, 5, 0]] * 9 + [[5.0, -9, 5, 0]])
    effects = list(
        check_vectors(z, vectors_of([0.0, 2, 0, 0], names="a"), signs, (0.6, 1.0, 2.5), attribute_names=NAMES)
    )
    assert [effect.vector.flipped.value for effect in effects] == [0.9] * 3
    assert [effect.works() for effect in effects] == [False, True, False]
    push = effects[1].vector
    moved = replace(effects[1], vector=replace(push, others_moved=replace(push.flipped, value=0.31)))
    assert not moved.works()
    assert moved.works(singly=True)
    assert not replace(moved, vector=replace(push, flipped=replace(push.flipped, value=0.79))).works()
