"""Runs that differ in their seed alone are one model; what models and runs are called side by side."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vaegan.recipes import config_for
from vaegan.runs.compared_runs import distinct_names, group_by_seed, group_names
from vaegan.settings_io import dump_yaml


def run(images=1000, recipe="digits", **settings):
    return config_for(recipe, {name.replace("__", "."): value for name, value in settings.items()}), images


def test_runs_that_differ_in_their_seed_are_one_model():
    runs = [
        run(seed=0),
        run(seed=0, loss__gamma=0.5),
        run(seed=1, device="cuda", data__root="elsewhere", train__tensorboard=False),
        run(seed=1, loss__gamma=0.5),
        run(seed=2),
    ]
    assert group_by_seed(runs) == [[0, 2, 4], [1, 3]]


def test_what_else_differs_parts_them():
    a = run(seed=0)
    for other in (
        run(seed=1, train__epochs=3),
        run(seed=1, images=2000),
        run(seed=1, recipe="mnist-conv"),
        run(seed=0),
    ):
        assert group_by_seed([a, other]) == [[0], [1]]
    plateau = {"optim__schedule": "plateau"}  # snapshots decide the rates here
    assert group_by_seed([run(**plateau), run(seed=1, train__snapshot_epochs=2, **plateau)]) == [[0], [1]]
    assert group_by_seed([a, run(seed=1, train__snapshot_epochs=2)]) == [[0, 1]]


def test_runs_whose_settings_are_unknown_stay_alone():
    assert group_by_seed([(None, 1), (None, 1), run()]) == [[0], [1], [2]]


def test_a_metric_is_known_by_its_own_settings(tmp_path):
    runs = []
    for seed, gamma in ((0, 0.1), (1, 0.1), (2, 0.9)):
        dump_yaml(config_for("digits", {"seed": seed, "loss.gamma": gamma}), tmp_path / str(seed) / "config.yaml")
        runs.append(run(seed=seed, model__kind="vae-dis-l", loss__metric=tmp_path / str(seed)))
    assert group_by_seed(runs) == [[0, 1], [2]]


def test_names_are_no_longer_than_they_must_be():
    assert distinct_names(["/x/a", "/x/b"]) == ["a", "b"]
    assert distinct_names(["/x/a/model", "/y/b"]) == ["a", "b"]
    assert distinct_names(["/x/run/1", "/y/run/1"]) == ["x/run/1", "y/run/1"]


def test_a_group_is_named_after_what_its_runs_share():
    def group(*names):
        return [
            SimpleNamespace(name=name, path=name, config=None, model=lambda: SimpleNamespace(kind="vaegan", info={}))
            for name in names
        ]

    groups = [group("plain-0", "plain-1"), group("augmented-0", "augmented-10"), group("seed-1")]
    assert group_names(groups) == ["VAE/GAN plain", "VAE/GAN augmented", "VAE/GAN seed-1"]
    assert group_names([group("1", "2"), group("b")]) == ["VAE/GAN 1", "VAE/GAN b"]
    groups = [group("digits"), group("digits-1", "digits-2"), group("b")]
    assert group_names(groups) == ["VAE/GAN digits", "VAE/GAN digits-1, digits-2", "VAE/GAN b"]
    assert len(set(group_names([group("a-1", "a-2"), group("a"), group("a-1, a-2"), group("b", "c")]))) == 4


@pytest.mark.parametrize(
    ("start", "parts", "name"),
    [
        (
            "diffusers:owner/sd-vae",
            ("decoder", "discriminator"),
            "VAE/GAN (decoder fine-tuned from diffusers:owner/sd-vae)",
        ),
        ("diffusers:/far/away/pipeline/vae", ("decoder",), "VAE/GAN (decoder fine-tuned from diffusers:pipeline/vae)"),
        ("runs/base", (), "VAE/GAN (fine-tuned from runs/base)"),
        (None, (), "VAE/GAN"),
    ],
)
def test_a_fine_tuned_model_is_named_after_what_it_starts_from(start, parts, name):
    model = SimpleNamespace(kind="vaegan", info={})
    config = config_for("digits", {"init_from": start, "train.parts": parts} if start else {})
    assert group_names([[SimpleNamespace(name="a", path="a", config=config, model=lambda: model)]]) == [name]


@pytest.mark.parametrize(("images", "name"), [(160, "AE (pre-training of VAE/GAN)"), (161, "VAE/GAN")])
def test_a_model_whose_training_ended_in_pretraining_is_named_so(images, name):
    model = SimpleNamespace(kind="vaegan", info={"images": images, "pretrain_images": 160})
    assert group_names([[SimpleNamespace(name="a", path="a", config=None, model=lambda: model)]]) == [name]


@pytest.mark.parametrize(("place", "name"), [("owner/sd-vae", "owner/sd-vae"), ("/far/away/sd/vae", "sd/vae")])
def test_a_published_model_is_named_with_its_place(place, name):
    model = SimpleNamespace(kind="vae", info={})
    run = SimpleNamespace(name="a", path=f"diffusers:{place}", config=None, model=lambda: model)
    assert group_names([[run]]) == [f"VAE (diffusers:{name})"]
