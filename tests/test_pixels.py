from __future__ import annotations

import numpy as np
import pytest
import torch

from vaegan.pixels import ImageRange, to_uint8, to_unit

EVERY = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
RANGES = [ImageRange(), ImageRange(-1.0, 1.0), ImageRange(0.25, 2.0)]


def test_to_unit_scales_and_moves_channels():
    batch = torch.randint(0, 256, (4, 5, 6, 3), dtype=torch.uint8)
    x = to_unit(batch)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(x.numpy(), batch.numpy().transpose(0, 3, 1, 2).astype(np.float32) / 255)
    assert to_unit(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)).item() == 1.0


@pytest.mark.parametrize("image_range", RANGES)
def test_training_images_are_one_product_and_one_sum(image_range):
    low, high = image_range
    factor = np.float32((high - low) / 255)
    x = image_range.from_bytes(torch.from_numpy(EVERY))
    np.testing.assert_array_equal(x.numpy().reshape(16, 16, 1), EVERY[0].astype(np.float32) * factor + np.float32(low))


@pytest.mark.parametrize("image_range", RANGES)
def test_there_and_back(image_range):
    x = to_unit(torch.from_numpy(EVERY))
    inside = image_range.from_unit(x)
    assert (inside.min().item(), inside.max().item()) == tuple(image_range)
    torch.testing.assert_close(inside, image_range.from_bytes(torch.from_numpy(EVERY)))
    assert np.array_equal(to_uint8(image_range.to_unit(inside)), EVERY)


def test_bytes_come_back_exactly():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = torch.from_numpy(every).permute(0, 3, 1, 2).float() / 255
    assert np.array_equal(to_uint8(floats), every)
    assert to_uint8(every) is every


def test_halves_are_rounded_up_and_the_rest_clipped():
    values = torch.tensor([0.5 / 255, 1.5 / 255, 0.49 / 255, 2.0, -1.0, float("nan")], dtype=torch.float64)
    assert to_uint8(values.reshape(1, 1, 1, 6)).ravel().tolist() == [1, 2, 0, 255, 0, 0]


def test_channels_move_last_also_of_frames_and_of_many_images():
    floats = torch.rand(3, 400, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    result = to_uint8(floats)
    assert result.shape == (3, 400, 2, 4, 3)
    expected = (floats.double() * 255 + 0.5).floor().permute(0, 1, 3, 4, 2).numpy()
    assert np.abs(result - expected).max() == 0
