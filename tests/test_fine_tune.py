"""Training that starts from another model: what comes from it, what is refused, and parts that stay frozen."""

from __future__ import annotations

import copy
import itertools
import shutil
from pathlib import Path

import pytest
import torch

import vaegan
from vaegan.config import Config
from vaegan.distributed import World
from vaegan.errors import UserError
from vaegan.kinds import _OF_TRAINED
from vaegan.models import Model
from vaegan.objectives import (
    AdversarialLoss,
    AutoencoderObjective,
    GANObjective,
    GaussianPixels,
    Noise,
    VAEGANObjective,
)
from vaegan.operations import OperationCounter
from vaegan.recipes import config_for
from vaegan.runs.initial import configured, start_from
from vaegan.runs.run_folder import RunFolder
from vaegan.settings_io import dump_yaml, load_yaml, with_settings
from vaegan.training import checkpoints
from vaegan.training.resuming import check_same
from vaegan.training.setup import set_up

STEPS = (
    "--device cpu --train.precision fp32 --train.memory-format contiguous --train.tensorboard false "
    "--train.priors none --train.best-metric none --train.batch-size 16 --train.images 64 --train.snapshot-epochs 1 "
)
LAPLACE = "--loss.likelihood laplace --loss.pixel-variance 0.5 --loss.fakes reconstructions "
VAE = {"model.kind": "vae", "loss.likelihood": "gaussian"}
NEW = "--model.discriminator.channels 4,8 --model.discriminator.strides 2,2 --model.discriminator.hidden none "


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory):
    """A run of a convolutional VAE/GAN with batch norm in all parts."""
    from vaegan.cli import main

    out = tmp_path_factory.mktemp("base") / "run"
    assert main(["train", "digits", *tiny, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published autoencoder of grey images of 8 x 8, with a latent scaling, as diffusers saves it."""
    from vaegan.exporting.diffusers import write_diffusers

    torch.manual_seed(0)
    parts = {"blocks": 1, "groups": 2, "attention": True, "quant": False}
    model = Model.from_architecture(
        {
            "kind": "vae", "network": "residual", "image_shape": (1, 8, 8), "latent_dim": 2, "latent": "map",
            "output": "centred", "init": "torch", "discriminator": {}, "encoder": {"channels": (4, 8), **parts},
            "decoder": {"channels": (8, 4), **parts},
        },
        {"scale_factor": 0.25, "shift_factor": 0.5},
    )  # fmt: skip
    write_diffusers(model, folder := tmp_path_factory.mktemp("published") / "vae")
    return f"diffusers:{folder}"


def same(a, b):
    """Whether all weights and buffers of two networks are equal, bit for bit."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def train(command, start, images_file, out, words):
    return command("train", "digits", "--data", images_file, "--init-from", start, "--out", out, *words.split())


@pytest.mark.parametrize("parts", ["decoder", "discriminator", "encoder,decoder"])
def test_frozen_parts_stay_bit_for_bit_what_they_were(parts, base, images_file, command, tmp_path, capsys):
    """Also running statistics of batch norms, held-out losses and averages change nothing."""
    out = tmp_path / "run"
    ema = "" if parts == "discriminator" else "--optim.ema 0.9"
    assert train(command, base, images_file, out, f"{STEPS} --train.parts {parts} {ema}") == 0
    before, after = vaegan.load(base), vaegan.load(out)
    trained = parts.split(",")
    for name in before.parts:
        assert same(before.parts[name], after.parts[name]) == (name not in trained), name
    log = "".join(capsys.readouterr())
    for name in before.parts:
        assert f"{name}: weights of {base}{'' if name in trained else ', frozen'}\n" in log
    assert f"frozen: {', '.join(name for name in before.parts if name not in trained)}" in log
    assert ("no KL is recorded" in log) == ("encoder" not in trained)


@pytest.mark.parametrize("frozen", _OF_TRAINED)
def test_settings_refused_for_frozen_parts_change_nothing(frozen, base, images_file):
    others = {
        "encoder.dropout": 0.5, "decoder.dropout": 0.5, "discriminator.dropout": 0.5, "loss.kl_schedule": "linear",
        "loss.label_smoothing": 0.2, "loss.label_noise": 0.2, "loss.label_flip": 0.2, "loss.gate": True,
        "loss.gate_equilibrium": 9.0, "loss.r1_every": 1, "optim.ema": 0.9,
    }  # fmt: skip
    parts = tuple(part for part in PARTS["vaegan"] if part not in frozen)
    named = {"init_from": str(base), "train.parts": parts, "data": str(images_file), "train.threads": 1}
    named |= {"train.precision": "fp32", "train.memory_format": "contiguous", "train.batch_size": 16}
    weights = []
    for values in ({}, {name: others.get(name.removeprefix("model."), 3.0) for name in _OF_TRAINED[frozen].split()}):
        config = with_settings(configured(config_for("digits"), named, base.parent / "none"), values)
        setup = set_up(config, None, World(), torch.device("cpu"))
        for _ in range(3):
            setup.trainer.step()
        weights.append(setup.model.state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_published_autoencoder_gets_a_new_discriminator_and_keeps_its_latents(
    published, images_file, command, tmp_path, capsys
):
    out = tmp_path / "run"
    words = STEPS + LAPLACE + NEW + "--train.parts decoder,discriminator"
    assert train(command, published, images_file, out, words) == 0
    log = "".join(capsys.readouterr())
    assert f"encoder: weights of {published}, frozen\n" in log
    assert f"decoder: weights of {published}\n" in log
    assert f"discriminator: new weights; {published} has no discriminator\n" in log
    before, after = vaegan.load(published), vaegan.load(out)
    assert same(before.encoder, after.encoder)
    assert not same(before.decoder, after.decoder)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(before.latents(x), after.latents(x))
    assert (after.scale_factor, after.info["shift_factor"], after.prior_names) == (0.25, 0.5, [])
    assert not (out / "samples").exists()
    assert command("export", out, "--format", "diffusers", "--out", tmp_path / "export") == 0
    again = vaegan.load(f"diffusers:{tmp_path / 'export' / 'diffusers'}")
    assert same(again.encoder, before.encoder)
    assert again.info["shift_factor"] == 0.5


def test_a_run_resumes_bit_for_bit_without_the_model_it_started_from(published, images_file, command, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(published.removeprefix("diffusers:"), source)
    words = STEPS + LAPLACE + NEW + "--train.parts decoder --model.kind vae"
    words = words.replace(NEW, "").replace("--loss.fakes reconstructions ", "")
    start = f"diffusers:{source}"
    assert train(command, start, images_file, tmp_path / "whole", words) == 0
    assert train(command, start, images_file, tmp_path / "parts", words.replace("images 64", "images 32")) == 0
    shutil.rmtree(source)
    assert train(command, start, images_file, tmp_path / "parts", words) == 0
    whole, parts = vaegan.load(tmp_path / "whole"), vaegan.load(tmp_path / "parts")
    assert same(whole, parts)
    keys = ("scale_factor", "shift_factor", "normal_prior", "images")
    assert [whole.info.get(key) for key in keys] == [parts.info.get(key) for key in keys] == [0.25, 0.5, False, 64]
    assert train(command, start, images_file, tmp_path / "another", words) == 2


def test_a_run_killed_at_its_very_start_keeps_what_came_from_the_model(
    published, images_file, command, tmp_path, monkeypatch
):
    """Before `initial.json` was written, and with half a checkpoint."""
    out, words = tmp_path / "run", STEPS + LAPLACE.replace("--loss.fakes reconstructions ", "") + "--model.kind vae "
    words += "--train.parts decoder --train.images "
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_json", lambda path, value: 1 / 0)
        assert train(command, published, images_file, out, words + "16") != 0
    assert not (out / "initial.json").exists()
    (out / "checkpoints").mkdir()
    (out / "checkpoints" / ".000000000000.99999999.part.pt").write_text("half")
    for images in ("16", "32"):
        assert train(command, published, images_file, out, words + images) == 0
    before, after = vaegan.load(published), vaegan.load(out)
    assert same(before.encoder, after.encoder)
    assert (after.info["images"], after.scale_factor, after.info.get("shift_factor")) == (32, 0.25, 0.5)


def test_the_first_process_says_whether_a_run_has_weights(base, tmp_path):
    """Others may have no checkpoint on their own disks, and then wait for a model that the first does not load."""

    class Second(World):
        """The second process of two; the first one has a checkpoint."""

        def any(self, flag):
            return False

        def share_bytes(self, data, of=0):
            return next(said)

        def share_first(self, tensors):
            pass

    said = iter([b'["fp32", "contiguous"]', b"true", b"{}"])
    config = RunFolder(base).config
    config = config.model_copy(update={"init_from": str(tmp_path / "gone")})
    set_up(config, None, Second(1, 2), torch.device("cpu"), RunFolder(tmp_path))


def test_without_frozen_parts_the_scale_is_measured_anew(published, images_file, command, tmp_path):
    words = STEPS + LAPLACE.replace("--loss.fakes reconstructions ", "") + "--model.kind vae"
    assert train(command, published, images_file, tmp_path / "run", words) == 0
    model = vaegan.load(tmp_path / "run")
    assert "shift_factor" not in model.info
    assert model.scale_factor != 0.25


def test_the_recipe_tunes_the_decoder_of_a_published_autoencoder(published, images_file, command, tmp_path, capsys):
    """After a step of the discriminator alone; what is saved is averaged, and takes the original's place."""
    words = f"{STEPS} {NEW.replace('--model.discriminator.hidden none', '')} --data.size 8 --loss.perceptual none"
    words = f"finetune-vae --data {images_file} --init-from {published} --out {tmp_path / 'run'} {words}".split()
    assert command("train", *words) == 0
    assert "training the discriminator alone up to 16 images, then a VAE/GAN" in capsys.readouterr().out
    before, after = vaegan.load(published), vaegan.load(tmp_path / "run")
    assert same(before.encoder, after.encoder)
    assert not same(before.decoder, after.decoder)
    assert (after.scale_factor, after.info["shift_factor"]) == (0.25, 0.5)
    state = torch.load(tmp_path / "run" / "checkpoints" / "000000000064.pt")
    assert all(torch.equal(t, state["averages"]["decoder"][n]) for n, t in after.decoder.state_dict().items())
    assert command("train", *words) == 0
    assert "is finished at 64 images" in capsys.readouterr().out


def test_the_recipe_asks_for_a_model_before_anything_else(command, tmp_path, capsys):
    line = "finetune-vae starts from a model; add --init-from diffusers:PATH or --init-from RUN"
    assert command("train", "finetune-vae", "--data", tmp_path / "none", "--out", tmp_path / "run") == 2
    assert line in capsys.readouterr().err
    with pytest.raises(UserError, match=line):
        vaegan.train("finetune-vae", data=str(tmp_path / "none"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert command("train", "finetune-vae", "--help") == 0


def test_networks_come_from_the_model_unless_named(base, published):
    digits = config_for("digits")
    config = configured(digits, {"init_from": str(base)}, base.parent / "none")
    assert config.model.encoder.channels == (4, 8)
    assert config.model.discriminator.hidden == (16,)
    assert (config.model.latent_dim, config.data.size, config.data.channels) == (4, 8, 1)
    assert config.model.init == digits.model.init
    named = {"init-from": str(base), "model.discriminator.hidden": (8,), "model.encoder.dropout": 0.1}
    config = configured(digits, named, base.parent / "none")
    assert (config.model.discriminator.hidden, config.model.encoder.dropout) == ((8,), 0.1)
    config = configured(config_for("kl-f8"), {"init_from": published}, base.parent / "none")
    assert (config.model.encoder.quant, config.model.encoder.groups, config.model.latent_dim) == (False, 2, 2)
    assert config.model.discriminator == config_for("kl-f8").model.discriminator
    assert config.data.size == 128  # maps fit any size


def test_a_trained_model_is_not_pretrained_again_unless_that_is_named(base, tmp_path):
    recipe, start = config_for("small-32", {"data.size": 8}), {"init_from": str(base), "data.channels": 1}
    assert recipe.train.pretrain_epochs > 0
    decoder = configured(recipe, {**start, "train.parts": ("decoder",)}, tmp_path / "run")
    assert decoder.train.pretrain_epochs == 0
    dump_yaml(decoder, tmp_path / "run/config.yaml")
    assert configured(recipe, {**start, "train.parts": ("decoder",)}, tmp_path / "run") == decoder
    named = {**start, "train.pretrain_epochs": 2.0}
    assert configured(recipe, named, tmp_path / "other").train.pretrain_epochs == 2


def test_a_discriminator_that_was_never_trained_is_not_frozen(base):
    model = vaegan.load(base)
    model.info |= {"pretrain_images": 10_000}
    start = base.parent / "pretrained"
    model.save(start)
    config = config_for("digits", {"init_from": str(start), "train.parts": ("decoder",)})
    with pytest.raises(UserError, match="a discriminator that was never trained; add discriminator to"):
        list(start_from(vaegan.load(base), config))
    config = with_settings(config, {"train.parts": ("decoder", "discriminator")})
    assert len(list(start_from(vaegan.load(base), config))) == 3


def test_a_run_is_resumed_however_the_place_of_its_start_is_written(base, tmp_path, monkeypatch):
    monkeypatch.chdir(base.parent)
    before = configured(config_for("digits"), {"init_from": base.name}, tmp_path / "run")
    dump_yaml(before, tmp_path / "run/config.yaml")
    for start in (f"{base.name}/", str(base)):
        now = configured(config_for("digits"), {"init_from": start}, tmp_path / "run")
        check_same(before, now, tmp_path / "run")
    now = with_settings(now, {"init_from": "other"})
    with pytest.raises(UserError, match=f"is a run with init-from {base.name}, not other; keep the old value"):
        check_same(before, now, tmp_path / "run")


def test_a_model_named_in_a_file_of_settings_brings_its_networks_too(base, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"init_from: {base}\nloss: {{gamma: 2}}\n")
    config = configured(load_yaml(tmp_path / "mine.yaml"), {}, tmp_path / "run")
    assert config.model == configured(Config(), {"init_from": str(base)}, tmp_path / "run").model
    assert (config.model.encoder.channels, config.loss.gamma) == ((4, 8), 2)
    widths = "encoder: {channels: [9, 8]}, decoder: {channels: [8, 4]}, discriminator: {channels: [4, 8, 8]}"
    (tmp_path / "other.yaml").write_text(f"init_from: {base}\nmodel: {{{widths}}}\n")
    with pytest.raises(UserError, match=r"^--model.encoder.channels is 4,8 in --init-from .*, not 9,8; leave it out"):
        configured(load_yaml(tmp_path / "other.yaml"), {}, tmp_path / "run")
    assert configured(Config(), {"init_from": None}, tmp_path / "run") == Config()


@pytest.mark.parametrize(
    ("start", "named", "message"),
    [
        (
            "base",
            {"model.encoder.channels": (4, 16)},
            "--model.encoder.channels is 4,8 in --init-from .*, not 4,16; leave",
        ),
        ("base", {"model.latent_dim": 8}, "--model.latent-dim is 4 in --init-from"),
        ("base", {"model.network": "mlp"}, "--model.network is conv in --init-from .*, not mlp; leave it out"),
        ("base", {"data.size": 16}, "--data.size is 8 in --init-from"),
        ("base", {"model.kind": "ae"}, "is of kind vaegan, whose encoder does not fit --model.kind ae"),
        ("base", {"train.parts": ("decoder",), **VAE}, None),
        (
            "base",
            {"train.parts": ("discriminator",), **VAE},
            "trains no discriminator; choose among encoder",
        ),
        ("base", {"train.parts": ("decoder",), "train.pretrain_epochs": 1}, "--train.pretrain-epochs"),
        (
            "base",
            {"train.parts": ("discriminator",), "loss.balance": 1},
            "--loss.balance needs the decoder in training; add decoder to --train.parts, or set it to none",
        ),
        ("nowhere", {}, "no run or saved model at nowhere"),
        (None, {"train.parts": ("decoder",)}, "would freeze other networks at random weights"),
        (None, {"train.parts": ("encoder", "decoder", "discriminator")}, None),
    ],
)
def test_contradictions_are_refused_before_slow_work(start, named, message, base, tmp_path):
    named = {**named, **({} if start is None else {"init_from": str(base) if start == "base" else start})}
    if message is None:
        configured(config_for("digits"), named, tmp_path)
        return
    with pytest.raises(UserError, match=message) as caught:
        configured(config_for("digits"), named, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", ["run", "run/model", "link", "diffusers:run/published"])
def test_a_model_inside_the_new_run_is_refused(base, published, tmp_path, monkeypatch, start):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base, "run")
    shutil.copytree(published.removeprefix("diffusers:"), "run/published")
    (tmp_path / "link").symlink_to("run/model")
    with pytest.raises(UserError, match=f"--init-from {start} is in --out run, where the new model goes; choose"):
        configured(config_for("digits"), {"init_from": start}, Path("run"), overwrite=True)


@pytest.fixture
def unopened(monkeypatch):
    """No images are opened."""
    monkeypatch.setattr("vaegan.training.setup.open_data", None)


@pytest.mark.usefixtures("unopened")
def test_a_part_that_the_model_does_not_have_cannot_be_frozen(published, images_file, command, tmp_path, capsys):
    words = STEPS + LAPLACE + NEW + "--train.parts decoder"
    assert train(command, published, images_file, tmp_path / "run", words) == 2
    error = capsys.readouterr().err
    assert f"{published} has no discriminator; add discriminator to --train.parts to train a new one" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("unopened")
def test_sizes_that_the_model_does_not_take_are_refused(published, images_file, command, tmp_path, capsys):
    words = f"{STEPS}{LAPLACE}{NEW}--train.parts decoder,discriminator --data.size 10x7"
    assert train(command, published, images_file, tmp_path / "run", words) == 2
    line = f"--init-from {published} takes images whose sides are multiples of 2, not 10x7; choose another --data.size"
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_left_out_or_new_is_said_for_each_part(base, make_model, tmp_path):
    config = config_for("digits", {"init_from": str(base), "model.kind": "vae"})
    model = vaegan.load(base).with_parts({})
    model.discriminator = None
    assert list(start_from(model, config)) == [
        f"encoder: weights of {base}", f"decoder: weights of {base}", f"discriminator of {base}: left out",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"--init-from .* has other layers in its encoder; choose another"):
        list(start_from(make_model(), config_for("digits", {"init_from": str(base)})))


def objective(kind, parts):
    """An objective on small networks without batch norm, of which others than ``parts`` are frozen."""
    own = {"hidden": [8], "norm": "none"}
    torch.manual_seed(0)
    model = Model.from_architecture({
        "kind": kind, "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": "tanh", "init": "torch",
        "encoder": own, "decoder": own, "discriminator": own,
    })  # fmt: skip
    networks = copy.deepcopy(model.parts)
    for name, network in networks.items():
        if name not in parts:
            network.requires_grad_(False).eval()
    if kind == "gan":
        return GANObjective(**networks, adversarial=AdversarialLoss("non-saturating"))
    if kind == "vae":
        return AutoencoderObjective(**networks, likelihood=GaussianPixels((-1.0, 1.0)))
    return VAEGANObjective(**networks, adversarial=AdversarialLoss("hinge"), balance=0.5)


PARTS = {
    "vaegan": ("encoder", "decoder", "discriminator"),
    "vae": ("encoder", "decoder"),
    "gan": ("decoder", "discriminator"),
}


SOME = [
    (kind, some)
    for kind, parts in PARTS.items()
    for n in range(1, len(parts))
    for some in itertools.combinations(parts, n)
]


@pytest.mark.parametrize(("kind", "parts"), SOME)
def test_gradients_are_those_of_the_whole_and_cost_less(kind, parts):
    x, noise = torch.rand(6, 1, 4, 4) * 2 - 1, Noise.draw(6, 3, seed=0, images=0)
    results, costs = [], []
    for trained in (PARTS[kind], parts):
        made = objective(kind, trained)
        with OperationCounter() as counter:
            results.append(made.step(x, noise, record=True))
        costs.append(counter.total)
        assert made.evaluate(x, noise).keys() == set(trained)
    whole, some = results
    assert some.gradients.keys() == some.losses.keys() == set(parts)
    for part in parts:
        torch.testing.assert_close(some.gradients[part], whole.gradients[part])
        assert some.losses[part].keys() == whole.losses[part].keys()
    assert costs[1] < costs[0]
