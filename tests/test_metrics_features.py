from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vaegan.data import open_data
from vaegan.data.dataset import ImageData, ImageSet
from vaegan.errors import UserError
from vaegan.metrics.extractors import learned
from vaegan.metrics.extractors.features import EXTRACTORS, default_extractor, open_extractor, open_layers
from vaegan.metrics.extractors.learned import label_task


def made_set(num, seed, height=12, width=12, **known):
    """Grey noise with a bright line on top and a bright square at the left or right below it."""
    rng = np.random.default_rng(seed)
    right = rng.random(num) < 0.5
    images = rng.integers(0, 60, (num, height, width, 1), dtype=np.uint8)
    for image, is_right in zip(images, right, strict=True):
        image[0] = 250
        image[2:6, 7 if is_right else 1 :][:, :4] = 250
    sides = right.astype(np.int64)
    if "labels" in known:
        known |= {"labels": sides, "label_names": ("left", "right")}
    if "attributes" in known:
        values = np.stack([sides, 10 * rng.random(num), np.ones(num)], 1).astype(np.float32)
        known |= {"attributes": values, "attribute_names": ("right", "size", "constant")}
    return ImageSet(images, [str(i) for i in range(num)], **known)


def made(*known, height=12, width=12):
    wanted = dict.fromkeys(known)
    sets = (made_set(600, 0, height, width, **wanted), made_set(200, 1, height, width, **wanted))
    return ImageData("made", *sets, fingerprint=f"made {height} {width}")


def unit(images: ImageSet) -> torch.Tensor:
    return torch.from_numpy(images.images).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Trainings too short to learn anything."""
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 1000)


@pytest.fixture
def longer(monkeypatch):
    """Trainings of the images here that learn their task."""
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 4000)


def test_hidden_layers_are_differentiable_and_of_another_network_than_the_metrics(tmp_path, caplog):
    caplog.set_level("INFO", "vaegan")
    data = made("labels")
    layers = open_layers(None, data, cache=tmp_path)
    x = unit(data.test)[:3].requires_grad_()
    maps = layers(x)
    assert [tuple(m.shape) for m in maps] == [(3, 32, 6, 6), (3, 64, 3, 3), (3, 128, 2, 2), (3, 128, 1, 1)]
    (slope,) = torch.autograd.grad(sum(m.sum() for m in maps), x)
    assert (slope.flatten(1).abs().sum(1) > 0).all()
    metric = open_extractor(None, data, cache=tmp_path)
    uses = [line.split(" to predict")[0] for line in caplog.messages if line.startswith("training")]
    assert uses == [f"training the feature extractor 'classifier' of the {use}" for use in ("losses", "metrics")]
    classifier = metric._classifier
    torch.testing.assert_close(classifier.body[12:](metric.layers(x)[-1]), classifier.features(x))
    assert not torch.allclose(metric.layers(x)[0], maps[0])
    with pytest.raises(UserError, match="extractor 'pixels' has no hidden layers"):
        open_layers("pixels", data, cache=tmp_path)


@pytest.mark.parametrize(("name", "known"), [("classifier", "labels"), ("classifier", "attributes"), ("rotations", "")])
def test_extractors_have_one_form_and_do_not_depend_on_the_batch(name, known, tmp_path):
    data = made(*known.split())
    assert default_extractor(data) == name
    state = torch.random.get_rng_state()
    extractor = open_extractor(None, data, cache=tmp_path)
    assert extractor.name == name
    x = unit(data.test)
    features = extractor.features(x, batch_size=33)
    assert (features.shape, features.dtype, features.device.type) == ((200, extractor.dim), torch.float32, "cpu")
    torch.testing.assert_close(features, extractor.features(x), atol=1e-4, rtol=1e-4)
    assert extractor.features(x[:0]).shape == (0, extractor.dim)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_classifier_tells_labels_and_attributes_at_once(tmp_path, longer):
    data = made("labels", "attributes")
    extractor = open_extractor("classifier", data, cache=tmp_path)
    assert extractor.label_names == ["left", "right"]
    assert extractor.attribute_names == ["right", "size"]  # what is the same in all images cannot be told
    x, labels = unit(data.test), torch.from_numpy(data.test.labels)
    features = extractor.features(x)
    probabilities = extractor.label_probabilities(features)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(200))
    assert (probabilities.argmax(1) == labels).float().mean() > 0.97
    attributes = extractor.attribute_probabilities(features)
    assert ((attributes[:, 0] > 0.5) == labels.bool()).float().mean() > 0.97


def test_rotations_are_told_and_images_that_are_not_square_are_turned_by_half(tmp_path, longer):
    for height, num_turns in ((12, 4), (16, 2)):
        data = made(height=height)
        extractor = open_extractor("rotations", data, cache=tmp_path)
        logits = extractor._classifier(unit(data.test).rot90(2, (2, 3)))
        assert logits.shape[1] == num_turns
        assert (logits.argmax(1) == num_turns // 2).float().mean() > 0.9


def test_one_is_kept_by_data_answers_and_seed(tmp_path):
    data = made("labels")
    first = open_extractor("classifier", data, cache=tmp_path)
    (path,) = (tmp_path / "extractors").iterdir()
    stamp = path.stat().st_mtime_ns
    again = open_extractor("classifier", data, cache=tmp_path)
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.features(unit(data.test)), first.features(unit(data.test)))
    assert path.stat().st_mtime_ns == stamp
    swapped = replace(data.train, labels=1 - data.train.labels)
    others = [
        open_extractor("classifier", data, seed=1, cache=tmp_path),
        open_extractor("classifier", replace(data, fingerprint="other"), cache=tmp_path),
        open_extractor("classifier", replace(data, train=swapped), cache=tmp_path),
    ]
    assert len(list((tmp_path / "extractors").iterdir())) == 4
    assert others[0].fingerprint != first.fingerprint != others[2].fingerprint
    path.write_bytes(path.read_bytes()[:1000])
    assert open_extractor("classifier", data, cache=tmp_path).fingerprint == first.fingerprint


def test_pixels_are_pixels_and_large_images_are_averaged_down():
    x = torch.rand(5, 3, 8, 8)
    data = ImageData("x", *[ImageSet(np.zeros((2, 8, 8, 3), np.uint8), ["0", "1"])] * 2, fingerprint="x")
    extractor = open_extractor("pixels", data)
    assert torch.equal(extractor.features(x, batch_size=2), x.flatten(1))
    large = replace(data, train=ImageSet(np.zeros((2, 64, 96, 1), np.uint8), ["0", "1"]))
    x = torch.rand(3, 1, 64, 96)
    expected = x.unfold(2, 2, 2).unfold(3, 3, 3).mean((4, 5)).flatten(1)
    torch.testing.assert_close(open_extractor("pixels", large).features(x), expected)


def test_unknown_attributes_take_no_part():
    images = made_set(50, 0, attributes=None)
    images.attributes[::2, 0] = np.nan
    task = label_task(images)
    assert (task.label_names, task.attribute_names, task.num_outputs) == ((), ("right", "size"), 2)


def test_mistakes_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"extractor 'clasifier' is unknown \(perhaps you meant 'classifier'\)"):
        open_extractor("clasifier", made(), cache=tmp_path)
    with pytest.raises(UserError, match=r"made: there are no labels or attributes .* use rotations"):
        open_extractor("classifier", made(), cache=tmp_path)
    extractor = open_extractor("rotations", made(), cache=tmp_path)
    with pytest.raises(UserError, match=r"was trained on images \(1, 12, 12\), not \(1, 8, 8\)"):
        extractor.features(torch.zeros(1, 1, 8, 8))
    assert "classifier" in EXTRACTORS


@pytest.mark.slow
def test_on_mnist_it_is_right_in_97_of_a_hundred(tmp_path, monkeypatch):
    root = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    if not root.is_dir():
        pytest.skip("no MNIST in ../shared/data/mnist")
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 24_000)
    data = open_data("mnist", root=root)
    extractor = open_extractor(None, data, cache=tmp_path)
    told = extractor.label_probabilities(extractor.features(unit(data.test))).argmax(1)
    assert (told == torch.from_numpy(data.test.labels)).float().mean() > 0.975


@pytest.mark.parametrize(
    ("shown", "size"),
    [(36_000, "600 images, 60 passes"), (700, "600 images, 1 pass"), (240, "240 images, 1 pass"), (1_200_000, "2,000")],
)
def test_the_log_says_of_how_many_images_an_extractor_makes_how_many_passes(shown, size, tmp_path, monkeypatch, caplog):
    def fit(*args, **options):
        raise UserError("not trained here")

    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: shown)
    monkeypatch.setattr(learned, "fit", fit)
    with caplog.at_level("INFO", "vaegan"), pytest.raises(UserError, match="not trained here"):
        open_extractor("classifier", made("labels"), cache=tmp_path)
    assert f"to predict labels and attributes, on {'600 images, ' * (shown > 10**6)}{size}" in caplog.text
