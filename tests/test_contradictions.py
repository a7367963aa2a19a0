"""Settings that contradict each other are refused before anything is opened; a kind of model brings what it needs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

import vaegan
from vaegan import kinds
from vaegan.cli import train
from vaegan.cli.parse import parse
from vaegan.config import Config
from vaegan.errors import UserError
from vaegan.networks import build_parts, code_shape
from vaegan.recipes import RECIPES, config_for
from vaegan.settings import KINDS, PARTS, LossSettings
from vaegan.settings_io import dump_yaml, load_yaml, with_settings

# What is given, the line that refuses it, and what to add for it to be accepted.
CASES = [
    (
        "--model.kind vae --loss.likelihood feature",
        "--loss.likelihood feature needs a discriminator, which --model.kind vae does not have; choose bernoulli,",
        "--loss.likelihood gaussian",
    ),
    (
        "--loss.likelihood bernoulli",
        "--loss.likelihood bernoulli needs --model.output sigmoid, not tanh; set it, or choose gaussian",
        "--model.output sigmoid",
    ),
    (
        "--model.kind vae-dis-l",
        "--model.kind vae-dis-l needs the discriminator of an earlier run; name the run with --loss.metric RUN",
        "--loss.metric runs/gan",
    ),
    (
        "--loss.perceptual auto",
        "--loss.perceptual auto needs an encoder and a per-pixel likelihood, not --model.kind vaegan with "
        "--loss.likelihood feature; choose",
        "--loss.likelihood laplace",
    ),
    (
        "--model.kind gan --loss.perceptual auto",
        "--loss.perceptual auto needs an encoder and a per-pixel likelihood, not --model.kind gan with",
        "--loss.perceptual none",
    ),
    (
        "--model.kind gan --loss.balance 1",
        "--loss.balance needs two losses of a decoder, which only a VAE/GAN has, not --model.kind gan; set it to none",
        "--loss.balance none",
    ),
    (
        "--loss.balance 1 --loss.gamma 0",
        "--loss.balance is relative to gamma * L_llike, which --loss.gamma 0 leaves out; set it to none",
        "--loss.balance none",
    ),
    (
        "--loss.likelihood laplace --loss.perceptual auto --loss.perceptual-file vgg.pth",
        "--loss.perceptual-file applies only to a published network such as lpips, not to --loss.perceptual auto; ",
        "--loss.perceptual lpips",
    ),
    (
        "--model.kind vae --loss.augment colour",
        "--loss.augment needs a discriminator in training, which --model.kind vae does not have; set it to none",
        "--loss.augment none",
    ),
    (
        "--data.size 64x5000",
        "--data.size 64x5000: images can have at most 4096 pixels per side; choose a smaller size",
        "--data.size 64x4096",
    ),
    (
        "bce-mnist-vae --data.binarize fixed --data.augment.shift 1",
        "--data.augment makes the images of --data.binarize fixed grey again; choose dynamic",
        "--data.binarize dynamic",
    ),
    (
        "bce-mnist-vae --data.binarize dynamic --loss.likelihood gaussian",
        "--data.binarize gives black and white pixels, which --loss.likelihood gaussian does not fit; choose bernoulli",
        "--loss.likelihood bernoulli",
    ),
    (
        "bce-mnist-vae --data x.tar --data.stream --data.binarize fixed",
        "--data.binarize does not work with --data.stream; leave one out",
        "--data.binarize none",
    ),
    (
        "--loss.draws 5",
        "--loss.draws 5 needs --model.kind vae, not vaegan; set it, or set --loss.draws 1",
        "--model.kind vae",
    ),
    (
        "bce-mnist-vae --loss.draws 5 --loss.kl-weight 0.5",
        "--loss.draws 5 needs --loss.kl-weight 1, not 0.5; set it, or set --loss.draws 1",
        "--loss.kl-weight 1",
    ),
    (
        "bce-mnist-vae --loss.draws 5 --loss.kl-schedule linear",
        "--loss.draws 5 needs --loss.kl-schedule constant, not linear; set it, or set --loss.draws 1",
        "--loss.draws 1",
    ),
    (
        "bce-mnist-vae --loss.draws 5 --loss.perceptual auto",
        "--loss.draws 5 needs --loss.perceptual none, not auto; set it, or set --loss.draws 1",
        "--loss.perceptual none",
    ),
    (
        "--loss.augment-target 0.6",
        "--loss.augment-target needs augmentations; name them with --loss.augment, or set it to none",
        "--loss.augment cutout",
    ),
    (
        "--model.kind gan --train.pretrain-epochs 2",
        "--train.pretrain-epochs trains an encoder, which --model.kind gan does not have; set it to 0",
        "--train.pretrain-epochs 0",
    ),
    (
        "--loss.joint-batch --model.discriminator.dropout 0.1",
        "--loss.joint-batch cannot be combined with dropout or minibatch features in the discriminator; set",
        "--loss.joint-batch false",
    ),
    (
        "--train.accumulate 2 --model.discriminator.minibatch-features 3",
        "--train.accumulate splits the batch that --model.discriminator.minibatch-features compares; drop one",
        "--model.discriminator.minibatch-features 0",
    ),
    (
        "--train.checkpoint-activations --train.compile",
        "--train.checkpoint-activations works neither with --model.network mlp nor --train.compile; leave it out",
        "--train.compile false",
    ),
    (
        "--train.checkpoint-activations --model.network mlp",
        "--train.checkpoint-activations works neither with --model.network mlp nor --train.compile; leave it out",
        "--train.checkpoint-activations false",
    ),
    (
        "--loss.joint-batch --model.discriminator.minibatch-features 3",
        "--loss.joint-batch cannot be combined with dropout or minibatch features",
        "--model.discriminator.minibatch-features 0",
    ),
    (
        "--train.compile --loss.r1-weight 1",
        "--loss.r1-weight needs second derivatives, which compiled networks do not have; leave out --train.compile, or",
        "--loss.r1-weight 0",
    ),
    (
        "--model.network mlp --model.encoder.channels 8",
        "--model.encoder.channels cannot be set with --model.network mlp; set it to none, or choose conv",
        "--model.encoder.channels none",
    ),
    (
        "mnist-mlp --model.encoder.strides 2",
        "--model.encoder.strides cannot be set with --model.network mlp",
        "--model.encoder.strides none",
    ),
    (
        "mnist-mlp --model.discriminator.patch",
        "--model.discriminator.patch cannot be set with --model.network mlp; set it to false, or choose conv",
        "--model.discriminator.patch no",
    ),
    (
        "mnist-mlp --model.network conv --model.encoder.channels none",
        "--model.network conv needs a width for each convolution; set --model.encoder.channels",
        "--model.encoder.channels 8",
    ),
    (
        "kmeans-mnist-ae --model.kind vaegan --model.discriminator.channels none",
        "--model.network conv needs a width for each convolution; set --model.discriminator.channels",
        "--model.discriminator.channels 8",
    ),
    (
        "--model.encoder.strides 2,2,2",
        "--model.encoder.strides has 3 numbers, --model.encoder.channels has 2; give one per convolution",
        "--model.encoder.channels 8,8,8",
    ),
    (
        "kl-f4 --model.decoder.strides 2,2",
        "--model.decoder.strides cannot be set with --model.network residual, which always downsamples by 2; set it to",
        "--model.decoder.strides none",
    ),
    (
        "kl-f4 --model.encoder.groups 3",
        "--model.encoder.groups 3 does not divide all --model.encoder.channels; choose another number",
        "--model.encoder.channels 3,6,9",
    ),
    (
        "--model.network mlp --model.latent map",
        "--model.latent map needs --model.network conv or residual, not mlp",
        "--model.latent vector",
    ),
    (
        "--model.latent map --model.encoder.hidden none --model.decoder.hidden none --model.decoder.padding valid",
        "--model.latent map needs --model.decoder.padding same, not valid",
        "--model.decoder.padding same",
    ),
    (
        "photos-32 --model.encoder.dropout 0.3",
        "--model.latent map has no dense layers; set --model.encoder.dropout to 0",
        "--model.encoder.dropout 0",
    ),
    (
        "--model.latent map --model.encoder.hidden none --model.decoder.hidden none --model.encoder.strides 2,1",
        "--model.latent map needs strides of the same product in encoder and decoder, not 2 and 4 (2 for each "
        "convolution by default); change --model.encoder.strides or --model.decoder.strides",
        "--model.encoder.strides 2,2",
    ),
    (
        "kl-f4 --model.condition labels --model.discriminator.patch no",
        "--model.latent map has no dense layer for --model.condition labels; choose --model.latent vector",
        "--model.latent vector",
    ),
    (
        "kl-f4 --model.encoder.hidden 4",
        "--model.latent map has no dense layers; set --model.encoder.hidden to none",
        "--model.encoder.hidden none",
    ),
    (
        "kl-f4 --model.encoder.channels 32,32",
        "--model.latent map needs --model.encoder.channels and --model.decoder.channels of equal length, not 2 and 3",
        "--model.decoder.channels 32,32",
    ),
    (
        "kl-f4 --model.discriminator.dropout 0.1",
        "--model.discriminator.patch has no dense layers; set --model.discriminator.dropout to 0",
        "--model.discriminator.dropout 0",
    ),
    (
        "kl-f4 --model.condition labels --model.latent vector",
        "--model.discriminator.patch has no dense layer for --model.condition labels; "
        "set --model.discriminator.patch false, or --model.condition none",
        "--model.discriminator.patch false",
    ),
]


def read(words: str) -> Config:
    return parse(train.Options, words.split(), "vaegan train").settings


@pytest.mark.parametrize(("words", "line", "remedy"), CASES, ids=[words for words, _, _ in CASES])
def test_a_contradiction_is_refused_and_its_remedy_accepted(words, line, remedy):
    with pytest.raises(UserError) as caught:
        read(words)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    read(f"{words} {remedy}")


def test_nothing_is_opened_before(command, capsys, tmp_path):
    words = ["--data", tmp_path / "nowhere", "--loss.augment-target", "0.5", "--out", tmp_path / "out"]
    assert command("train", *words) == 2
    assert capsys.readouterr().err.startswith("vaegan train: --loss.augment-target needs augmentations")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_of_weights_is_refused_before_images_are_opened(command, capsys, tmp_path):
    words = ["--loss.likelihood", "laplace", "--loss.perceptual", "lpips", "--loss.perceptual-file"]
    assert command("train", *words, tmp_path / "vgg.pth", "--data", tmp_path, "--out", tmp_path / "out") == 2
    line = f"vaegan train: --loss.perceptual-file {tmp_path}/vgg.pth does not exist; correct it, or leave it out\n"
    assert capsys.readouterr().err == line


def test_a_kind_without_a_perceptual_loss_leaves_its_file_out():
    config = read("digits --loss.likelihood laplace --loss.perceptual lpips --loss.perceptual-file vgg.pth")
    for named in ({"model.kind": "gan"}, {"model.kind": "vae-dis-l", "loss.metric": "a"}):
        assert with_settings(config, named).loss.perceptual_file is None


def test_a_file_is_refused_alike(tmp_path):
    path = tmp_path / "c.yaml"
    dump_yaml(RECIPES["digits"].config, path)
    path.write_text(path.read_text().replace("likelihood: feature", "likelihood: bernoulli"))
    with pytest.raises(UserError, match=r"c.yaml: --loss.likelihood bernoulli needs --model.output sigmoid, not tanh"):
        load_yaml(path)


@pytest.mark.parametrize(
    ("recipe", "real", "prior"), [("larsen-celeba64", 0.66, 0.34), ("kl-f4", 0.5, 0.5), ("mnist-conv", 1.0, 1.0)]
)
def test_samples_of_a_gan_take_the_share_of_all_fakes(recipe, real, prior):
    loss = read(f"{recipe} --model.kind gan").loss
    assert (loss.real_weight, loss.prior_weight) == pytest.approx((real, prior))


@pytest.mark.parametrize("recipe", ["mnist-conv", "small-32", "mnist-mlp", "larsen-celeba64", "munjal-mnist"])
def test_a_vae_from_a_recipe_of_a_vae_gan(recipe):
    base, config = RECIPES[recipe].config, read(f"{recipe} --model.kind vae")
    assert config == config_for(recipe, {"model.kind": "vae"})
    assert (config.loss.likelihood, config.model.output) == ("bernoulli", "sigmoid")
    assert (config.loss.gamma, config.loss.kl_weight, config.loss.encoder_llike_weight) == (1.0, 1.0, 1.0)
    assert config.loss.kl_schedule == "constant"
    assert config.loss.balance is None
    assert config.model.encoder == base.model.encoder
    assert config.optim == base.optim
    assert config.train == base.train


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("digits --model.kind vae --loss.kl-weight 2", {"loss.kl_weight": 2.0, "model.output": "sigmoid"}),
        (
            "digits --model.kind vae --loss.likelihood gaussian",
            {"loss.likelihood": "gaussian", "loss.gamma": 1.0, "loss.kl_weight": 1.0, "model.output": "tanh"},
        ),
        ("digits --loss.likelihood bernoulli --model.kind vae", {"model.output": "sigmoid", "loss.gamma": 1.0}),
        ("kl-f4 --model.kind vae", {"loss.likelihood": "laplace", "model.output": "centred", "loss.balance": None}),
        ("kl-f4 --model.kind gan", {"loss.perceptual": "none", "loss.balance": None}),
        ("small-32 --model.kind gan", {"train.pretrain_epochs": 0.0, "loss.balance": None, "loss.gamma": 1.0}),
        ("kl-f4 --model.kind vae-dis-l --loss.metric a", {"loss.likelihood": "feature", "loss.perceptual": "none"}),
        ("mnist-mlp --model.kind vae-dis-l --loss.metric a", {"loss.gamma": 1.0, "loss.kl_weight": 0.7}),
        ("bce-mnist-vae --model.kind ae", {"loss.likelihood": "bernoulli", "loss.kl_weight": 1.0}),
        ("small-32 --model.kind vaegan", {"loss.balance": 0.5, "train.pretrain_epochs": 40.0}),
    ],
)
def test_a_kind_brings_what_it_needs_and_no_more(words, changes):
    config = read(words)
    assert {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in changes} == changes


def test_what_is_named_and_contradicts_the_kind_is_refused():
    with pytest.raises(UserError, match=r"^--loss.likelihood bernoulli needs --model.output sigmoid, not tanh; set it"):
        read("digits --model.kind vae --model.output tanh")


@pytest.mark.parametrize("recipe", ["digits", "mnist-mlp", "mnist-gan", "kmeans-mnist-ae", "small-32"])
@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("kind", ["vaegan", "gan", "vae"])
def test_a_network_and_a_kind_bring_their_sizes(recipe, network, kind):
    """Those that the settings have no sizes for; parts that the kind lacks need none."""
    config, base = read(f"{recipe} --model.network {network} --model.kind {kind}"), RECIPES[recipe].config
    channels, side, _ = RECIPES[recipe].image_shape
    with torch.device("meta"):
        parts = build_parts(image_shape=(channels, side, side), **config.model.model_dump())
    for name, part in parts.items():
        settings = getattr(config.model, name)
        assert settings.channels or settings.hidden
        assert len([module for module in part.modules() if isinstance(module, nn.Linear)]) > (name != "decoder")
        if network == base.model.network and (getattr(base.model, name).channels or getattr(base.model, name).hidden):
            assert settings == getattr(base.model, name)


@pytest.mark.parametrize("words", ["kl-f4 --model.network conv", "photos-32 --model.network residual"])
def test_another_network_for_maps_and_patches_has_no_dense_layers(words):
    config = read(words)
    parts = build_parts(image_shape=(3, 32, 32), **config.model.model_dump())
    assert len(code_shape({"image_shape": (3, 32, 32), **config.model.model_dump()})) == 3
    assert parts["discriminator"].judges_patches


def test_sizes_that_are_named_stay():
    model = read("digits --model.network mlp --model.decoder.hidden 8,16 --model.discriminator.dropout 0.5").model
    assert (model.encoder.hidden, model.decoder.hidden) == ((512, 512), (8, 16))
    assert (model.discriminator.dropout, model.discriminator.patch) == (0.5, False)
    with pytest.raises(UserError, match=r"^model.network: \['mlp'\] is not allowed"):
        config_for("digits", {"model.network": ["mlp"]})


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--model.kind gan --loss.likelihood gaussian", "loss.likelihood"),
        ("--model.kind gan --loss.gamma 2", "loss.gamma"),
        ("--model.kind gan --loss.kl-weight 2", "loss.kl-weight"),
        ("--model.kind ae --loss.adversarial hinge", "loss.adversarial"),
        ("--model.kind ae --loss.free-bits 1", "loss.free-bits"),
        ("--loss.gamma 2 --model.kind vae", "loss.gamma"),
        ("--model.kind vae --loss.gate", "loss.gate"),
        ("bce-mnist-vae --loss.r1-weight 1", "loss.r1-weight"),
        ("mnist-gan --loss.fakes prior", "loss.fakes"),
        ("--loss.metric runs/x", "loss.metric"),
        ("--model.kind vae-dis-l --loss.metric x --loss.label-flip 0.1", "loss.label-flip"),
        ("--model.kind vae-dis-l --loss.metric x --loss.likelihood gaussian", "loss.likelihood"),
        ("--model.kind vae-dis-l --loss.metric x --model.discriminator.hidden 9", "model.discriminator.hidden"),
        ("--model.kind vae --model.discriminator.patch", "model.discriminator.patch"),
        ("bce-mnist-vae --model.discriminator.spectral-norm", "model.discriminator.spectral-norm"),
        ("mnist-gan --model.encoder.channels 8,8", "model.encoder.channels"),
        ("mnist-gan --optim.encoder-lr 0.001", "optim.encoder-lr"),
        ("--model.kind vae --optim.discriminator-lr 0.001", "optim.discriminator-lr"),
        ("--loss.metric x --model.kind vae-dis-l --loss.pixel-variance 2", "loss.pixel-variance"),
    ],
)
def test_what_has_no_effect_is_refused_where_it_is_typed(words, option):
    config = with_settings(Config(), {}) if words.startswith("--") else RECIPES[words.split()[0]].config
    kind = words.split("--model.kind ")[1].split()[0] if "--model.kind" in words else config.model.kind
    with pytest.raises(UserError) as caught:
        read(words)
    assert str(caught.value) == f"--{option} has no effect on {KINDS[kind].phrase} (--model.kind {kind}); leave it out"


def test_the_library_takes_numbers_of_numpy(monkeypatch, tmp_path):
    configs = []
    monkeypatch.setattr("vaegan.training.train", lambda config, *rest, **named: configs.append(config))
    for one in (int, np.int64), (float, np.float32):
        for number in one:
            vaegan.train("digits", out=tmp_path, loss={"gamma": number(2)}, **{"loss.kl_weight": number(3)}, seed=3)
            vaegan.train("digits", out=tmp_path, seed=np.int64(3))
    assert configs[0] == configs[2] == configs[4] == configs[6]
    assert (configs[2].loss.gamma, configs[2].loss.kl_weight, configs[3].seed) == (2.0, 3.0, 3)


def test_the_library_takes_data_by_name_or_as_a_group(monkeypatch, tmp_path):
    configs = []
    monkeypatch.setattr("vaegan.training.train", lambda config, *rest, **named: configs.append(config))
    vaegan.train("digits", data="shapes", out=tmp_path)
    vaegan.train("digits", data={"source": "shapes", "limit": 100}, out=tmp_path)
    assert [(config.data.source, config.data.limit) for config in configs] == [("shapes", None), ("shapes", 100)]


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"model": {"kind": "ae"}, "loss": {"kl_weight": 2}}, "loss.kl-weight"),
        ({"model.kind": "vae", "loss.gamma": 2}, "loss.gamma"),
        ({"model.kind": "vae", "loss.kl-weight": 2, "loss.r1-weight": 1}, "loss.r1-weight"),
    ],
)
def test_the_library_refuses_the_same(settings, option, tmp_path):
    with pytest.raises(UserError, match=rf"^--{option} has no effect on an? .* leave it out$"):
        vaegan.train("digits", out=tmp_path / "x", **settings)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "option", "remedy"),
    [
        ("--loss.pixel-variance 0.1", "loss.pixel-variance", "--loss.likelihood gaussian"),
        ("--data.crop none --data.crop-size 4", "data.crop-size", "--data.crop center"),
        ("--data x.tar --data.held-out-by shard", "data.held-out-by", "--data.stream true"),
        ("--data x.tar --data.shuffle-window 3", "data.shuffle-window", "--data.stream true"),
        ("--data x.tar --data.store-size 1", "data.store-size", "--data.stream true"),
        ("--train.best-metric none --train.best-images 5", "train.best-images", "--train.best-metric auto"),
        ("--loss.kl-epochs 3", "loss.kl-epochs", "--loss.kl-schedule linear"),
        ("--optim.name rmsprop --optim.beta1 0.5", "optim.beta1", "--optim.name adam"),
        ("--optim.name sgd --optim.beta2 0.5", "optim.beta2", "--optim.name adam"),
        ("--optim.schedule constant --optim.final-lr-factor 0.1", "optim.final-lr-factor", "--optim.schedule cosine"),
        ("--loss.balance-at last-layer", "loss.balance-at", "--loss.balance 0.5"),
        ("kl-f4 --loss.alignment rotations", "loss.alignment", "--loss.alignment-weight 0.1"),
        ("--loss.likelihood laplace --loss.feature-layer x", "loss.feature-layer", "--loss.likelihood feature"),
        ("--loss.likelihood laplace --loss.perceptual-weight 2", "loss.perceptual-weight", "--loss.perceptual auto"),
        ("--loss.augment colour --loss.augment-images 9", "loss.augment-images", "--loss.augment-target 0.6"),
        ("--loss.gate-margin 0.1", "loss.gate-margin", "--loss.gate true"),
        ("--loss.gate-equilibrium 0.1", "loss.gate-equilibrium", "--loss.gate true"),
        ("--loss.r1-every 4", "loss.r1-every", "--loss.r1-weight 10"),
        ("--optim.schedule cosine --optim.plateau-factor 0.1", "optim.plateau-factor", "--optim.schedule plateau"),
        ("--optim.plateau-patience 2", "optim.plateau-patience", "--optim.schedule plateau"),
        ("--optim.name sgd --optim.eps 0.1", "optim.eps", "--optim.name adam"),
        ("photos-32 --loss.prior-weight 5", "loss.prior-weight", "--loss.fakes both"),
        ("--loss.fakes prior --loss.reconstruction-weight 2", "loss.reconstruction-weight", "--loss.fakes both"),
    ],
)
def test_what_belongs_to_something_switched_off_is_refused_where_it_is_typed(words, option, remedy):
    with pytest.raises(UserError) as caught:
        read(words)
    switch = remedy.split()[0]
    how = rf"(without {switch}|with {switch} (feature|laplace|constant|rmsprop|sgd|cosine|reconstructions|prior))"
    assert re.fullmatch(f"--{option} has no effect {how}; add {remedy}, or leave it out", str(caught.value))
    read(f"{words} {remedy}")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("map-32 --model.encoder.kernel 7", "on --model.network residual; leave it out"),
        ("map-32 --model.decoder.norm layer", "on --model.network residual; leave it out"),
        ("conv-64 --model.encoder.blocks 5", "on --model.network conv; leave it out"),
        ("map-32 --model.discriminator.groups 8", "on --model.network residual; leave it out"),
        ("--model.network mlp --model.decoder.output-kernel 3", "on --model.network mlp; leave it out"),
        (
            "conv-64 --model.decoder.dropout 0.3",
            "without --model.decoder.hidden, because dropout follows dense layers only; leave it out",
        ),
        (
            "small-32 --loss.adversarial-weight 0.1",
            "with --loss.balance, which sets the ratio of both gradients; change --loss.balance, or leave out "
            "--loss.adversarial-weight",
        ),
    ],
)
def test_a_setting_that_the_networks_or_another_setting_leave_without_effect_is_refused(words, why):
    with pytest.raises(UserError) as caught:
        read(words)
    option = words.split("--")[-1].split()[0]
    assert str(caught.value) == f"--{option} has no effect {why}"


@pytest.mark.parametrize(
    ("parts", "name", "value"),
    [
        ("encoder", "optim.encoder_lr", 1e-4),
        ("encoder", "model.encoder.dropout", 0.1),
        ("encoder", "loss.kl_weight", 2.0),
        ("encoder", "loss.kl_epochs", 3.0),
        ("decoder", "loss.gamma", 2.0),
        ("discriminator", "loss.r1_weight", 1.0),
        ("discriminator", "loss.r1_every", 4),
        ("discriminator", "loss.gate", True),
        ("discriminator", "loss.label_smoothing", 0.1),
        ("encoder or decoder", "optim.ema", 0.9),
    ],
)
def test_what_only_frozen_parts_would_use_is_refused_where_it_is_typed(parts, name, value):
    frozen = parts.split(" or ")
    trained = tuple(part for part in PARTS if part not in frozen)
    config = config_for("digits", {"init_from": "a-model", "train.parts": trained, "model.encoder.hidden": (8,)})
    with pytest.raises(UserError) as caught:
        with_settings(config, {name: value}, typed=True)
    line = f"has no effect without training the {parts}; add {frozen[-1]} to --train.parts, or leave it out"
    assert str(caught.value) == f"--{name.replace('_', '-')} {line}"
    more = {"loss.r1_weight": 1.0} if name == "loss.r1_every" else {}
    more |= {"loss.kl_schedule": "linear"} if name == "loss.kl_epochs" else {}
    with_settings(config, {name: value, "train.parts": (*trained, frozen[-1]), **more}, typed=True)


def test_settings_that_the_networks_use_or_that_say_nothing_new_are_read():
    read("conv-64 --model.encoder.dropout 0.3 --loss.adversarial-weight 0.1")
    read("map-32 --model.encoder.dropout 0.1 --loss.adversarial-weight 0")
    read("map-32 --model.discriminator.kernel 3 --model.encoder.blocks 1 --model.decoder.kernel 5")
    read("conv-64 --model.encoder.kernel 3 --model.encoder.blocks 2")


def test_a_gan_s_fakes_are_samples_whatever_its_recipe_has():
    read("photos-32 --model.kind gan --loss.prior-weight 0.5")


def test_what_is_not_typed_or_set_to_nothing_is_not_refused(tmp_path):
    for recipe, kind in (("kl-f4", "gan"), ("mnist-gan", "ae"), ("bce-mnist-vae", "vaegan")):
        for config in (RECIPES[recipe].config, config_for(recipe, {"model.kind": kind})):
            dump_yaml(config, tmp_path / "c.yaml")
            assert read(f"--config {tmp_path / 'c.yaml'}") == config
    read("--model.kind vae --loss.balance none --loss.r1-weight 0 --loss.augment none --loss.gate no --loss.gamma 1")
    read("--loss.balance-at images --loss.r1-every 16 --loss.gate-margin 0.35")  # the defaults
    assert config_for("digits", {"model.kind": "gan", "loss.gamma": 2}).loss.gamma == 2  # a study may share settings


def test_every_setting_of_the_losses_has_a_kind_that_uses_it():
    names = [name for _, names in kinds._USES for name in names.split()]
    assert sorted(names) == sorted(LossSettings.model_fields)


def test_a_vae_from_a_recipe_trains(command, tiny_of, tmp_path):
    assert command("train", *tiny_of("vae"), "--out", tmp_path / "run") == 0
    assert load_yaml(tmp_path / "run" / "config.yaml").model.output == "sigmoid"
