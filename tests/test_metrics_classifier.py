from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.metrics.extractors.classifier import balanced_accuracy, saved_or_trained, train_classifier


def drawn(num, seed):
    """Noise with a bright square, on the left or right, and a light or dark ground: two attributes, one rare."""
    rng = np.random.default_rng(seed)
    right, light = rng.random(num) < 0.5, rng.random(num) < 0.1
    images = rng.integers(0, 60, (num, 12, 12, 1), dtype=np.uint8) + (100 * light).astype(np.uint8)[:, None, None, None]
    for image, is_right in zip(images, right, strict=True):
        left = 7 if is_right else 1
        image[4:8, left : left + 4] = 250
    return ImageSet(images, []), torch.from_numpy(np.stack([right, light], 1).astype(np.float32))


def test_it_learns_place_and_a_rare_attribute_from_images_half_of_which_are_unknown():
    images, targets = drawn(1000, 0)
    targets[::2, 0] = torch.nan
    targets[1::2, 1] = torch.nan
    classifier = train_classifier(images, targets, num_images=5000)
    images, targets = drawn(300, 1)
    probabilities = classifier.predict(images.unit(), batch_size=64)
    assert probabilities.shape == (300, 2)
    assert balanced_accuracy(probabilities, targets).min() > 0.97


def test_a_seed_gives_the_same_classifier_and_leaves_torch_alone():
    images, targets = drawn(50, 0)
    state = torch.random.get_rng_state()
    weights = [
        torch.cat([p.flatten() for p in train_classifier(images, targets, seed=seed, num_images=300).parameters()])
        for seed in (3, 3, 4)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_balanced_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities, targets = rng.random((200, 3)), (rng.random((200, 3)) < [0.1, 0.5, 0.9]).astype(np.float32)
    found = balanced_accuracy(torch.from_numpy(probabilities), torch.from_numpy(targets))
    expected = [balanced_accuracy_score(targets[:, i], probabilities[:, i] > 0.5) for i in range(3)]
    assert found.tolist() == pytest.approx(expected)
    assert balanced_accuracy(torch.ones(2, 1), torch.ones(2, 1)).isnan().all()


def test_a_file_that_cannot_be_written_is_an_error_before_the_training(tmp_path):
    trained = []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/extractors/a\.safetensors: "):
        saved_or_trained(tmp_path / "file/extractors/a.safetensors", (1, 4, 4), 2, lambda: trained.append(1))
    assert not trained


def test_an_error_of_its_images_is_not_one_of_its_file(tmp_path):
    def train():
        raise OSError(errno.EIO, "Input/output error", "images.npy")

    with pytest.raises(OSError, match=r"Input/output error: 'images\.npy'"):
        saved_or_trained(tmp_path / "extractors/a.safetensors", (1, 4, 4), 2, train)
    assert list(tmp_path.iterdir()) == []
