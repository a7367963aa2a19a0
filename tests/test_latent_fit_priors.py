from __future__ import annotations

import itertools
import logging
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from vaegan import progress
from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.latent import fit_priors as module
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.models import Model
from vaegan.priors import best_prior
from vaegan.priors.flow import Flow
from vaegan.priors.prior import Score


class TwoBrightnesses(nn.Module):
    """mu is the mean brightness and its negative, sigma one half."""

    def forward(self, x):
        mu = x.mean((1, 2, 3))
        mu = torch.stack([mu, -mu], 1)
        return mu, torch.full_like(mu, 0.25).log()


class Brightness(TwoBrightnesses):
    def forward(self, x):
        return super().forward(x)[0]


@pytest.fixture(scope="module")
def images():
    """Dark and bright ones, told apart by their labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    pixels = rng.integers(0, 40, (2000, 4, 4, 1)) + 200 * labels[:, None, None, None]
    names = [str(i) for i in range(2000)]
    return ImageSet(pixels.astype(np.uint8), names, labels=labels, label_names=("dark", "bright"))


def made(kind="vae"):
    decoder = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))
    encoder = Brightness() if kind == "ae" else TwoBrightnesses()
    return Model(
        encoder=encoder, decoder=decoder, kind=kind, image_shape=(1, 4, 4), latent_dim=2, image_range=(0.0, 1.0)
    )


def test_priors_are_fitted_to_draws_of_the_posterior_and_the_likeliest_is_the_default(images):
    model, state = made(), torch.get_rng_state()
    fitted = fit_model_priors(model, images, names=["gaussian", "mixture"], seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(fitted) == ["normal", "gaussian", "mixture"]
    assert list(model.priors) == ["gaussian", "mixture"]
    assert model.default_prior == max(fitted, key=lambda name: fitted[name].score.mean) != "normal"
    brightness = torch.from_numpy(images.images).flatten(1).float().mean(1) / 255
    variance = float(brightness.var()) + 0.25
    z = model.priors["gaussian"].sample(100_000, seed=1)
    torch.testing.assert_close(z.var(0), torch.full((2,), variance), atol=0, rtol=0.08)
    assert float(z.mean(0)[0]) == pytest.approx(float(brightness.mean()), abs=0.03)


def test_slow_fits_are_not_silent(images, monkeypatch, caplog):
    monkeypatch.setattr(progress.time, "monotonic", itertools.count(0, 40).__next__)
    fit = partial(Flow.fit, steps=2)
    monkeypatch.setattr(Flow, "fit", fit)
    with caplog.at_level(logging.INFO, "vaegan"):
        fit_model_priors(
            made(), images, names=["mixture", "kde", "flow"], seed=0, batch_size=500, on_progress=progress.paced_lines()
        )
    starts = (
        "encoding: 2 of 4 steps",
        "mixture: ",
        "fitting a mixture of ",
        "summing kernels: ",
        "fitting a flow: 2 ",
    )
    assert [start for start in starts if not any(line.startswith(start) for line in caplog.messages)] == []


def test_the_codes_of_a_plain_autoencoder_are_taken_as_they_are(images):
    model = made("ae")
    assert list(fit_model_priors(model, images, names=["gaussian"], seed=0)) == ["gaussian"]
    brightness = torch.from_numpy(images.images).flatten(1).float().mean(1) / 255
    z = model.sample_codes(20_000, 1)
    assert float(z[:, 0].std()) == pytest.approx(float(brightness.std()), rel=0.05)


def test_fitted_by_label_a_label_can_be_asked_for(images):
    model = made()
    fit_model_priors(model, images, names=["gaussian"], by_label=True, seed=0)
    labels = torch.arange(2000) % 2
    z = model.sample_codes(2000, 0, "gaussian", labels)
    assert float(z[labels == 0, 0].mean()) == pytest.approx(20 / 255, abs=0.06)
    assert float(z[labels == 1, 0].mean()) == pytest.approx(220 / 255, abs=0.06)


def test_labels_are_those_of_the_training(images):
    """A model without, such as a published one, takes those of the images; others would be mistaken for its own."""
    model = made()
    fit_model_priors(model, images, names=["gaussian"], by_label=True, seed=0)
    assert model.info["label_names"] == ["dark", "bright"]
    others = ImageSet(images.images, images.names, labels=images.labels, label_names=("bright", "dark"))
    told = "these images have the labels bright, dark, the model was trained with dark, bright; leave out --by-label"
    with pytest.raises(UserError, match=told):
        fit_model_priors(model, others, names=["gaussian"], by_label=True, seed=0)


def test_of_very_many_images_some_are_encoded(images, monkeypatch):
    monkeypatch.setattr(module, "_MOST_IMAGES", 300)
    assert module.most_images(made()) == 300
    assert fit_model_priors(made(), images, names=["gaussian"], seed=0)["gaussian"].score.num == 30


def test_images_without_labels_and_models_without_encoder_are_told(images):
    with pytest.raises(UserError, match="no labels to fit priors by"):
        fit_model_priors(made(), ImageSet(images.images, images.names), by_label=True, seed=0)
    model = made()
    model.encoder, model.kind = None, "gan"
    with pytest.raises(UserError, match="a GAN and has no encoder"):
        fit_model_priors(model, images, seed=0)


def test_priors_of_before_are_scored_again_by_the_same_codes(images, monkeypatch):
    """Scores over other codes cannot be compared, nor over more of them than a flow is scored by."""
    monkeypatch.setattr(Flow, "fit", partial(Flow.fit, steps=2))
    monkeypatch.setattr(Flow, "num_scored", 50)
    model = made()
    fit_model_priors(model, images, names=["gaussian", "mixture"], seed=0)
    model.priors["gaussian"].score = Score(1e9, 0.0, 10)
    fitted = fit_model_priors(model, images, names=["flow"], seed=1)
    assert list(fitted) == ["normal", "flow", "gaussian", "mixture"]
    assert {prior.score.num for prior in fitted.values()} == {50}
    assert fitted["gaussian"].score.mean < 1e9
    assert model.default_prior == best_prior(fitted)
    fit_model_priors(model, images, names=["gaussian"], seed=1)
    assert {prior.score.num for prior in model.priors.values()} == {50}
    both = made()
    fitted = fit_model_priors(both, images, names=["gaussian", "flow"], seed=1)
    assert model.priors["gaussian"].score == fitted["gaussian"].score
