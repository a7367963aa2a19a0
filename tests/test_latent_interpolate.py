from __future__ import annotations

import math

import pytest
import torch

from vaegan.errors import UserError
from vaegan.latent.code_paths import interpolate, interpolate_square


@pytest.fixture
def ends():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_both_ends_are_included_exactly(ends, how):
    a, b = ends.float()
    path = interpolate(a, b, 6, how)
    assert path.shape == (6, 5, 7)
    assert torch.equal(path[0], a)
    assert torch.equal(path[-1], b)


def test_straight_path_is_the_weighted_mean(ends):
    a, b = ends
    torch.testing.assert_close(interpolate(a, b, 5)[1], 0.75 * a + 0.25 * b)


def test_spherical_path_of_a_quarter_circle_by_hand():
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    path = interpolate(a, b, 4, "spherical")[:, 0]
    # Angles 0, 30, 60, 90 degrees; lengths 2, 8/3, 10/3, 4.
    angles = [math.atan2(y, x) for x, y in path.tolist()]
    assert angles == pytest.approx([0.0, math.pi / 6, math.pi / 3, math.pi / 2], abs=1e-6)
    assert path.norm(dim=1).tolist() == pytest.approx([2.0, 8 / 3, 10 / 3, 4.0], rel=1e-6)


def test_spherical_path_turns_at_constant_speed(ends):
    path = interpolate(*ends, 9, "spherical")
    unit = path / path.norm(dim=-1, keepdim=True)
    steps = torch.acos((unit[1:] * unit[:-1]).sum(-1))
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, 0.0])
def test_spherical_path_between_codes_that_span_no_angle_is_straight(ends, factor):
    a = ends[0]
    path = interpolate(a, factor * a, 5, "spherical")
    torch.testing.assert_close(path, interpolate(a, factor * a, 5, "linear"))


def test_spherical_path_of_zero_vectors_stays_finite():
    zero = torch.zeros(2, 3)
    assert torch.equal(interpolate(zero, zero, 4, "spherical"), torch.zeros(4, 2, 3))


def test_each_pair_of_a_batch_goes_its_own_way(ends):
    a, b = ends
    b = b.clone()
    b[2] = 2 * a[2]
    path = interpolate(a, b, 5, "spherical")
    for i in range(5):
        torch.testing.assert_close(path[:, i : i + 1], interpolate(a[i : i + 1], b[i : i + 1], 5, "spherical"))


@pytest.mark.parametrize(
    ("a", "b", "num", "how", "told"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), 1, "linear", "at least 2"),
        (torch.zeros(2, 3), torch.zeros(3, 3), 4, "linear", "equal numbers of codes at both ends"),
        (torch.zeros(2, 3), torch.zeros(2, 3), 4, "cubic", "'cubic'; available: linear, spherical"),
    ],
)
def test_mistakes_are_told(a, b, num, how, told):
    with pytest.raises(UserError, match=told):
        interpolate(a, b, num, how)


def test_a_square_has_its_corners_exactly():
    corners = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(1))
    for how in ("linear", "spherical"):
        square = interpolate_square(corners, 5, how)
        assert square.shape == (5, 5, 3, 7)
        for corner, found in zip(corners, (square[0, 0], square[0, 4], square[4, 0], square[4, 4]), strict=True):
            assert torch.equal(found, corner)


def test_a_straight_square_is_bilinear():
    a, b, c, d = corners = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    square = interpolate_square(corners, 5)
    for row in range(5):
        for column in range(5):
            v, u = row / 4, column / 4
            expected = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
            torch.testing.assert_close(square[row, column], expected)


def test_a_spherical_square_is_made_of_spherical_paths():
    corners = torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    square = interpolate_square(corners, 4, "spherical")
    torch.testing.assert_close(square[:, 0], interpolate(corners[0], corners[2], 4, "spherical"))
    torch.testing.assert_close(square[:, 3], interpolate(corners[1], corners[3], 4, "spherical"))
    torch.testing.assert_close(square[2], interpolate(square[2, 0], square[2, 3], 4, "spherical"))


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_mixtures_are_the_paths(how):
    from vaegan.latent.code_paths import mix

    z = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 1, 5)
    row = torch.stack([t, torch.full((5,), 0.7)], dim=1)
    assert torch.allclose(mix(z[:2], row, how), interpolate(z[:1], z[1:2], 5, how)[:, 0], atol=1e-6)
    places = torch.stack([t.repeat(5), t.repeat_interleave(5)], dim=1)
    square = interpolate_square(z[:, None], 5, how).reshape(25, 6)
    assert torch.allclose(mix(z, places, how), square, atol=1e-6)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.4, 1.0]])
    assert torch.allclose(mix(z[:3], corners, how), z[:3], atol=1e-6)
    with pytest.raises(UserError, match="2, 3 or 4"):
        mix(z[:1], row, how)
