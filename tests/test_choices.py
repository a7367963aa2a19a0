"""The choices that settings offer are those there are: no list may know a word that another does not."""

from __future__ import annotations

from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from pydantic import BaseModel

from vaegan import config, settings
from vaegan.cli import attributes, cluster, evaluate, export, interpolate
from vaegan.cli.options import Arg
from vaegan.cli.priors import Options
from vaegan.exporting import DIFFUSERS, FORMATS
from vaegan.latent import attribute_vectors, code_paths
from vaegan.latent.clustering import ALGORITHMS, MAPS
from vaegan.losses import ADVERSARIAL_FORMS
from vaegan.metrics.extractors.features import EXTRACTORS
from vaegan.networks import NETWORKS, PARTS_OF_KIND
from vaegan.networks.build import INITS
from vaegan.networks.conv import PADDINGS
from vaegan.networks.layers import ACTIVATIONS, NORMS, ORDERS
from vaegan.networks.parts import LATENTS, OUTPUTS
from vaegan.objectives.diff_augment import AUGMENTATIONS
from vaegan.priors import DEFAULT, PRIORS
from vaegan.schedules import KL_SCHEDULES, LR_SCHEDULES
from vaegan.settings import (
    PARTS,
    DecoderSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    TrainSettings,
)
from vaegan.training.factories import build_likelihood
from vaegan.training.optimisers import make_optimiser


@pytest.mark.parametrize(
    ("settings", "name", "choices"),
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
        (ModelSettings, "latent", LATENTS),
        (TrainSettings, "parts", PARTS),
        (LossSettings, "perceptual", {"none", "auto", "lpips", *EXTRACTORS} - {"pixels"}),
        (LossSettings, "alignment", {"auto", *EXTRACTORS} - {"pixels"}),
    ],
)
def test_a_setting_offers_what_its_list_holds(settings, name, choices):
    annotation = settings.model_fields[name].annotation
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    assert set(get_args(inner)) == set(choices)


@pytest.mark.parametrize(
    ("command", "name", "choices"),
    [
        (attributes, "method", attribute_vectors._METHODS),
        (cluster, "method", ALGORITHMS),
        (cluster, "map", {*MAPS, "none"}),
        (evaluate, "extractor", EXTRACTORS),
        (export, "format", {*FORMATS, DIFFUSERS}),
        (interpolate, "method", code_paths._PATHS),
    ],
)
def test_an_option_offers_what_its_list_holds(command, name, choices):
    def words(annotation):
        own = get_args(annotation) if get_origin(annotation) is Literal else ()
        return set(own) if own else set().union(*map(words, get_args(annotation)))

    assert words(command.Options.model_fields[name].annotation) == set(choices)


WITHOUT_LIST = {  # words that one `if` or one table beside its use tells apart
    "DataSettings.binarize", "DataSettings.crop", "DataSettings.held_out_by", "ModelSettings.condition",
    "LossSettings.balance_at", "LossSettings.fakes", "TrainSettings.precision", "TrainSettings.memory_format",
    "TrainSettings.best_metric", "Config.on_nan",
}  # fmt: skip
WITH_TEST_BELOW = {"LossSettings.likelihood", "LossSettings.augment", "OptimSettings.name", "TrainSettings.priors"}


def test_no_setting_with_choices_is_left_out_here():
    """A new setting of words joins the table above, or says here that it has no list."""

    def words(annotation):
        return get_origin(annotation) is Literal or any(words(inner) for inner in get_args(annotation))

    (mark,) = (m for m in test_a_setting_offers_what_its_list_holds.pytestmark if m.name == "parametrize")
    tested = {f"{settings.__name__}.{name}" for settings, name, _ in mark.args[1]}
    classes = [c for c in (vars(config) | vars(settings)).values() if isinstance(c, type) and issubclass(c, BaseModel)]
    owners = {
        f"{next(b for b in reversed(c.__mro__) if name in getattr(b, 'model_fields', ())).__name__}.{name}"
        for c in classes
        for name, field in c.model_fields.items()
        if words(field.annotation)
    }
    assert owners - tested == WITHOUT_LIST | WITH_TEST_BELOW


def test_a_run_can_fit_every_prior_there_is_to_fit():
    assert set(get_args(get_args(TrainSettings.model_fields["priors"].annotation)[0])) == set(PRIORS) - {"normal"}
    assert get_type_hints(Options)["priors"] == TrainSettings.model_fields["priors"].annotation
    assert TrainSettings.model_fields["priors"].default == DEFAULT
    (help_of,) = (each for each in Options.model_fields["priors"].metadata if isinstance(each, Arg))
    assert help_of.default.startswith(",".join(DEFAULT) + ",")


def test_every_change_before_the_discriminator_can_be_asked_for():
    assert get_args(get_args(LossSettings.model_fields["augment"].annotation)[0]) == tuple(AUGMENTATIONS)


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


def test_every_kind_has_a_name():
    assert list(settings.KINDS) == list(PARTS_OF_KIND)
    with_discriminator = {kind for kind, parts in PARTS_OF_KIND.items() if "discriminator" in parts}
    assert with_discriminator == {*settings.ADVERSARIAL_KINDS, "vae-dis-l"}
