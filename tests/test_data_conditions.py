"""Conditions: of labels, of attributes, of images; what is written comes back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vaegan.data import ImageData, ImageSet
from vaegan.data.conditions import Conditioning, conditioning_of
from vaegan.errors import UserError

NAN = float("nan")
TRAIN = np.array([[0, 2.0, NAN, 7], [1, NAN, NAN, 7], [1, 4.0, NAN, 7], [NAN, 9.0, NAN, 7]], np.float32)
TEST = np.array([[1, 5.0, 3.0, 7], [0, NAN, NAN, 7]], np.float32)


def images(attributes: np.ndarray | None = None, labels: list[int] | None = None) -> ImageSet:
    num = len(labels if attributes is None else attributes)
    return ImageSet(
        np.zeros((num, 4, 4, 1), np.uint8),
        [str(i) for i in range(num)],
        None if labels is None else np.array(labels),
        () if labels is None else ("2", "cat", "0"),
        attributes,
        () if attributes is None else ("smiling", "age", "unknown", "same"),
    )


@pytest.fixture
def attributes() -> Conditioning:
    return conditioning_of(ImageData("faces", images(TRAIN), images(TEST), ""), "attributes")


@pytest.fixture
def labels() -> Conditioning:
    return conditioning_of(ImageData("pets", images(labels=[0, 1, 2]), images(labels=[2]), ""), "labels")


def test_labels_are_one_hot(labels: Conditioning) -> None:
    assert labels.names == ("2", "cat", "0")
    c = labels.of_images(images(labels=[2, 0, 1, 1]), np.array([0, 3, 1]))
    assert c.dtype == torch.float32
    assert c.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_label_is_a_name_first_and_an_index_otherwise(labels: Conditioning) -> None:
    assert labels.of_labels(["cat", 2, "0", 1]).argmax(1).tolist() == [1, 0, 2, 1]


def test_two_values_become_minus_one_and_one_others_are_standardised(attributes: Conditioning) -> None:
    c = attributes.of_images(images(TRAIN))
    age = TRAIN[[0, 2, 3], 1].astype(np.float64)
    np.testing.assert_allclose(c[[0, 1, 2], 0], [-1, 1, 1])
    np.testing.assert_allclose(c[[0, 2, 3], 1], (age - age.mean()) / age.std(), rtol=1e-6)
    np.testing.assert_allclose(c[:, 3], 0)


def test_what_is_unknown_counts_as_the_mean_of_the_training_images(attributes: Conditioning) -> None:
    c = attributes.of_images(images(TEST), slice(1, 2))
    np.testing.assert_allclose(c, [[-1, 0, 0, 0]], atol=1e-6)
    assert attributes.of_images(images(TRAIN))[3, 0].item() == pytest.approx(2 * 2 / 3 - 1)


def test_attributes_asked_for_take_the_rest_from_held_out_images_in_turn(attributes: Conditioning) -> None:
    c = attributes.of_attributes({"smiling": 1, "age": 4}, 5)
    rest = attributes.of_images(images(TEST))
    at = torch.arange(5) % 2
    torch.testing.assert_close(c[:, 2:], rest[at, 2:])
    torch.testing.assert_close(c[:, 0], torch.ones(5))
    torch.testing.assert_close(c[:, 1], attributes.of_images(images(TRAIN))[2, 1].repeat(5))
    torch.testing.assert_close(attributes.in_turn(5), rest[at])


def test_labels_in_turn(labels: Conditioning) -> None:
    assert labels.in_turn(4).argmax(1).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("kind", ["labels", "attributes"])
def test_json_and_back(kind: str, request: pytest.FixtureRequest) -> None:
    conditioning = request.getfixturevalue(kind)
    assert Conditioning.from_json(json.loads(json.dumps(conditioning.as_json()))) == conditioning


def test_columns_are_found_by_name(attributes: Conditioning) -> None:
    turned = images(TEST[:, ::-1].copy())
    turned = ImageSet(turned.images, turned.names, None, (), turned.attributes, turned.attribute_names[::-1])
    torch.testing.assert_close(attributes.of_images(turned), attributes.of_images(images(TEST)))


def test_what_cannot_be_said(labels: Conditioning, attributes: Conditioning) -> None:
    wrong = {
        "has no label 'cut' .perhaps you meant 'cat'.; available: ": lambda: labels.of_labels(["cut"]),
        "has no label '3'; available: 2, cat, 0": lambda: labels.of_labels([3]),
        "has no attribute 'smile' .perhaps": lambda: attributes.of_attributes({"smile": 1}, 2),
        "is conditional on labels, not attributes": lambda: labels.of_attributes({"smiling": 1}, 2),
        "is conditional on attributes, not labels": lambda: attributes.of_labels(["cat"]),
        "needs images with the labels 2, cat, 0, but these have no labels": lambda: labels.of_images(images(TEST)),
        "with the attributes .*, but these have no attributes": lambda: attributes.of_images(images(labels=[0])),
        "pets has no attributes; put an attributes.csv": lambda: conditioning_of(
            ImageData("pets", images(labels=[0]), images(labels=[0]), ""), "attributes"
        ),
        "faces has no labels; sort its images": lambda: conditioning_of(
            ImageData("faces", images(TRAIN), images(TEST), ""), "labels"
        ),
    }
    for message, mistake in wrong.items():
        with pytest.raises(UserError, match=message) as caught:
            mistake()
        assert "\n" not in str(caught.value)
