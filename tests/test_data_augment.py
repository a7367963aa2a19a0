"""Augmentation against what each change does by definition, and its draws."""

from __future__ import annotations

import colorsys
import math
from functools import partial

import numpy as np
import pytest
import torch

from vaegan.data import ImageSet, augment
from vaegan.data.batches import Batches
from vaegan.pixels import PixelFormat, to_unit
from vaegan.settings import AugmentSettings


def augmented(**deviations):
    return partial(augment.augmented, by=AugmentSettings(**deviations))


def image(height: int = 9, width: int = 9, channels: int = 1) -> torch.Tensor:
    x = torch.zeros(1, channels, height, width)
    x[0, :, 2, 3] = 1.0
    return x


def test_nothing_is_done_by_default() -> None:
    x = torch.rand(4, 3, 8, 8)
    assert torch.equal(augmented()(x, torch.randn(7, 4)), x)


def test_shift_moves_right_and_down_by_pixels() -> None:
    draws = torch.tensor([2.0, 1.0, 0, 0, 0, 0, 0])[:, None]
    moved = augmented(shift=1.0)(image(), draws)
    torch.testing.assert_close(moved[0, 0, 3, 5], torch.tensor(1.0))
    assert moved.sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("size", [(9, 9), (9, 13)])
def test_a_quarter_turn_is_a_quarter_turn(size: tuple[int, int]) -> None:
    height, width = size
    x = image(height, width)
    cy, cx = height // 2, width // 2
    draws = torch.tensor([0.0, 0, 0, 1, 0, 0, 0])[:, None]
    turned = augmented(rotation=math.pi / 2)(x, draws)
    dy, dx = 2 - cy, 3 - cx
    # What is sampled at (x, y) comes from (x cos - y sin, x sin + y cos): a turn of the content by minus the angle.
    y, x_ = cy - dx, cx + dy
    if 0 <= y < height and 0 <= x_ < width:
        assert turned[0, 0, y, x_].item() == pytest.approx(1.0, abs=1e-4)
    else:
        assert turned.max().item() < 0.01


def test_scale_makes_larger() -> None:
    x = torch.zeros(1, 1, 16, 16)
    x[..., 6:10, 6:10] = 1.0
    draws = torch.tensor([0.0, 0, 1, 0, 0, 0, 0])[:, None]
    area = augmented(scale=math.log(2.0))(x, draws).sum().item()
    assert area == pytest.approx(4 * 16.0, rel=0.05)


def test_gamma_and_contrast() -> None:
    x = torch.tensor([0.2, 0.4]).view(1, 1, 1, 2)
    draws = torch.zeros(7, 1)
    draws[4] = 1.0
    torch.testing.assert_close(augmented(gamma=math.log(2.0))(x, draws), x**2)
    draws = torch.zeros(7, 1)
    draws[5] = 1.0
    torch.testing.assert_close(augmented(contrast=math.log(2.0))(x, draws), torch.tensor([0.1, 0.5]).view(1, 1, 1, 2))


def test_opacity_moves_with_the_image_but_its_values_stay() -> None:
    rgba = torch.rand(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    draws = torch.full((7, 2), 1.5)
    changed = augmented(gamma=0.5, contrast=0.5)(rgba, draws, alpha=True)
    assert torch.equal(changed[:, 3:], rgba[:, 3:])
    assert torch.equal(changed[:, :3], augmented(gamma=0.5, contrast=0.5)(rgba[:, :3], draws))
    moved = augmented(shift=2.0, contrast=0.5)(rgba, draws, alpha=True)
    assert torch.equal(moved[:, 3:], augmented(shift=2.0)(rgba[:, 3:], draws))


def test_batches_with_opacity_are_changed_as_such() -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 4), dtype=np.uint8)
    for alpha in (False, True):
        images = ImageSet(numbers, [str(i) for i in range(8)], pixels=PixelFormat(alpha=alpha))
        batches = Batches(images, 4, seed=0)
        opacity = augment.augmented_batch(batches, AugmentSettings(gamma=0.5), "cpu", 0)[:, 3]
        assert torch.equal(opacity, images.pixels.to_unit(batches.at(0))[:, 3]) == alpha


def test_hue_keeps_greys_and_turns_colours() -> None:
    grey = torch.full((1, 3, 2, 2), 0.3)
    draws = torch.zeros(7, 1)
    draws[6] = 1.0
    torch.testing.assert_close(augmented(hue=0.2)(grey, draws), grey, atol=1e-5, rtol=0)
    colour = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1)
    turned = augmented(hue=1 / 3)(colour, draws).flatten().tolist()
    before = colorsys.rgb_to_hsv(*colour.flatten().tolist())[0]
    distance = abs(colorsys.rgb_to_hsv(*turned)[0] - before) % 1.0
    assert min(distance, 1 - distance) == pytest.approx(1 / 3, abs=0.08)
    assert torch.equal(augmented(hue=0.2)(image(), draws), image())


def test_draws_depend_on_seed_and_images_alone() -> None:
    whole = augment.draw(8, seed=1, images=64)
    shares = [augment.draw(8, seed=1, images=64, share=s) for s in (slice(0, 4), slice(4, 8))]
    assert torch.equal(torch.cat(shares, 1), whole)
    assert not torch.equal(augment.draw(8, seed=1, images=72), whole)
    assert not torch.equal(augment.draw(8, seed=2, images=64), whole)
    assert abs(augment.draw(4000, seed=0, images=0).std().item() - 1) < 0.02


def test_augmented_batches_do_not_depend_on_the_number_of_processes() -> None:
    images = ImageSet(
        np.random.default_rng(0).integers(0, 256, (10, 6, 6, 1), dtype=np.uint8), [str(i) for i in range(10)]
    )

    def at_eight(**rank):
        batches = Batches(images, 4, seed=3, flip=True, **rank)
        return augment.augmented_batch(batches, AugmentSettings(shift=1.0, contrast=0.1), "cpu", 8)

    whole = at_eight()
    shares = [at_eight(rank=rank, world_size=2) for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), whole)
    assert not torch.equal(whole, to_unit(Batches(images, 4, seed=3, flip=True).at(8)))
