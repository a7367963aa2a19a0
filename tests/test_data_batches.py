from __future__ import annotations

import numpy as np
import pytest
import torch

from vaegan.data import ImageSet, batches
from vaegan.data.batches import Batches
from vaegan.errors import UserError


def numbered(num_images: int) -> ImageSet:
    """Images of 2 x 3 pixels that tell their index (left column 10 + i) and their side (right column 0)."""
    images = np.zeros((num_images, 2, 3, 1), np.uint8)
    images[:, :, 0, 0] = 10 + np.arange(num_images)[:, None]
    return ImageSet(images, [str(i) for i in range(num_images)])


def stream(given: Batches, num_batches: int) -> np.ndarray:
    return np.concatenate([given.indices(i * given.batch_size) for i in range(num_batches)])


@pytest.mark.parametrize(("num_images", "batch_size"), [(20, 6), (7, 7), (5, 12), (1, 3)])
def test_each_epoch_sees_each_image_once(num_images, batch_size):
    seen = stream(Batches(numbered(num_images), batch_size, seed=3), 10)
    for epoch in range(len(seen) // num_images):
        part = seen[epoch * num_images : (epoch + 1) * num_images]
        assert sorted(part) == list(range(num_images))
        np.testing.assert_array_equal(part, np.random.default_rng((3, epoch)).permutation(num_images))


def test_epochs_and_seeds_differ():
    seen = stream(Batches(numbered(50), 50, seed=0), 2)
    assert (seen[:50] != seen[50:]).any()
    assert (seen[:50] != stream(Batches(numbered(50), 50, seed=1), 1)).any()


def test_any_place_of_the_stream_can_be_asked_for_in_any_order():
    given = Batches(numbered(20), 6, seed=0)
    whole = stream(given, 40)
    for start in (231, 0, 77, 5, 200):
        np.testing.assert_array_equal(given.indices(start)[:3], whole[start : start + 3])


@pytest.mark.parametrize("flip", [False, True])
def test_shares_of_ranks_make_up_the_batch(flip):
    images = numbered(20)
    whole = Batches(images, 12, seed=5, flip=flip)
    for seen in (0, 12, 24, 1000):
        shares = [Batches(images, 12, seed=5, rank=r, world_size=4, flip=flip).at(seen) for r in range(4)]
        assert all(share.shape == (3, 2, 3, 1) for share in shares)
        assert torch.equal(torch.cat(shares), whole.at(seen))


def test_images_come_as_indexed():
    images = numbered(20)
    given = Batches(images, 8, seed=0)
    assert given.at(16).dtype == torch.uint8
    np.testing.assert_array_equal(given.at(16).numpy(), images.images[given.indices(16)])


def test_flips_mirror_about_half_of_the_images():
    images = numbered(40)
    given = Batches(images, 40, seed=0, flip=True)
    flipped = 0
    for seen in range(0, 4000, 40):
        plain = images.images[given.indices(seen)]
        batch = given.at(seen).numpy()
        mirrored = (batch[:, :, 2] > 0).all((1, 2))
        np.testing.assert_array_equal(batch, np.where(mirrored[:, None, None, None], plain[:, :, ::-1], plain))
        flipped += mirrored.sum()
    assert abs(flipped - 2000) < 4 * np.sqrt(4000 / 4)


def test_flips_repeat_and_change_with_the_place():
    given = Batches(numbered(8), 8, seed=0, flip=True)
    assert torch.equal(given.at(8), given.at(8))
    sides = [tuple(given.at(seen)[:, 0, 2, 0].gt(0).tolist()) for seen in range(0, 64, 8)]
    assert len(set(sides)) > 1


def test_a_batch_may_be_changed_without_harm():
    images = numbered(6)
    Batches(images, 6, seed=0).at(0).zero_()
    assert (images.images[:, :, 0] >= 10).all()


def test_uneven_shares_are_refused():
    with pytest.raises(UserError, match=r"--train.batch-size 10 .* 4 processes"):
        Batches(numbered(20), 10, seed=0, world_size=4)
    with pytest.raises(UserError, match="a batch needs at least 1 image, not 0"):
        Batches(numbered(20), 0, seed=0)


def test_forgetting_pages_keeps_a_mapped_array_intact(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "_PIECE", 1000)
    pixels = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 3), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    given = Batches(ImageSet(mapped, []), 50, seed=0)
    assert given._pages is not None
    for seen in range(0, 1500, 50):
        np.testing.assert_array_equal(given.at(seen).numpy(), pixels[given.indices(seen)])
    np.testing.assert_array_equal(mapped, pixels)


def test_changes_of_a_writable_map_are_never_forgotten(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((10, 4, 4, 1), np.uint8))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="c")
    mapped[:] = 7
    given = Batches(ImageSet(mapped, []), 10, seed=0)
    for seen in (0, 10):
        assert (given.at(seen) == 7).all()
