from __future__ import annotations

import pytest
import torch

from vaegan.data import open_data
from vaegan.evaluation.image_metrics import moments_of, quick_scores
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import open_extractor


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
