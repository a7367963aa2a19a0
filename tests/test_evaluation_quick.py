from __future__ import annotations

import pytest
import torch

from vaegan.data import open_data
from vaegan.data.conditions import Conditioning
from vaegan.evaluation.image_metrics import moments_of, quick_scores
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import open_extractor
from vaegan.models import Model
from vaegan.recipes import config_for


@pytest.fixture(scope="module")
def data():
    return open_data("digits")


def test_both_figures_are_those_computed_at_once(make_model, data):
    model, extractor = make_model(), open_extractor("pixels", data)
    x = torch.from_numpy(data.test.images).permute(0, 3, 1, 2) / 255
    found = quick_scores(model, data.test, extractor, 100, seed=3, batch_size=32)
    reference = Moments(x.flatten(1))
    expected = {
        "frechet_samples": frechet_distance(Moments(model.sample(100, seed=3).flatten(1)), reference),
        "frechet_reconstructions": frechet_distance(Moments(model.reconstruct(x[:100]).flatten(1)), reference),
    }
    assert found == pytest.approx(expected, rel=1e-4)
    kept = moments_of(data.test, extractor)
    assert quick_scores(model, data.test, extractor, 100, 3, reference=kept) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("kind", "names"), [("gan", {"frechet_samples"}), ("ae", {"frechet_reconstructions"})])
def test_what_needs_a_missing_part_is_left_out(make_model, kind, names, data):
    scores = quick_scores(make_model(kind), data.test, open_extractor("pixels", data), 50)
    assert set(scores) == names


def test_fewer_samples_than_held_out_images_have_their_own_conditions(data):
    condition = Conditioning("labels", ("even", "odd"))
    network = config_for("digits").model.model_dump() | {"condition": condition.kind, "condition_dim": 2}
    model = Model.from_architecture({"image_shape": [1, 8, 8], **network}, {"condition": condition.as_json()})
    extractor = open_extractor("pixels", data)
    x, c = data.test.unit(slice(50)), torch.eye(2)[torch.arange(len(data.test)) % 2]
    found = quick_scores(model, data.test, extractor, 50, condition=c)
    x_tilde = model.reconstruct(x, condition=c[:50])
    expected = frechet_distance(Moments(x_tilde.flatten(1)), moments_of(data.test, extractor))
    assert found["frechet_reconstructions"] == pytest.approx(expected, rel=1e-4)
