from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from vaegan.data.conditions import find_thresholds, has_attribute
from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.latent.attribute_vectors import apply, find_vectors, random_like, sweep

NAMES = ("hat", "beard", "age")


@pytest.fixture
def world():
    """Codes moved by two correlated binary attributes and a continuous one, and by noise."""
    rng = np.random.default_rng(0)
    hat = rng.random(4000) < 0.3
    beard = rng.random(4000) < np.where(hat, 0.8, 0.2)
    age = rng.normal(40, 10, 4000)
    attributes = np.stack([hat, beard, age], axis=1).astype(np.float32)
    effects = rng.normal(size=(3, 6))
    z = attributes * [1, 1, 0.1] @ effects + 0.1 * rng.normal(size=(4000, 6))
    return torch.from_numpy(z).float(), torch.from_numpy(attributes), torch.from_numpy(effects).float()


def test_difference_of_means_by_hand(world):
    z, attributes, _ = world
    found = find_vectors(z, attributes, NAMES)
    for row, column in enumerate(attributes.numpy().T):
        with_ = column > (0.5 if row < 2 else np.median(column))
        expected = z.numpy()[with_].mean(0) - z.numpy()[~with_].mean(0)
        np.testing.assert_allclose(found.vectors[row].numpy(), expected, atol=1e-3)
        assert abs(int(found.counts[row, 1]) - with_.sum()) <= 1
    assert torch.equal(found["beard"], found.vectors[1])


def test_linear_is_the_regression(world):
    z, attributes, effects = world
    found = find_vectors(z, attributes, NAMES, method="linear")
    expected = LinearRegression().fit(attributes.numpy(), z.numpy()).coef_.T
    age = attributes[:, 2]
    expected[2] *= float(age[age > age.median()].mean() - age[age <= age.median()].mean())
    np.testing.assert_allclose(found.vectors.numpy(), expected, atol=1e-4)
    torch.testing.assert_close(found["hat"], effects[0], atol=0.03, rtol=0)


def test_linear_vectors_are_the_same_wherever_the_codes_lie():
    labels = torch.eye(3)[torch.arange(300) % 3]  # columns that add up to the constant one
    z = labels @ torch.eye(3, 5) + 0.1 * torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    found, moved = (find_vectors(codes, labels, NAMES, method="linear").vectors for codes in (z, z + 5))
    torch.testing.assert_close(moved, found, atol=1e-5, rtol=0)
    # The shortest of all that fit: no direction is common to all of them.
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-5, rtol=0)


def test_balanced_takes_the_beard_out_of_the_hat(world):
    z, attributes, effects = world
    plain = find_vectors(z, attributes, NAMES)["hat"]
    balanced = find_vectors(z, attributes, NAMES, method="balanced")["hat"]
    assert (plain - effects[0]).norm() > 0.5 * effects[1].norm()
    torch.testing.assert_close(balanced, effects[0], atol=0.03, rtol=0)


def test_balanced_with_one_other_binary_attribute_is_stratification():
    # Weighted so that both groups hold each kind of the other alike: the mean of the differences within each kind.
    rng = np.random.default_rng(1)
    hat, beard = rng.random((2, 500)) < [[0.4], [0.6]]
    beard ^= hat & (rng.random(500) < 0.5)
    z = torch.from_numpy(rng.normal(size=(500, 3)) + np.outer(hat & beard, [1, 2, 3])).double()
    found = find_vectors(z, torch.tensor(np.stack([hat, beard], 1)).float(), ("hat", "beard"), method="balanced")
    share = (beard[hat].mean() + beard[~hat].mean()) / 2
    cells = {(h, b): z.numpy()[(hat == h) & (beard == b)].mean(0) for h in (0, 1) for b in (0, 1)}
    expected = share * (cells[1, 1] - cells[0, 1]) + (1 - share) * (cells[1, 0] - cells[0, 0])
    np.testing.assert_allclose(found["hat"].numpy(), expected, atol=0.01)


def test_no_other_attribute_needs_no_balance(world):
    z, attributes, _ = world
    one = attributes[:, :1]
    expected = find_vectors(z, one, NAMES[:1]).vectors
    torch.testing.assert_close(find_vectors(z, one, NAMES[:1], method="balanced").vectors, expected)


def test_orthogonalised_vectors_by_qr(world):
    z, attributes, _ = world
    plain = find_vectors(z, attributes, NAMES).vectors.double().numpy()
    found = find_vectors(z, attributes, NAMES, orthogonalise=True)
    for row in range(3):
        others, _ = np.linalg.qr(np.delete(plain, row, axis=0).T)
        expected = plain[row] - others @ (others.T @ plain[row])
        np.testing.assert_allclose(found.vectors[row].numpy(), expected, atol=1e-5)


def test_vectors_that_are_mixtures_of_each_other_cannot_be_orthogonalised():
    labels = torch.eye(3)[torch.arange(300) % 3]
    z = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(find_vectors(z, labels, NAMES, method="linear").vectors).all()
    with pytest.raises(UserError, match=r"'hat' is a linear combination of the others.*do not orthogonalise"):
        find_vectors(z, labels, NAMES, orthogonalise=True)


@pytest.mark.parametrize(("own", "fits"), [(1e-2, True), (2e-3, True), (5e-4, False)])
def test_a_vector_needs_a_thousandth_of_its_own_to_be_orthogonalised(own, fits):
    # Two attributes with vectors (10, 0) and (10, 10 own): nearly parallel. Halves of the images cross.
    first, second = (torch.tensor(side).repeat(50) for side in ([0.0, 1, 0, 1], [0.0, 0, 1, 1]))
    z = 10 * torch.stack([first + second, own * second], 1)
    if not fits:
        with pytest.raises(UserError, match="'a' is a linear combination"):
            find_vectors(z, torch.stack([first, second], 1), ("a", "b"), orthogonalise=True)
        return
    vectors = find_vectors(z, torch.stack([first, second], 1), ("a", "b"), orthogonalise=True).vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((2,), 10 * own), rtol=0.02, atol=0)


@pytest.mark.parametrize("how", ["difference", "balanced", "linear"])
def test_images_of_which_nothing_is_known_take_no_part(world, how):
    z, attributes, _ = world
    expected = find_vectors(z, attributes, NAMES, method=how)
    more_z = torch.cat([z, 100 * torch.ones(50, 6)])
    more = torch.cat([attributes, torch.full((50, 3), torch.nan)])
    found = find_vectors(more_z, more, NAMES, method=how)
    torch.testing.assert_close(found.vectors, expected.vectors, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.counts, expected.counts)


def test_thresholds_by_hand():
    nan = math.nan
    attributes = torch.tensor([[-1, 1, 0, 5.0], [1, 2, 1, 5], [1, 3, 2, 5], [nan, 4, 2, 5], [1, 9, 2, nan]])
    thresholds = find_thresholds(attributes)
    assert thresholds[:3].tolist() == [0.0, 3.0, 1.5]
    assert math.isnan(thresholds[3])
    sides = has_attribute(attributes, thresholds)
    assert sides[:, 1].tolist() == [0, 0, 0, 1, 1]
    assert sides[:, 2].tolist() == [0, 0, 1, 1, 1]
    assert sides[:3, 0].tolist() == [0, 1, 1]
    assert sides[3, 0].isnan()


def test_vectors_are_a_collection_of_names(world):
    z, attributes, _ = world
    vectors = find_vectors(z, attributes, NAMES)
    assert (list(vectors), len(vectors)) == (list(NAMES), len(NAMES))
    assert "hat" in vectors
    assert "hut" not in vectors
    assert [vectors[name].tolist() for name in vectors] == vectors.vectors.tolist()


def test_mistakes_are_told(world):
    z, attributes, _ = world
    with pytest.raises(UserError, match="'beard' is the same for all 4000 images"):
        find_vectors(z, attributes * torch.tensor([1, 0, 1]), NAMES)
    with pytest.raises(UserError, match=r"no attribute 'haat' \(perhaps you meant 'hat'\); available: hat, beard, age"):
        find_vectors(z, attributes, NAMES)["haat"]
    with pytest.raises(UserError, match="unknown method 'magic'"):
        find_vectors(z, attributes, NAMES, method="magic")
    beards = torch.where(attributes[:, :1] == 0, torch.nan, attributes)  # of images without a hat all is unknown
    beards[:, 0] = attributes[:, 0]
    with pytest.raises(UserError, match=r"'hat' is the same for all \d+ images without unknown attributes, which"):
        find_vectors(z, beards, NAMES, method="linear")
    with pytest.raises(UserError, match="none; use another method"):
        find_vectors(z, torch.where(torch.arange(4000)[:, None] % 3 == torch.arange(3), torch.nan, attributes),
                     NAMES, method="linear")  # fmt: skip


def test_strength_one_is_the_whole_difference():
    z, vector = torch.zeros(2, 3), torch.tensor([1.0, 2.0, 3.0])
    assert apply(z, vector, 1).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert apply(z, vector, torch.tensor([1.0, -2.0])).tolist() == [[1, 2, 3], [-2, -4, -6]]
    assert sweep(z, vector, (-1, 0, 2))[:, 0].tolist() == [[-1, -2, -3], [0, 0, 0], [2, 4, 6]]


def test_random_direction_has_the_length_and_its_seed():
    vector = torch.tensor([3.0, 4.0] + [0.0] * 98)
    a, b = random_like(vector, 0), random_like(vector, 1)
    assert float(a.norm()) == pytest.approx(5.0)
    assert torch.equal(a, random_like(vector, 0))
    assert abs(float(a @ b)) < 10
    several = random_like(torch.stack([vector, 2 * vector]), 0)
    assert several.norm(dim=1).tolist() == pytest.approx([5.0, 10.0])
    assert abs(float(several[0] @ several[1])) < 20


def test_labels_are_attributes_of_zero_and_one():
    images = ImageSet(
        np.zeros((3, 2, 2, 1), np.uint8),
        ["a", "b", "c"],
        np.array([1, 0, 1]),
        ("cat", "dog"),
        np.array([[0.5], [np.nan], [2]], np.float32),
        ("cat",),
    )
    values, names = images.labels_as_attributes()
    assert names == ("cat", "label cat", "dog")
    np.testing.assert_array_equal(values, np.array([[0.5, 0, 1], [np.nan, 1, 0], [2, 0, 1]], np.float32))
