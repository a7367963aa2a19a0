"""What a training leaves behind: the run folder, for every kind of model and every option."""

from __future__ import annotations

import functools
import json
import math
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.config import Config
from vaegan.data import open_data
from vaegan.pixels import to_uint8
from vaegan.recipes import config_for
from vaegan.report.grid import grid, triptych
from vaegan.settings_io import load_yaml, setting_names

GAN_TERMS = {"real", "prior", "total"}
LOSSES = {
    "ae": {"encoder": {"llike", "total"}, "decoder": {"llike", "total"}},
    "vae": {"encoder": {"kl", "llike", "total"}, "decoder": {"llike", "total"}},
    "gan": {"decoder": {"adversarial", "total"}, "discriminator": GAN_TERMS},
    "vaegan": {
        "encoder": {"kl", "llike", "total"},
        "decoder": {"llike", "adversarial", "total"},
        "discriminator": GAN_TERMS | {"reconstruction"},
    },
}
LOSSES["vae-dis-l"] = LOSSES["vae"]
WORDS = {"ae": ["--loss.likelihood", "gaussian"], "vae": ["--loss.likelihood", "gaussian"], "gan": [], "vaegan": []}


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def weights(run):
    return vaegan.load(run).state_dict()


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def of_kind(tiny_of, tmp_path_factory):
    """Run folder of two epochs of a kind of model, trained when first asked for."""
    from vaegan.cli import main

    folder = tmp_path_factory.mktemp("kinds")

    def run(kind):
        out = folder / kind
        words = WORDS[kind] if kind != "vae-dis-l" else ["--loss.metric", str(run("vaegan"))]
        if not out.exists():
            words = [
                *words,
                "--train.epochs",
                "2",
                "--train.keep-checkpoints",
                "2",
                "--train.tensorboard",
                "true",
            ]
            assert main(["train", *tiny_of(kind), *words, "--out", str(out)]) == 0
        return out

    return run


@pytest.mark.parametrize("kind", LOSSES)
def test_a_run_folder_holds_all_it_should(kind, of_kind):
    run = of_kind(kind)
    expected = {"config.yaml", "data.json", "status.json", "metrics.jsonl", "checkpoints"}
    expected |= {"losses.png", "model", "tensorboard"}
    expected |= {"samples", "samples.gif"} if kind != "ae" else set()
    expected |= {"reconstructions"} if kind != "gan" else set()
    expected |= {"triptychs"} if kind not in ("ae", "gan") else set()
    assert set(files(run)) == expected
    assert files(run / "model") == ["config.json", "model.safetensors"]
    # 101 images in batches of 16: the epochs end in the 7th and 13th step.
    pictures = ["000000000112.png", "000000000208.png"]
    assert files(run / "checkpoints") == [f"{p[:12]}.{end}" for p in pictures for end in ("pt", "sha256")]
    for folder in expected & {"samples", "reconstructions", "triptychs"}:
        assert files(run / folder) == pictures


def test_the_settings_are_complete_and_start_the_same_run_again(of_kind, command, tmp_path):
    run = of_kind("vaegan")
    config = load_yaml(run / "config.yaml")
    text = (run / "config.yaml").read_text()
    assert all(f"{name.split('.')[-1]}:" in text for name in setting_names())
    assert (config.train.precision, config.train.memory_format) == ("fp32", "contiguous")
    assert (config.data.size, config.data.channels, config.train.log_images) == (8, 1, 2)  # resolved
    assert command("train", "--config", run / "config.yaml", "--out", tmp_path / "again") == 0
    assert_same_weights(weights(run), weights(tmp_path / "again"))
    assert load_yaml(tmp_path / "again" / "config.yaml") == config


@pytest.mark.parametrize("kind", LOSSES)
def test_records_hold_the_losses_of_each_part(kind, of_kind):
    train = [record for record in records(of_kind(kind)) if record["split"] == "train"]
    test = [record for record in records(of_kind(kind)) if record["split"] == "test"]
    assert [record["images"] for record in train] == list(range(16, 209, 16))
    assert [record["images"] for record in test] == [112, 208]
    for record in train + test:
        assert {part: set(terms) for part, terms in record["losses"].items()} == LOSSES[kind]
        assert record["epoch"] == pytest.approx(record["images"] / 101, abs=1e-6)
        assert all(math.isfinite(value) for terms in record["losses"].values() for value in terms.values())
    for record in train:
        assert record["gradients"].keys() == LOSSES[kind].keys()
        assert all(value > 0 for value in record["gradients"].values())
        assert record["images_per_second"] > 0
        assert record["routes"]
        assert record["kl_factor"] == 1.0
        assert record["lr"].keys() == LOSSES[kind].keys()
        assert all(rate > 0 for rate in record["lr"].values())
    if kind == "vaegan":
        routes = {"decoder/llike", "decoder/adversarial-reconstruction", "decoder/adversarial-prior", "encoder/llike"}
        logits = {f"discriminator/logit-{name}" for name in ("real", "reconstruction", "prior")}
        accuracies = {f"discriminator/accuracy-{name}" for name in ("reconstruction", "prior")}
        assert train[0]["routes"].keys() == routes | logits | accuracies


def test_records_are_means_over_the_steps_since_the_last(of_kind, command, tiny, tmp_path):
    words = [*WORDS["vaegan"], "--train.epochs", "2", "--train.log-images", "48"]
    assert command("train", *tiny, *words, "--out", tmp_path) == 0
    single = [record["losses"] for record in records(of_kind("vaegan")) if record["split"] == "train"]
    coarse = [record for record in records(tmp_path) if record["split"] == "train"]
    assert [record["images"] for record in coarse] == [48, 96, 112, 144, 192, 208]  # and one at each snapshot
    ends = [0, 3, 6, 7, 9, 12, 13]
    for record, start, stop in zip(coarse, ends, ends[1:], strict=False):
        for part, terms in record["losses"].items():
            for name, value in terms.items():
                mean = np.mean([losses[part][name] for losses in single[start:stop]])
                assert value == pytest.approx(mean, rel=1e-5), (part, name)


def test_grids_show_fixed_codes_and_originals(of_kind):
    run = of_kind("vaegan")
    sheet = np.asarray(Image.open(run / "samples" / "000000000208.png"))
    first = np.asarray(Image.open(run / "samples" / "000000000112.png"))
    assert sheet.shape == first.shape
    assert (sheet != first).any()
    assert (sheet == grid(to_uint8(vaegan.load(run).sample(64, seed=0)))[:, :, 0]).all()
    originals = open_data(load_yaml(run / "config.yaml").data.source).test.images[:9]
    pictures = torch.from_numpy(originals).permute(0, 3, 1, 2) / 255
    expected = grid(to_uint8(vaegan.load(run).reconstruct(pictures)), columns=8, originals=originals)
    assert (np.asarray(Image.open(run / "reconstructions" / "000000000208.png")) == expected[:, :, 0]).all()
    model = vaegan.load(run)
    expected = triptych(originals, to_uint8(model.reconstruct(pictures)), to_uint8(model.sample(9, seed=0)))
    assert (np.asarray(Image.open(run / "triptychs" / "000000000208.png")) == expected[:, :, 0]).all()


def test_the_film(of_kind):
    run = of_kind("vaegan")
    with Image.open(run / "samples.gif") as film:
        assert film.n_frames == 2
        assert film.size == Image.open(run / "samples" / "000000000208.png").size


def test_tensorboard_files_hold_scalars_and_images(of_kind):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = of_kind("vaegan")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("samples")] == [112, 208]
    assert [event.step for event in events.Images("reconstructions")] == [112, 208]
    kl = {event.step: event.value for event in events.Scalars("encoder/kl/train")}
    assert kl == {
        record["images"]: pytest.approx(record["losses"]["encoder"]["kl"])
        for record in records(run)
        if record["split"] == "train"
    }
    assert {"decoder/llike/test", "gradients/encoder", "routes/decoder/llike"} <= set(events.Tags()["scalars"])


def test_tensorboard_files_hold_histograms_of_the_last_snapshot(of_kind):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = of_kind("vaegan")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    state = torch.load(run / "checkpoints" / "000000000208.pt")
    for part, weights in state["parts"].items():
        named = dict(vaegan.load(run).parts[part].named_parameters())
        for name in named:
            last = events.Histograms(f"{part}/{name}/weight")[-1]
            assert last.step == 208
            assert last.histogram_value.num == weights[name].numel()
            assert last.histogram_value.sum == pytest.approx(weights[name].sum().item(), rel=1e-4, abs=1e-5)
        # The last step's gradients, by their length: the last record is of that step alone.
        squares = sum(events.Histograms(f"{part}/{name}/gradient")[-1].histogram_value.sum_squares for name in named)
        length = [r for r in records(run) if r["split"] == "train"][-1]["gradients"][part]
        assert squares == pytest.approx(length**2, rel=1e-4)


def test_tensorboard_keeps_what_was_before_a_resume(command, tiny, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for epochs in ("1", "2"):
        words = ["--train.epochs", epochs, "--train.tensorboard", "true", "--out", tmp_path]
        assert command("train", *tiny, *words) == 0
        time.sleep(1)  # TensorBoard orders its files by the second in their names
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("samples")] == [112, 208]


def test_a_moved_run_is_loaded_and_sampled(of_kind, tmp_path):
    run = of_kind("vaegan")
    samples = vaegan.load(run).sample(3, seed=1)
    shutil.copytree(run, tmp_path / "elsewhere")
    model = vaegan.load(tmp_path / "elsewhere")
    assert torch.equal(model.sample(3, seed=1), samples)
    assert model.info["images"] == 208
    assert (model.info["recipe"], model.info["data"], model.info["seed"]) == ("digits", "blobs", 0)
    assert model.info["device"] == "cpu"


def test_the_averaged_weights_are_those_saved_and_shown(command, tiny, tmp_path):
    assert command("train", *tiny, "--optim.ema", "0.9", "--out", tmp_path) == 0
    state = torch.load(tmp_path / "checkpoints" / "000000000112.pt")
    model = vaegan.load(tmp_path)
    for part in ("encoder", "decoder"):
        assert_same_weights(getattr(model, part).state_dict(), state["averages"][part])
        name = next(iter(state["parts"][part]))
        assert not torch.equal(state["averages"][part][name], state["parts"][part][name])
    assert_same_weights(model.discriminator.state_dict(), state["parts"]["discriminator"])


def test_the_library_call_does_what_the_command_does(of_kind, tiny, tmp_path):
    options = dict(zip([word[2:] for word in tiny[::2]], tiny[1::2], strict=True))
    settings = {name: value.split(",") if "," in value else value for name, value in options.items()}
    lists = ("model.encoder.hidden", "model.decoder.first-channels", "model.discriminator.hidden")
    settings |= {name: [settings[name]] for name in lists if name.endswith("hidden")}
    data = settings.pop("data")
    settings |= {"train.epochs": 2, "train.keep_checkpoints": 2, "model.kind": "vaegan", "train.priors": []}
    run = vaegan.train(data=data, out=tmp_path / "run", **settings)
    assert_same_weights(weights(run.path), weights(of_kind("vaegan")))
    assert list(run.records())[-1]["images"] == 208
    wanted = config_for("digits", {"data": data, **settings})
    assert isinstance(run.config, Config)
    assert (run.config.model, run.config.loss, run.config.optim) == (wanted.model, wanted.loss, wanted.optim)


def test_the_metric_of_vae_dis_l_is_the_other_runs_discriminator_and_stays(of_kind):
    metric, run = vaegan.load(of_kind("vaegan")), vaegan.load(of_kind("vae-dis-l"))
    assert_same_weights(metric.discriminator.state_dict(), run.discriminator.state_dict())


def test_a_run_keeps_its_metric_whatever_becomes_of_the_other_run(of_kind, command, tiny_of, tmp_path, capsys):
    metric, out = tmp_path / "metric", tmp_path / "run"
    shutil.copytree(of_kind("vaegan") / "model", metric)
    words = ["train", *tiny_of("vae-dis-l"), "--loss.metric", metric, "--train.images"]
    assert command(*words, "32", "--out", out) == 0
    assert command(*words, "64", "--out", tmp_path / "whole") == 0
    model = vaegan.load(metric)
    for weight in model.discriminator.parameters():
        weight.data.mul_(2)
    model.save(metric)
    shutil.copytree(out, tmp_path / "before")
    assert command(*words, "64", "--out", out) == 0
    assert_same_weights(weights(out), weights(tmp_path / "whole"))

    shutil.rmtree(tmp_path / "before" / "model")  # as if it was stopped before its first snapshot
    capsys.readouterr()
    assert command(*words, "64", "--out", tmp_path / "before") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"the weights of the discriminator in --loss.metric {metric} differ from those that" in told
    metric.rename(tmp_path / "other")
    assert command(*words, "80", "--out", out) == 0

    shutil.copytree(of_kind("vaegan") / "model", tmp_path / "moved")
    for name, code, told in (
        ("none", 2, f"no run or saved model at {tmp_path / 'none'}"),
        ("other", 2, f"the weights of the discriminator in --loss.metric {tmp_path / 'other'} differ from those that"),
        ("moved", 0, ""),
    ):
        named = [tmp_path / name if word == metric else word for word in words]
        assert command(*named, "96", "--out", out) == code
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "--loss.adversarial minimax",
        "--loss.adversarial hinge --model.discriminator.norm group",
        "--loss.fakes prior",
        "--loss.fakes reconstructions",
        *(f"--loss.kl-schedule {name}" for name in ("inverse-batch", "inverse-latent", "sigmoid", "cyclic")),
        "--loss.kl-schedule exponential --loss.free-bits 0.1",
        "--loss.label-smoothing 0.1 --loss.label-noise 0.1 --loss.label-flip 0.1 --loss.gate",
        "--loss.r1-weight 5 --loss.r1-every 2",
        "--loss.r1-weight 5 --loss.r1-every 2 --train.precision bf16 --model.discriminator.spectral-norm",
        "--model.discriminator.spectral-norm --model.discriminator.minibatch-features 4",
        "--loss.feature-layer conv2.norm",
        "--loss.likelihood gaussian --loss.pixel-variance 0.1",
        "--loss.likelihood gaussian-learned",
        "--loss.likelihood bernoulli --model.output sigmoid",
        "--model.kind vae --loss.likelihood bernoulli --model.output sigmoid",
        "--model.kind vae --loss.likelihood gaussian-learned",
        "--train.precision bf16 --train.memory-format channels_last",
        "--optim.name sgd --optim.lr 0.001 --optim.schedule anneal",
        "--optim.name adamw --optim.weight-decay 0.1 --optim.schedule cosine",
        "--optim.name rmsprop --optim.schedule linear --optim.final-lr-factor 0.1",
        "--optim.clip 0.5 --optim.decoder-lr 0.001 --optim.encoder-lr 0.0001",
        "--data.flip --model.encoder.dropout 0.3 --model.decoder.norm layer --model.init dcgan",
        "--train.batch-size 200 --train.images 300",
        "--data.size 12 --data.channels 3",
        "--train.precision auto --train.memory-format auto",
    ],
)
def test_every_option_trains_a_few_steps(words, command, tiny_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    out = tmp_path / "run"
    tiny = tiny_of("vae" if "--model.kind vae" in words else "vaegan")
    assert command("train", *tiny, "--train.images", "48", *words.split(), "--out", out) == 0
    before = records(out)
    assert before[-1]["split"] == "test"
    assert command("train", *tiny, *words.split(), "--train.images", "320", "--out", out) == 0, "resume"
    assert records(out)[: len(before)] == before
    assert records(out)[-1]["images"] >= 320
    assert vaegan.load(out).sample(2).isfinite().all()


def test_a_snapshot_before_the_first_record_and_one_held_out_image(command, tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(1).integers(0, 255, (9, 8, 8)).astype(np.uint8))
    words = [
        "--data",
        tmp_path / "few.npy",
        "--data.held-out",
        "0.01",
        "--train.batch-size",
        "4",
        "--train.epochs",
        "1",
    ]
    words += ["--train.log-images", "1000", "--train.precision", "fp32", "--train.memory-format", "contiguous"]
    assert command("train", *words, "--out", tmp_path / "run") == 0
    found = [(record["images"], record["split"]) for record in records(tmp_path / "run")]
    assert found == [(0, "start"), (8, "train"), (8, "test")]


def test_a_decoder_is_compiled_where_its_logits_are_asked_for(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    form = {"train.precision": "fp32", "train.memory_format": "contiguous", "data.limit": 40, "device": "cpu"}
    settings = {"model.kind": "vae", "train.compile": True, "train.images": 8, "train.batch_size": 8, **form}
    vaegan.train("digits", out=tmp_path / "run", **settings)
    assert [function.__name__ for function in compiled].count("logits") == 1


def test_compiled_networks_train_alike(command, tiny, tmp_path, monkeypatch):
    """Their graphs are traced and run by autograd; code in C++, which takes half a minute, is torch's business."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    words = ["--model.network", "mlp", "--model.output", "sigmoid", "--train.images", "48"]
    words += ["--model.decoder.first-channels", "256"]  # the default, as an MLP has no use for it
    for part in ("encoder", "decoder", "discriminator"):
        words += [f"--model.{part}.channels=", f"--model.{part}.strides=none", f"--model.{part}.hidden", "8"]
    runs = {}
    for name in ("true", "false"):
        assert command("train", *tiny, *words, "--train.compile", name, "--out", tmp_path / name) == 0
        runs[name] = weights(tmp_path / name)
    assert runs["true"].keys() == runs["false"].keys()
    for name, tensor in runs["false"].items():
        torch.testing.assert_close(runs["true"][name], tensor, rtol=1e-3, atol=1e-4)
