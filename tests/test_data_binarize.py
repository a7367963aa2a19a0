"""Black and white images: drawn once where they are measured, again for each batch where they are dynamic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vaegan.data import ImageSet, binarize
from vaegan.data.augment import augmented_batch
from vaegan.data.batches import Batches
from vaegan.distributed import World
from vaegan.errors import UserError
from vaegan.pixels import PixelFormat
from vaegan.recipes import config_for
from vaegan.settings import AugmentSettings
from vaegan.training import factories

GREYS = np.array([0, 64, 191, 255], np.uint8)


def greys(num: int = 2000, pixels: PixelFormat | None = None) -> ImageSet:
    images = np.tile(GREYS, (num, 1)).reshape(num, 2, 2, 1)
    return ImageSet(images, [str(i) for i in range(num)], pixels=pixels or PixelFormat())


def shares_of_white(images: np.ndarray) -> np.ndarray:
    return (images > images.min()).reshape(-1, 4).mean(0)


def test_drawn_once_with_the_grey_values_as_probabilities(opened, tmp_path):
    np.save(tmp_path / "x.npy", greys().images)
    grey = opened(tmp_path / "x.npy")
    data, again, fixed = (opened(tmp_path / "x.npy", binarize=how) for how in ("dynamic", "dynamic", "fixed"))
    for side in ("train", "test"):
        images = data.split(side).images
        assert set(np.unique(images)) == {0, 255}
        assert shares_of_white(images) == pytest.approx(GREYS / 255, abs=0.07)
        assert (images[0::2] != images[1::2]).any()
        for other in (again, fixed):
            np.testing.assert_array_equal(images, other.split(side).images)
    assert grey.grey is None
    np.testing.assert_array_equal(data.grey.images, grey.train.images)
    assert data.fingerprint == fixed.fingerprint != grey.fingerprint
    assert "each pixel drawn black or white" in data.summary()[0]


def test_decoded_images_of_earlier_runs_are_used(opened, told_images, tmp_path, monkeypatch):
    grey = opened(told_images)
    monkeypatch.setattr("vaegan.data.cache.make", lambda *_: pytest.fail("decoded again"))
    data = opened(told_images, binarize="dynamic")
    np.testing.assert_array_equal(data.grey.images, grey.train.images)
    assert (data.train.labels == grey.train.labels).all()


def test_other_numbers_are_drawn_as_their_lowest_and_highest(opened, tmp_path):
    floats = greys(50).images.astype(np.float32) / 255 * 4 - 2
    np.save(tmp_path / "x.npy", floats)
    images = opened(tmp_path / "x.npy", binarize="fixed", range=(-2, 2)).train.images
    assert images.dtype == np.float32
    assert set(np.unique(images)) == {-2.0, 2.0}


def test_too_many_are_refused(opened, images_file, monkeypatch):
    monkeypatch.setattr(binarize, "_MOST", 5000)
    with pytest.raises(UserError, match=r"blobs: --data.binarize holds all images in memory, .* set --data.limit"):
        opened(images_file, binarize="fixed")
    opened(images_file, binarize="fixed", limit=40)


def dynamic(images_seen: int, rank: int = 0, world_size: int = 1, seed: int = 3, **augment: float) -> torch.Tensor:
    batches = Batches(greys(), 600, seed=seed, rank=rank, world_size=world_size)
    return augmented_batch(batches, AugmentSettings(**augment), "cpu", images_seen, binarize=True)


def test_dynamic_images_are_drawn_for_each_batch():
    first, next_epoch = dynamic(0), dynamic(2400)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    for x in (first, next_epoch):
        assert x.flatten(1).mean(0).tolist() == pytest.approx((GREYS / 255).tolist(), abs=0.07)
    assert not torch.equal(first, next_epoch)
    assert not torch.equal(first, dynamic(0, seed=4))
    assert torch.equal(first, dynamic(0))
    assert torch.equal(torch.cat([dynamic(0, rank, 2) for rank in (0, 1)]), first)
    assert set(dynamic(0, shift=0.3).unique().tolist()) == {0.0, 1.0}


def test_training_batches_are_of_the_grey_images_where_they_are_dynamic(opened, images_file):
    settings = {"data": str(images_file), "train.batch_size": 16}
    batches = {}
    for how in ("none", "dynamic", "fixed"):
        config = config_for("bce-mnist-vae", settings | {"data.binarize": how})
        data = opened(images_file, binarize=how)
        batches[how] = factories.build_batches(config, data, None, World(), torch.device("cpu"))[0]
    grey = batches["none"](0).permute(0, 3, 1, 2) / 255
    fixed = batches["fixed"](0).permute(0, 3, 1, 2) / 255
    drawn = batches["dynamic"](0)
    assert set(fixed.unique().tolist()) == set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(fixed, drawn)
    for x in (fixed, drawn):
        assert (x[grey == 0] == 0).all()
        assert (x[grey > 0.95] == 1).float().mean() > 0.9


def test_a_run_with_several_draws_resumes_bit_for_bit(command, tiny_of, tmp_path):
    words = [*tiny_of("vae"), "--data.binarize", "dynamic", "--loss.draws", "3", "--data.cache", tmp_path]
    half, whole = tmp_path / "half", tmp_path / "whole"
    assert command("train", *words, "--train.images", "48", "--out", whole) == 0
    assert command("train", *words, "--train.images", "16", "--out", half) == 0
    before = load_file(half / "model" / "model.safetensors")
    assert command("train", *words, "--train.images", "48", "--out", half) == 0
    after, expected = (load_file(run / "model" / "model.safetensors") for run in (half, whole))
    assert all(torch.equal(tensor, after[name]) for name, tensor in expected.items())
    assert not all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert command("train", *words, "--data.binarize", "fixed", "--out", half) == 2
