"""The choices that settings offer are those there are: no list may know a word that another does not."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch

from vaegan.cli.priors import Options
from vaegan.config import DecoderSettings, LossSettings, ModelSettings, OptimSettings, PartSettings, TrainSettings
from vaegan.losses import ADVERSARIAL_FORMS
from vaegan.networks import ACTIVATIONS, INITS, NETWORKS, NORMS, ORDERS, OUTPUTS, PADDINGS, PARTS_OF_KIND
from vaegan.objectives.diff_augment import KINDS
from vaegan.priors import DEFAULT, PRIORS
from vaegan.schedules import KL_SCHEDULES, LR_SCHEDULES
from vaegan.training.factories import build_likelihood
from vaegan.training.optimisers import make_optimiser


@pytest.mark.parametrize(
    ("settings", "name", "known"),
    [
        (ModelSettings, "kind", PARTS_OF_KIND),
        (ModelSettings, "network", NETWORKS),
        (ModelSettings, "output", OUTPUTS),
        (ModelSettings, "init", INITS),
        (PartSettings, "norm", NORMS),
        (PartSettings, "activation", ACTIVATIONS),
        (PartSettings, "order", ORDERS),
        (PartSettings, "padding", PADDINGS),
        (DecoderSettings, "norm", NORMS),
        (LossSettings, "adversarial", ADVERSARIAL_FORMS),
        (LossSettings, "kl_schedule", KL_SCHEDULES),
        (OptimSettings, "schedule", LR_SCHEDULES),
    ],
)
def test_a_setting_offers_what_its_list_holds(settings, name, known):
    assert set(get_args(settings.model_fields[name].annotation)) == set(known)


def test_a_run_can_fit_every_prior_there_is_to_fit():
    assert set(get_args(get_args(TrainSettings.model_fields["priors"].annotation)[0])) == set(PRIORS) - {"normal"}
    assert get_type_hints(Options)["priors"] == TrainSettings.model_fields["priors"].annotation
    assert Options.model_fields["priors"].default == TrainSettings.model_fields["priors"].default == DEFAULT


def test_every_change_before_the_discriminator_can_be_asked_for():
    assert get_args(get_args(LossSettings.model_fields["augment"].annotation)[0]) == tuple(KINDS)


@pytest.mark.parametrize("name", get_args(LossSettings.model_fields["likelihood"].annotation))
def test_every_likelihood_can_be_built_and_gives_a_number_per_image(name):
    likelihood = build_likelihood(LossSettings(likelihood=name), (0.0, 1.0))
    loss = likelihood.loss(torch.full((3, 1, 2, 2), 0.25), torch.rand(3, 1, 2, 2))
    assert loss.shape == (3,)
    assert loss.isfinite().all()


@pytest.mark.parametrize("name", get_args(OptimSettings.model_fields["name"].annotation))
def test_every_optimiser_goes_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = make_optimiser(name, [weight], lr=0.01, beta1=0.5, beta2=0.9)
    weight.grad = torch.tensor([1.0, -1.0])
    optimiser.step()
    assert (weight.detach().abs() < torch.tensor([1.0, 2.0])).all()
