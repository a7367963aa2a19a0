"""The answer to "do I need my own?": who reconstructs best, image by image, in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaegan.evaluation.best_reconstructions import best_reconstructions
from vaegan.evaluation.comparison import ComparedModel
from vaegan.metrics.bootstrap import bootstrap_mean, paired_ratio


def model(name, factor=1.0, pixels=1.0, *, published=False, by="feature_distance", num=1000, noise=0.05):
    """A model whose error of each image is that of the others, which differs much, times about a factor."""
    images = np.random.default_rng(0).lognormal(-3.0, 1.0, num)
    own = np.random.default_rng(list(map(ord, name))).normal(1.0, noise, num)
    values = {by: factor * images * own, "mse": pixels * images * own}
    values |= {"mse_edges": 3 * values["mse"], "mse_smooth": values["mse"] * (1.0 if factor == 1 else 0.98)}
    return ComparedModel(name, [], {key: torch.from_numpy(each) for key, each in values.items()}, published)


def test_the_same_images_are_drawn_for_both():
    a, b = model("a", 0.97).values["mse"], model("b").values["mse"]
    found = paired_ratio(0.97 * a, b, seed=3, num_resamples=200)
    generator = torch.Generator().manual_seed(3)
    draws = torch.randint(1000, (200, 1000), generator=generator)
    ratios = (0.97 * a)[draws].mean(1) / b[draws].mean(1)
    assert (found.low, found.high) == pytest.approx(np.quantile(ratios, (0.025, 0.975)).tolist())
    assert found.value == pytest.approx(float(0.97 * a.mean() / b.mean()))
    assert found.high < 0.98  # though each mean by itself is far less certain
    alone = bootstrap_mean(b, seed=3)
    assert alone.high / alone.low > 1.1
    same = paired_ratio(b, b)
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (
            [model("kl", 0.8, 0.9), model("sd", published=True)],
            "Do you need your own? Yes: kl reconstructs 1,000 held-out images better than sd. Its feature MSE is 20 % "
            "lower (95 % interval: 19 to 21 %), and its per-pixel MSE is 10 % lower (9.4 to 11 %): 10 % lower at "
            "edges, 12 % lower in smooth areas.",
        ),
        (
            [model("kl", 0.97, 1.3), model("sd", published=True)],
            "Do you need your own? Hardly: kl reconstructs 1,000 held-out images better than sd. Its feature MSE is "
            "3.0 % lower (95 % interval: 2.4 to 3.7 %), but its per-pixel MSE is 30 % higher (29 to 31 %): 30 % higher "
            "at edges, 27 % higher in smooth areas.",
        ),
        (
            [model("kl", 1.2, 1.0), model("sd", published=True)],
            "Do you need your own? No: sd reconstructs 1,000 held-out images better than kl. Its feature MSE is 17 % "
            "lower (95 % interval: 16 to 17 %), and its per-pixel MSE differs by at most 0.8 %: equal at edges, "
            "2.1 % higher in smooth areas.",
        ),
        (
            [model("kl"), model("sd", published=True)],
            "Do you need your own? No clear difference: on 1,000 held-out images, the feature MSE of kl and sd differs "
            "by at most 0.8 %; the per-pixel MSE of kl differs by at most 0.8 %: equal at edges, equal in smooth "
            "areas.",
        ),
        (
            [model("a", 0.5), model("b", 0.7), model("sd", 0.9, published=True), model("flux", 0.6, published=True)],
            "Yes: a reconstructs 1,000 held-out images better than flux, the best published one. Its feature MSE is 17",
        ),
        (
            [model("a", 0.7), model("b", 0.6), model("sd", 0.5, published=True)],
            "No: sd reconstructs 1,000 held-out images better than b, your best. Its feature MSE is 18",
        ),
        (
            [model("a", 0.5, num=53), model("b", 0.8, num=53)],
            "a reconstructs 53 held-out images better than b. Its feature MSE is 39",
        ),
        (
            [model("a", 0.9), model("b", 0.8), model("c", 0.5)],
            "c reconstructs 1,000 held-out images better than b, the next best. Its feature MSE is 38",
        ),
        ([model("kl"), model("sd")], "No clear difference: on 1,000 held-out images, the feature MSE of"),
    ],
)
def test_the_sentence(models, sentence):
    (found,) = {best_reconstructions(order) for order in (models, models[::-1])}
    assert sentence in found
    has_published = any(each.is_published for each in models)
    assert found.startswith("Do you") == has_published
    of_seeds = not has_published and "No clear difference" not in found
    assert found.endswith(" The intervals are over images; other seeds may differ more.") == of_seeds


def test_lpips_decides_where_all_have_it():
    a, b = model("a", 0.5, by="lpips"), model("b", 0.8, by="lpips")
    for one, factor in ((a, 2.0), (b, 1.0)):
        one.values["feature_distance"] = factor * one.values["mse"]
    assert "a reconstructs 1,000 held-out images better than b. Its LPIPS is 3" in best_reconstructions([a, b])
    del b.values["lpips"]
    assert "b reconstructs 1,000 held-out images better than a. Its feature MSE is 5" in best_reconstructions([a, b])


def test_without_two_models_that_reconstruct_there_is_no_answer():
    assert best_reconstructions([model("a"), ComparedModel("gan", [])]) == ""
