"""Autoencoders in the layout of diffusers: they open as models and give what diffusers' own class gives."""

from __future__ import annotations

import functools
import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import vaegan
from vaegan.errors import UserError
from vaegan.exporting import export_model
from vaegan.models.published import diffusers_name
from vaegan.objectives import Noise
from vaegan.objectives.autoencoder import AutoencoderObjective
from vaegan.runs.locate import locate, run_name

SMALL = {
    "block_out_channels": (4, 8), "down_block_types": ("DownEncoderBlock2D",) * 2, "sample_size": 8,
    "up_block_types": ("UpDecoderBlock2D",) * 2, "norm_num_groups": 2, "latent_channels": 2,
}  # fmt: skip
FOUR = {
    "block_out_channels": (4, 8, 12, 12), "down_block_types": ("DownEncoderBlock2D",) * 4, "sample_size": 32,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "norm_num_groups": 4, "layers_per_block": 2,
}  # fmt: skip
SHAPES = {
    "sd-1": FOUR,
    "sdxl": {**FOUR, "scaling_factor": 0.13025, "force_upcast": False, "sample_size": [16, 24]},
    "flux": {
        **FOUR, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
    },
    "statistics": {
        **SMALL, "latents_mean": [0.1, -0.2], "latents_std": [2.0, 3.0], "mid_block_add_attention": False,
        "use_post_quant_conv": False, "in_channels": 1, "out_channels": 1,
    },
}  # fmt: skip
WEIGHTS = "diffusion_pytorch_model.safetensors"


def save(folder, **changes):
    """Save an `AutoencoderKL` of random weights, none of them one or zero, and return it."""
    diffusers = pytest.importorskip("diffusers", reason="needs the extra diffusers: pip install -e '.[diffusers]'")
    torch.manual_seed(0)
    autoencoder = diffusers.AutoencoderKL(**{**SMALL, **changes}).eval()
    for parameter in autoencoder.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, float(parameter.detach().mean().round()), 0.1)
    autoencoder.save_pretrained(folder)
    return autoencoder


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """The folder of a pipeline, whose autoencoder takes grey images of 8 x 8."""
    folder = tmp_path_factory.mktemp("grey")
    save(folder / "vae", in_channels=1, out_channels=1)
    return folder


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", SHAPES)
def test_outputs_equal_those_of_diffusers(name, dtype, atol, tmp_path):
    theirs = save(tmp_path, **SHAPES[name]).to(dtype)
    ours = vaegan.load(f"diffusers:{tmp_path}").to(dtype)
    x = torch.rand(2, *ours.image_shape, dtype=dtype)
    with torch.no_grad():
        posterior = theirs.encode(2 * x - 1).latent_dist
        decoded = theirs.decode(posterior.mean).sample / 2 + 0.5
    mu, logvar = ours.posterior(x)
    close = functools.partial(torch.testing.assert_close, atol=atol, rtol=atol)
    close(ours.maps(mu), posterior.mean)
    close(ours.maps(logvar), posterior.logvar)
    close(ours.decoder(posterior.mean.flatten(1)).detach() / 2 + 0.5, decoded)
    assert decoded.std() > 0.02
    c = theirs.config
    shift = torch.tensor(c.latents_mean or [c.shift_factor or 0.0]).view(-1, 1, 1)
    factor = c.scaling_factor / torch.tensor(c.latents_std or [1.0]).view(-1, 1, 1)
    torch.testing.assert_close(ours.latents(x), (posterior.mean - shift) * factor, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.decode_latents(ours.latents(x)), decoded.clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_extreme_log_variances_are_those_of_diffusers(tmp_path):
    """Cut to the same range, in the KL and in the codes that are drawn, without gradients beyond it."""
    theirs = save(tmp_path)
    with torch.no_grad():
        theirs.quant_conv.weight[2:] *= 40
        theirs.quant_conv.bias[2:] = torch.tensor([20.0, -30.0])
    theirs.double().save_pretrained(tmp_path)
    ours = vaegan.load(f"diffusers:{tmp_path}").double()
    x, eps = 2 * torch.rand(2, *ours.image_shape).double() - 1, torch.randn(2, *ours.code_shape).double()
    posterior = theirs.encode(x).latent_dist
    for channel, end in enumerate((20.0, -30.0)):
        assert 0.1 < (posterior.logvar[:, channel] == end).double().mean() < 0.9
    y = theirs.decode(posterior.mean + posterior.std * eps).sample
    loss = 0.5 * (x - y).square().sum() / 2 + 1e-6 * posterior.kl().mean()
    loss.backward()
    step = AutoencoderObjective(ours.encoder, ours.decoder, kl_weight=1e-6).step(x, Noise(eps.flatten(1), eps, eps, 0))
    torch.testing.assert_close(step.losses["encoder"]["kl"], posterior.kl().detach().mean())
    of_theirs = {name: weight.grad for name, weight in theirs.named_parameters()}
    for part, gradients in step.gradients.items():
        names = [f"{part}.{name}" for name, _ in getattr(ours, part).named_parameters()]
        for name, gradient in zip(names, gradients, strict=True):
            grad = of_theirs[diffusers_name(name)]
            torch.testing.assert_close(gradient, grad, rtol=1e-6, atol=1e-10)  # some are 0


@pytest.mark.parametrize("name", SHAPES)
def test_a_round_trip_keeps_weights_and_choices(name, tmp_path):
    theirs = save(tmp_path / "a", **SHAPES[name])
    export_model(vaegan.load(f"diffusers:{tmp_path / 'a'}"), tmp_path / "b", ["diffusers"])
    again = type(theirs).from_pretrained(tmp_path / "b" / "diffusers")
    again.save_pretrained(tmp_path / "c")
    export_model(vaegan.load(f"diffusers:{tmp_path / 'c'}"), tmp_path / "d", ["diffusers"])
    first, last = (safetensors.torch.load_file(tmp_path / place / WEIGHTS) for place in ("a", "d/diffusers"))
    assert first.keys() == last.keys()
    assert all(torch.equal(first[key], last[key]) for key in first)
    for chosen in (again.config, json.loads((tmp_path / "d" / "diffusers" / "config.json").read_text())):
        assert {k: _plain(v) for k, v in chosen.items() if k[0] != "_"} == {
            k: _plain(v) for k, v in theirs.config.items() if k[0] != "_"
        }


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def test_old_names_of_attention_and_half_precision_are_read(tmp_path):
    save(tmp_path)
    expected = vaegan.load(f"diffusers:{tmp_path}")
    tensors = safetensors.torch.load_file(tmp_path / WEIGHTS)
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        tensors = {key.replace(f"attentions.0.{new}.", f"attentions.0.{old}."): t for key, t in tensors.items()}
    assert any("proj_attn" in key for key in tensors)
    safetensors.torch.save_file({key: t.half() for key, t in tensors.items()}, tmp_path / WEIGHTS)
    model = vaegan.load(f"diffusers:{tmp_path}")
    assert all(torch.equal(t, expected.state_dict()[key].half().float()) for key, t in model.state_dict().items())


def test_a_file_of_half_precision_is_read_where_there_is_no_other(grey, tmp_path, monkeypatch):
    """By folder and by hub id, which downloads it only then."""
    shutil.copy(grey / "vae" / "config.json", tmp_path)
    whole = safetensors.torch.load_file(grey / "vae" / WEIGHTS)
    half = {key: tensor.half() for key, tensor in whole.items()}
    safetensors.torch.save_file(half, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
    expected = {key: tensor.half().float() for key, tensor in vaegan.load(f"diffusers:{grey}").state_dict().items()}
    asked = []
    monkeypatch.setattr("vaegan.runs.locate.download_model", lambda name, files: asked.append(files[1]) or tmp_path)
    for place in (tmp_path, "owner/name"):
        model = vaegan.load(f"diffusers:{place}")
        assert model.folder is None
        assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())
    assert asked == [WEIGHTS, "diffusion_pytorch_model.fp16.safetensors"]
    shutil.copy(grey / "vae" / WEIGHTS, tmp_path)
    state = vaegan.load(f"diffusers:{tmp_path}").state_dict()
    assert any(not torch.equal(tensor, expected[key]) for key, tensor in state.items())


@pytest.mark.parametrize(
    "words",
    [
        "reconstruct RUN --data IMAGES --num 4 --out OUT.png",
        "encode RUN --data IMAGES --scaled --out OUT.npz",
        "interpolate RUN --data IMAGES --out OUT.png",
        "traverse RUN --data IMAGES --num 1 --out OUT.png",
        "evaluate RUN --data IMAGES --num 20 --extractor pixels --out OUT.json",
        "priors RUN --data IMAGES --priors gaussian --out OUT",
        "cluster RUN --data IMAGES --k 2 --out OUT",
        "compare RUN RUN/vae --data IMAGES --num 20 --extractor pixels --out OUT.html",
        "report RUN --data IMAGES --out OUT.html",
        "export RUN --format safetensors,diffusers --out OUT",
    ],
)
def test_a_command(grey, images_file, command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in grey.rglob("*")}
    replaced = {"RUN": f"diffusers:{grey}", "IMAGES": str(images_file), "OUT": str(tmp_path / "out")}
    for word, text in replaced.items():
        words = words.replace(word, text)
    assert command(*words.split()) == 0
    assert list(tmp_path.glob("out*"))
    assert {path: path.stat().st_mtime_ns for path in grey.rglob("*")} == before, "a published model is only read"


def test_models_of_other_sizes_are_compared_in_one(grey, images_file, command, tmp_path, capsys):
    save(tmp_path / "large", in_channels=1, out_channels=1, sample_size=16)
    for name, folder in {"a": tmp_path / "large", "b": grey}.items():  # the same weights, as models of one's own
        model = vaegan.load(f"diffusers:{folder}")
        del model.info["normal_prior"]
        model.save(tmp_path / name)
    words = ["compare", f"diffusers:{grey}", tmp_path / "a", tmp_path / "b", "--data", images_file, "--num", "20"]
    words += ["--extractor", "pixels", "--data.cache", tmp_path]

    def compared(*more):
        assert command(*words, *more, "--out", tmp_path / "c.html", "--overwrite") == 0
        streams = capsys.readouterr()
        return json.loads((tmp_path / "c.json").read_text()), streams.out

    found, out = compared()
    assert "all models are measured on images of 8x8; --data.size sets another size" in out
    of_grey, of_a, of_b = (each["runs"][0]["evaluation"] for each in found["models"])
    assert of_grey["left_out"]["samples"] == "this model has no prior to sample from"
    assert of_grey["left_out"]["likelihood"] == (
        "codes of published autoencoders, and of models fine-tuned from them, do not follow N(0, I)"
    )
    assert of_a["left_out"]["samples"] == "it is measured only at the model's own size, 16x16"
    assert of_b["samples"]["normal"]
    error = found["figures"]["reconstructions"]["mse"]["models"]
    name = f"VAE (diffusers:{grey.parent.name}/{grey.name})"
    assert error[name] == error["VAE a"]
    operations = found["figures"]["cost"]["reconstruction_operations"]["models"]
    assert operations["VAE a"]["value"] == operations["VAE b"]["value"]
    assert found["answer"] in out.splitlines()
    same = f"on 9 held-out images, the feature MSE of {name} and VAE a differs by at most 0.0 %; the per-pixel MSE of"
    assert found["answer"].startswith(f"Do you need your own? No clear difference: {same}")
    assert found["answer"] in (tmp_path / "c.html").read_text()
    assert "all models are measured on images of 12x20" in compared("--data.size", "12x20")[1]
    assert command(*words, "--data.size", "9", "--out", tmp_path / "d.html") == 2
    assert "images of 9x9 (height x width) do not fit this model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "sample RUN",
            "a published autoencoder, or fine-tuned from one, and has no prior to sample from; fit one with `vaegan "
            "priors`",
        ),
        ("reconstruct RUN", "name them with --data SOURCE"),
        ("attributes RUN --data IMAGES", "has neither labels nor attributes"),
        ("priors RUN --data IMAGES", "to save the model with its priors"),
        ("reconstruct FOLDER --data IMAGES", "write it as diffusers:FOLDER"),
        ("reconstruct RUN/none --data IMAGES", ", or diffusers:OWNER/NAME for a model on the hub"),
    ],
)
def test_what_is_missing_is_one_line(grey, images_file, command, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    for word, text in {"RUN": f"diffusers:{grey}", "FOLDER": str(grey / "vae"), "IMAGES": str(images_file)}.items():
        words, message = words.replace(word, text), message.replace(word, text)
    assert command(*words.split()) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line
    assert not list(tmp_path.iterdir())


def test_the_studio_serves_it(grey, images_file):
    pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
    from fastapi.testclient import TestClient

    from vaegan.settings import DataSettings
    from vaegan.studio.app import create_app
    from vaegan.studio.registry import Registry

    registry = Registry([f"diffusers:{grey}"], [DataSettings(source=str(images_file))])
    client = TestClient(create_app(registry), base_url="http://127.0.0.1")
    (about,) = client.get("/api/models").json()["models"]
    assert (about["name"], about["priors"], about["default_prior"]) == (grey.name, [], None)
    answer = client.post(f"/api/models/{grey.name}/decode", json={"codes": [[0.0] * 32]})
    assert len(answer.json()["images"]) == 1, answer.text


def test_a_hub_id_downloads_these_files_alone(grey, monkeypatch):
    asked = []

    def download(name, files, **hub):
        asked.append((name, tuple(files), hub))
        return grey

    monkeypatch.setattr("vaegan.runs.locate.download_model", download)
    assert locate("diffusers:owner/name", revision="main").model == grey / "vae"
    assert asked == [
        ("owner/name", ("config.json", WEIGHTS, "vae/config.json", f"vae/{WEIGHTS}"), {"revision": "main"})
    ]
    assert run_name("diffusers:owner/name") == "name"


CONFIG = {"_class_name": "AutoencoderKL", **SMALL}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "AutoencoderDC"}, "class AutoencoderDC is not supported"),
        ({"_class_name": ["AutoencoderKL"]}, "is not supported"),
        ({"down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]}, "down_block_types AttnDownEncoderBl"),
        ({"up_block_types": ["UpDecoderBlock2D"]}, "1 up_block_types for 2 block_out_channels"),
        ({"act_fn": "relu"}, "act_fn relu is not supported"),
        ({"out_channels": 4}, "in_channels 3 with out_channels 4"),
        ({"latents_mean": [0.0]}, "latents_mean of 1 numbers for 2 latent_channels"),
        ({"norm_num_groups": 3}, "groups 3 does not divide"),
        ({"block_out_channels": []}, "block_out_channels"),
        ({"block_out_channels": [10**9, 8]}, "block_out_channels"),
        ({"sample_size": 10**6}, "sample_size: 1000000 is not allowed"),
        ({"scaling_factor": 0.0}, "scaling_factor"),
        ({"layers_per_block": 2}, "do not fit its networks: missing encoder.stage1.block2"),
        ({"block_out_channels": [4096, 65536]}, "of another shape"),  # refused before it takes memory
    ],
)
def test_what_cannot_be_held_is_refused_by_name(changes, message, grey, tmp_path):
    (tmp_path / WEIGHTS).write_bytes((grey / "vae" / WEIGHTS).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    with pytest.raises(UserError, match=message) as caught:
        vaegan.load(f"diffusers:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_pickles_are_never_read(grey, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UserError, match=r"has no diffusion_pytorch_model.safetensors .*pickle, is never read"):
        vaegan.load(f"diffusers:{tmp_path}")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"has neither config.json nor vae/config.json; check"):
        vaegan.load(f"diffusers:{tmp_path / 'nothing'}")
    (tmp_path / WEIGHTS).write_bytes((grey / "vae" / WEIGHTS).read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged"):
        vaegan.load(f"diffusers:{tmp_path}")


def test_codes_stay_what_they_were_as_a_model_of_ours(grey, tmp_path):
    """Saved as our model, a published one keeps its scaling, has no N(0, I), and can be given priors."""
    model = vaegan.load(f"diffusers:{grey}")
    assert model.folder is None
    model.save(tmp_path / "own")
    own = vaegan.load(tmp_path / "own")
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(own.latents(x), model.latents(x))
    assert own.prior_names == []
    np.testing.assert_allclose(own.latents(x), 0.18215 * own.maps(own.encode(x)), rtol=1e-6)
