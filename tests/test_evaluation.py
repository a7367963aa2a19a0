from __future__ import annotations

import itertools
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch.distributions import Bernoulli, Normal, kl_divergence

from vaegan import progress
from vaegan.data import open_data
from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.evaluation import code_metrics, image_metrics
from vaegan.evaluation import reference as reference_module
from vaegan.evaluation.code_metrics import code_figures, likelihood_figures
from vaegan.evaluation.image_metrics import baseline_figures, label_figures, sample_figures
from vaegan.evaluation.measure import evaluate
from vaegan.evaluation.reference import Reference, distribution_figures, open_real_images
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors import learned
from vaegan.metrics.extractors.features import open_extractor
from vaegan.metrics.image_quality import laplacian_variance
from vaegan.models import Model, inference
from vaegan.recipes import config_for


def make_model(kind="vaegan"):
    config = config_for("digits", {"model.kind": kind})
    torch.manual_seed(0)
    return Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()})


@pytest.fixture(scope="module")
def data():
    return open_data("digits")


@pytest.fixture
def real(data, tmp_path):
    return open_real_images(data, open_extractor("pixels", data), num=200, batch_size=64, cache=tmp_path)


def unit(images):
    return torch.from_numpy(images.images).permute(0, 3, 1, 2).float() / 255


def numbers(figures):
    return {name: one.value for name, one in figures.items()}


def test_every_figure_has_an_interval_around_it_a_count_and_the_seed():
    rng = np.random.default_rng(0)
    real, made = (torch.from_numpy(rng.normal(size=(300, 5))).float() for _ in range(2))
    found = distribution_figures(made + 0.3, Reference(real), seed=7)
    assert set(found) == {"frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"}
    for one in found.values():
        assert one.low <= one.value <= one.high
        assert (one.num in (300,), one.seed) == (True, 7)
    assert found["frechet_distance"].value == pytest.approx(frechet_distance(Moments(made + 0.3), Moments(real)))


def test_real_images_as_samples_have_the_figures_of_the_baseline(real):
    found = sample_figures(torch.split(unit(real.baseline_images), 32), real)
    assert found["frechet_ratio"].value == pytest.approx(1, rel=1e-4)
    for name, value in numbers(real.baseline).items():
        assert found[name].value == pytest.approx(value, rel=1e-3), name
    noise = sample_figures([torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))], real)
    assert noise["frechet_ratio"].value > 5
    assert noise["precision"].value < 0.1


def test_features_of_real_images_are_cached_by_data_split_extractor_count_and_seed(data, tmp_path, monkeypatch):
    pixels = open_extractor("pixels", data)
    first = open_real_images(data, pixels, num=100, seed=1, cache=tmp_path)
    expected = unit(data.test.some(100, 1)).flatten(1)
    assert torch.equal(first.reference.features, expected)
    files = set((tmp_path / "features").iterdir())
    assert len(files) == 2
    with monkeypatch.context() as patch:
        patch.setattr(reference_module, "features_of", lambda *_: pytest.fail("computed again"))
        turned = open_real_images(data, pixels, num=100, seed=1, split="train", cache=tmp_path)
    assert torch.equal(turned.baseline_features, expected)
    assert torch.equal(turned.reference.features, first.baseline_features)
    open_real_images(data, pixels, num=50, seed=1, cache=tmp_path)
    of_seed = open_real_images(data, pixels, num=100, seed=2, cache=tmp_path)
    assert torch.equal(of_seed.reference.features, unit(data.test.some(100, 2)).flatten(1))
    other = open_extractor("pixels", data)
    other.fingerprint = "another"
    open_real_images(data, other, num=100, seed=1, cache=tmp_path)
    assert len(list((tmp_path / "features").iterdir())) == 8
    for path in files:
        path.write_bytes(path.read_bytes()[:500])
    again = open_real_images(data, pixels, num=100, seed=1, cache=tmp_path)
    assert torch.equal(again.reference.features, expected)


def test_features_that_cannot_be_cached_are_not_lost(data, tmp_path, caplog):
    (tmp_path / "features").touch()
    real = open_real_images(data, open_extractor("pixels", data), num=100, seed=1, cache=tmp_path)
    assert torch.equal(real.reference.features, unit(data.test.some(100, 1)).flatten(1))
    assert "the next evaluation computes these features again" in caplog.text


def test_slow_steps_are_not_silent(data, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress.time, "monotonic", itertools.count(0, 40).__next__)
    with caplog.at_level(logging.INFO, "vaegan"):
        evaluate(make_model(), data, extractor=open_extractor("pixels", data), num=60, batch_size=20, cache=tmp_path)
    for what, num in (("measuring", 3), ("measuring samples", 3), ("measuring the likelihood", 64), ("encoding", 3)):
        assert [line for line in caplog.messages if line.startswith(f"{what}: 2 of {num} steps, ")]


@pytest.mark.parametrize(
    ("kind", "has_samples", "has_codes"),
    [("vaegan", True, True), ("vae", True, True), ("gan", True, False), ("ae", False, True)],
)
def test_every_kind_of_model_is_measured_as_far_as_it_has_the_parts(kind, has_samples, has_codes, data, tmp_path):
    model = make_model(kind)
    report = evaluate(model, data, extractor=open_extractor("pixels", data), num=150, cache=tmp_path)
    json.dumps(report, allow_nan=False)
    assert list(report["samples"]) == (["normal"] if has_samples else [])
    assert bool(report["reconstructions"]) == has_codes
    assert report["yardstick"]["coverage"]["num"] == 150
    assert ("reconstructions" in report["left_out"], "samples" in report["left_out"]) == (
        not has_codes,
        not has_samples,
    )
    if has_codes:
        images = data.test.some(150, 0)
        x = unit(images)
        x_tilde = model.reconstruct(x)
        assert report["reconstructions"]["mse"]["value"] == pytest.approx(
            float((x - x_tilde).square().mean()), rel=1e-4
        )
    if has_samples:
        again = evaluate(model, data, extractor=open_extractor("pixels", data), num=150, seed=1, cache=tmp_path)
        assert again["samples"]["normal"]["frechet_distance"] != report["samples"]["normal"]["frechet_distance"]


class OfPixels:
    """A network of two kinds: features, and a distance of pairs."""

    fingerprint = "of pixels"

    def features(self, x):
        return x.flatten(1)

    def of_pairs(self, x_tilde, x):
        return (x_tilde - x).abs().flatten(1).mean(1)


def test_published_networks_measure_reconstructions_too(data, tmp_path):
    model, pixels, values = make_model("vae"), open_extractor("pixels", data), {}
    networks = {"lpips": OfPixels(), "inception": OfPixels()}
    options = {"extractor": pixels, "num": 150, "batch_size": 64, "cache": tmp_path}
    report = evaluate(model, data, published=networks, on_values=values.update, **options)
    found, x = report["reconstructions"], unit(data.test.some(150, 0))
    expected = (model.reconstruct(x) - x).abs().flatten(1).mean(1)
    torch.testing.assert_close(values["lpips"], expected)
    assert found["lpips"]["value"] == pytest.approx(float(expected.mean()))
    assert found["lpips"]["low"] < found["lpips"]["value"] < found["lpips"]["high"]
    for bound in ("value", "low", "high"):  # these features are those of the extractor
        assert found["frechet_inception"][bound] == pytest.approx(found["frechet_distance"][bound], rel=1e-6)
    paired = distribution_figures(model.reconstruct(x).flatten(1), Reference(x.flatten(1)), paired=True)
    for name in ("frechet_distance", "kernel_distance"):
        for bound in ("value", "low", "high"):
            assert found[name][bound] == pytest.approx(getattr(paired[name], bound), rel=1e-4), name
    assert report["published"] == {"lpips": "of pixels", "inception": "of pixels"}
    error_map = values.pop("error_map")
    torch.testing.assert_close(error_map, (model.reconstruct(x) - x).square().double().mean((0, 1)))
    assert all(row.shape == (150,) for row in values.values())
    assert found["mse_smooth"]["value"] > 0
    without = evaluate(model, data, **options)
    assert without["published"] == {}
    assert found.keys() - without["reconstructions"].keys() == {"lpips", "frechet_inception"}


def test_an_unknown_prior_is_told(data, tmp_path):
    with pytest.raises(UserError, match=r"no prior 'norml' \(perhaps you meant 'normal'\); available: normal"):
        evaluate(make_model(), data, extractor=open_extractor("pixels", data), priors=["norml"], cache=tmp_path)
    with pytest.raises(UserError, match="no prior 'normal', nor any other"):
        evaluate(make_model("ae"), data, extractor=open_extractor("pixels", data), priors=["normal"], cache=tmp_path)


def test_labels_of_samples_are_counted_as_the_classifier_sees_them(data, tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 3000)
    extractor = open_extractor("classifier", data, cache=tmp_path)
    real = open_real_images(data, extractor, num=1000, cache=tmp_path)
    told = extractor.label_probabilities(extractor.features(unit(real.images))).argmax(1)
    few = torch.cat([torch.arange(len(told))[told == label][: 1 if label == 3 else 20] for label in range(10)])
    found = label_figures(real.reference.features[few], real)
    num = len(few)
    assert found["missing_labels"].value == 1
    assert found["rarest_share"].value == found["share of 3"].value == pytest.approx(1 / num)
    p, q = (np.bincount(labels, minlength=10) / len(labels) for labels in (told[few], told))
    one = found["label_divergence"]
    assert one.value == pytest.approx(entropy(p, q))
    assert one.low < one.value < one.high
    same = label_figures(real.reference.features, real)["label_divergence"]
    assert (same.value, same.low) == (pytest.approx(0, abs=1e-9), 0)
    p, q = torch.tensor([0.5, 0.5]).double(), torch.tensor([0.3, 0.7]).double()
    many = image_metrics._divergence(p, q, 10**9, 0, entropy(p, q))  # no memory for each sample
    assert many.low == pytest.approx(many.high, rel=1e-3) == pytest.approx(entropy(p, q), rel=1e-3)
    assert (
        label_figures(torch.zeros(1, 64), open_real_images(data, open_extractor("pixels", data), cache=tmp_path)) == {}
    )


def test_copies_of_training_images_are_found_and_held_out_images_are_none(real):
    train = unit(real.data.train)[:200]
    copies, held_out = (sample_figures([x], real) for x in (train, unit(real.data.test)))
    assert copies["copies_nearer"].value == 1
    assert copies["copies_score"].value < -10
    assert held_out["copies_nearer"].value == pytest.approx(0.05, abs=0.02)
    assert held_out["copies_farther"].value == pytest.approx(0.5)
    x = unit(real.data.test)[:20]
    nearest = torch.cdist(x.flatten(1), unit(real.data.train).flatten(1)).amin(1) / 8
    torch.testing.assert_close(real.to_training(real.pixels.features(x)), nearest, atol=1e-5, rtol=1e-4)


def test_training_images_are_opened_a_batch_at_a_time_and_searched_in_larger_chunks(real, monkeypatch):
    opened, searched, unit_of, find = [], [], ImageSet.unit, reference_module.find_nearest

    def counting(images, rows):
        x = unit_of(images, rows)
        opened.append(len(x))
        return x

    def searching(queries, references, k):
        return find(queries, (searched.append(len(chunk)) or chunk for chunk in references), k)

    monkeypatch.setattr(ImageSet, "unit", counting)
    monkeypatch.setattr(reference_module, "find_nearest", searching)
    x, num = real.pixels.features(unit(real.data.test)[:20]), len(real.data.train)
    whole = real.to_training(x)
    assert (max(opened), sum(opened), searched) == (real.batch_size, num, [num])
    monkeypatch.setattr(reference_module, "_CHUNK", 10 * real.batch_size)
    torch.testing.assert_close(real.to_training(x), whole)
    assert searched[1:-1] == [640] * (num // 640)
    assert sum(searched[1:]) == num


def test_codes_are_read_by_both_probes(data, real):
    found = code_figures(make_model(), real)
    assert found["linear_probe"].value > 0.5 > found["probe_chance"].value
    assert found["neighbour_probe"].num == len(real.images)
    with pytest.raises(UserError, match="the data have no labels"):
        code_figures(make_model(), replace(real, images=replace(real.images, labels=None)))


def test_sharpness_of_the_baseline_is_that_of_its_images(real):
    found = baseline_figures(real)
    assert found["sharpness"].value == pytest.approx(float(laplacian_variance(unit(real.baseline_images)).mean()))


def test_every_large_image_has_its_code(real, monkeypatch):
    model = make_model("vae")
    codes = code_metrics._codes(model, real.images, real)
    monkeypatch.setattr(inference, "MOST_PIXELS", 16)  # larger ones are encoded one at a time
    for of_all, one_by_one in zip(codes, code_metrics._codes(model, real.images, real), strict=True):
        torch.testing.assert_close(one_by_one, of_all)


def test_large_images_are_decoded_one_at_a_time(real, monkeypatch):
    model = make_model("vae")
    decode, nums = model.decode, []
    monkeypatch.setattr(inference, "MOST_PIXELS", 16)
    monkeypatch.setattr(model, "decode", lambda z, **how: nums.append(len(z)) or decode(z, **how))
    likelihood_figures(model, real)
    assert set(nums) == {1}


def test_likelihood_is_that_of_a_gaussian_around_decoded_codes(data, real):
    model = make_model("vae")
    found = likelihood_figures(model, real)
    x = unit(real.images)
    mu, logvar = model.posterior(x)
    q = Normal(mu.double(), (0.5 * logvar.double()).exp())
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    assert found["kl"].value == pytest.approx(float(kl.mean()), rel=1e-5)
    generator = torch.Generator().manual_seed(0)
    draws = [q.mean + q.stddev * torch.randn(mu.shape, generator=generator, dtype=torch.float64) for _ in range(20)]
    errors = torch.stack([(model.decode(z.float()).double() - x).square().flatten(1) for z in draws])
    deviation = (errors.mean() + 1 / 255**2 / 12).sqrt()
    assert found["pixel_deviation"].value == pytest.approx(float(deviation), rel=0.01)
    nll = 64 * (0.5 + float(deviation.log()) + 0.5 * np.log(2 * np.pi))
    assert found["nll"].value == pytest.approx(nll, abs=0.5)
    assert found["elbo"].value == pytest.approx(-found["nll"].value - found["kl"].value)
    bits = -(found["elbo"].value / 64 + np.log(1 / 255)) / np.log(2)
    assert found["bits_per_dimension"].value == pytest.approx(bits)
    # Codes change little in what an untrained decoder draws: the bound lies between the ELBO and E log p(x|z).
    assert found["elbo"].value - 0.01 < found["importance_bound"].value < -found["nll"].value + 0.01
    assert found["importance_bound"].num == len(x)


def test_images_drawn_black_and_white_have_probabilities(tmp_path, monkeypatch):
    data = open_data("digits", binarize="fixed")
    real = open_real_images(data, open_extractor("pixels", data), num=40, batch_size=16, cache=tmp_path)
    model = make_model("vae")
    x = unit(real.images)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    mu, logvar = model.posterior(x)
    monkeypatch.setattr(code_metrics, "_NUM_BOUND", 30)
    found = likelihood_figures(model, real, draws=200)
    assert "pixel_deviation" not in found
    q = Normal(mu.double(), (0.5 * logvar.double()).exp())
    draws = q.sample((200,))
    decoded = (Bernoulli(model.decode(z.float()).double()) for z in draws)
    log_p = torch.stack([pixels.log_prob(x.double()).sum((1, 2, 3)) for pixels in decoded])
    assert found["nll"].value == pytest.approx(-float(log_p.mean()), rel=0.01)
    log_w = log_p + (Normal(0.0, 1.0).log_prob(draws) - q.log_prob(draws)).sum(2)
    bound = float((log_w.logsumexp(0) - np.log(200)).mean())
    assert found["importance_bound"].value == pytest.approx(bound, rel=0.005)
    assert found["importance_bound"].num == 40
    assert found["bits_per_dimension"].value == pytest.approx(-found["elbo"].value / 64 / np.log(2))
    assert likelihood_figures(model, real)["importance_bound"].num == 30
    chosen = []
    monkeypatch.setattr(code_metrics, "importance_bound", lambda nll, mu, *rest, **how: chosen.append(mu) or mu[:, 0])
    likelihood_figures(model, real)
    rows = {int((mu == row).all(1).nonzero()) for row in chosen[0]}
    assert len(rows) == 30
    assert rows != set(range(30)), "the first are no fair sample of images in the order of a file"
    with pytest.raises(UserError, match=r"a decoder with --model.output sigmoid"):
        likelihood_figures(make_model("vaegan"), real)


def test_a_plain_autoencoder_has_codes_but_no_likelihood(real):
    found = likelihood_figures(make_model("ae"), real)
    assert set(found) == {"active_units", "gap_kl", "gap_sliced", "gap_by_chance"}
