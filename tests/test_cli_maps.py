"""Every command on a model whose codes are maps: they go as vectors, and nothing minds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import vaegan
from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.pixels import to_uint8, to_unit
from vaegan.runs import opened

NARROW = (
    "--model.network residual --model.latent map --model.latent-dim 2 --model.output centred --model.init torch "
    "--model.encoder.channels 4,6 --model.encoder.groups 2 --model.encoder.blocks 1 --model.encoder.hidden "
    "--model.decoder.channels 6,4 --model.decoder.groups 2 --model.decoder.blocks 1 --model.decoder.hidden "
    "--model.discriminator.channels 4,6 --model.discriminator.norm none --model.discriminator.patch "
    "--model.discriminator.hidden --model.discriminator.strides 2,2 "
    "--device cpu --train.precision fp32 --train.memory-format contiguous --train.tensorboard false "
    "--train.best-metric none --train.batch-size 16 --train.epochs 1 --train.snapshot-epochs 1 --train.priors gaussian"
)


@pytest.fixture(scope="module")
def run(told_images, tmp_path_factory):
    from vaegan.cli import main

    out = tmp_path_factory.mktemp("maps") / "run"
    words = ["train", "digits", "--data", str(told_images), "--data.channels", "1", *NARROW.split(), "--out", str(out)]
    assert main(words) == 0
    return out


@pytest.mark.parametrize(
    "words",
    [
        "sample RUN --num 4",
        "sample RUN --num 4 --prior gaussian",
        "priors RUN --priors mixture,kde --out OUT",
        "reconstruct RUN --num 4",
        "reconstruct RUN --num 4 --out OUT.npz",
        "interpolate RUN --method spherical",
        "attributes RUN --attribute right",
        "cluster RUN --k 2",
        "encode RUN --out OUT.npz",
        "traverse RUN",
        "nearest RUN --num 4",
    ],
)
def test_a_command(run, command, tmp_path, words):
    given = words.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out")).split()
    assert command(*given) == 0


def test_a_flow_over_maps_is_fitted_and_sampled_from(run, command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vaegan.priors.velocity._WIDTH", 16)
    fitted = tmp_path / "fitted"
    assert command("priors", run, "--flow-steps", 3, "--by-label", "--out", fitted) == 0
    assert "flow: 3 steps of 3" in capsys.readouterr().out
    model = vaegan.load(fitted)
    assert (model.default_prior, model.priors["flow"].code_shape) == ("flow", (2, 4, 4))
    drawn = {}
    for name, words in (
        ("flow", ""),
        ("normal", "--prior normal"),
        ("again", "--prior flow --steps 12 --guidance 1"),
        ("short", "--steps 2"),
        ("label", "--label right --guidance 3"),
    ):
        assert command("sample", fitted, *words.split(), "--num", 4, "--out", tmp_path / f"{name}.npz") == 0
        with np.load(tmp_path / f"{name}.npz") as file:
            drawn[name] = file["codes"]
            assert file["images"].std() > 0
    assert all(np.isfinite(codes).all() for codes in drawn.values())
    assert np.abs(drawn["flow"] - drawn["normal"]).min() > 0
    assert (drawn["flow"] == drawn["again"]).all()
    assert (drawn["flow"] != drawn["short"]).any()
    guided_run = shutil.copytree(run, tmp_path / "guided")
    words = ("priors", guided_run, "--flow-steps", 3, "--by-label", "--guidance", 3)
    assert command(*words) == 0
    assert "guidance 3" in capsys.readouterr().out
    guided = vaegan.load(guided_run)
    assert guided.digest() != model.digest(), "an evaluation without guidance is not its own"
    model.priors["flow"].set_solver(guidance=3.0)
    assert torch.equal(guided.sample_codes(4, seed=0), model.sample_codes(4, seed=0))
    words = ("evaluate", guided_run, "--num", 16, "--extractor", "pixels", "--data.cache", tmp_path / "cache")
    assert command(*words, "--out", tmp_path / "e.json") == 0
    assert "samples, flow, guidance 3  Fréchet distance" in capsys.readouterr().out
    assert json.loads((tmp_path / "e.json").read_text())["guidance"] == {"flow": 3.0}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("sample RUN --steps 3", "--steps and --guidance apply only to a flow, not to the prior '"),
        ("sample RUN --steps 0", "--steps"),
        ("priors RUN --priors kde --flow-steps 9", "--flow-steps applies only to a flow, and no flow is"),
        ("priors RUN --guidance 2", "--guidance needs a flow by label: add --priors flow --by-label"),
        ("priors RUN --priors gaussian --by-label --guidance 2", "--guidance needs a flow by label"),
    ],
)
def test_options_of_a_flow_are_refused_elsewhere(run, command, capsys, words, line):
    assert command(*words.replace("RUN", str(run)).split()) == 2
    assert line in capsys.readouterr().err


def test_guidance_is_refused_where_codes_are_vectors(make_model):
    images = ImageSet(np.zeros((9, 8, 8, 1), np.uint8), [""] * 9)
    with pytest.raises(UserError, match="--guidance is for codes that are maps, and those of this model are vectors"):
        fit_model_priors(make_model(), images, names=["flow"], guidance=2.0, seed=0)


def test_larger_images_in_the_model_s_own_size(run, command, tmp_path, capsys):
    np.save(tmp_path / "large.npy", np.random.default_rng(0).integers(0, 256, (3, 24, 16, 1), np.uint8))
    words = ["--data", tmp_path / "large.npy", "--data.cache", tmp_path / "cache", "--out", tmp_path / "out.png"]
    assert command("reconstruct", run, *words) == 0
    assert "large.npy: 24x16 images are resized to the model's 8x8; compare, encode" in capsys.readouterr().out
    assert command("reconstruct", run, *words, "--data.size", "24x16", "--overwrite") == 0
    assert "are used in" not in capsys.readouterr().out


def test_codes_are_vectors_and_the_scale_is_known(run, command, tmp_path):
    assert command("encode", run, "--out", tmp_path / "codes.npz") == 0
    assert command("encode", run, "--scaled", "--out", tmp_path / "maps.npz") == 0
    with np.load(tmp_path / "codes.npz") as plain, np.load(tmp_path / "maps.npz") as maps:
        assert plain["codes"].shape[1:] == (32,)
        assert maps["codes"].shape[1:] == maps["logvar"].shape[1:] == (2, 4, 4)
        scale = vaegan.load(run).scale_factor
        np.testing.assert_allclose(maps["codes"], (scale * plain["codes"]).reshape(-1, 2, 4, 4), rtol=1e-5)
        np.testing.assert_allclose(
            np.exp(maps["logvar"] / 2), (scale * np.exp(plain["logvar"] / 2)).reshape(-1, 2, 4, 4), rtol=1e-5
        )


def test_a_table_has_no_maps(run, command, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    assert command("encode", run, "--scaled", "--out", tmp_path / "codes.parquet") == 2
    assert "scaled codes are maps and do not fit a table" in capsys.readouterr().err


def test_reconstruct_and_encode_take_other_sizes(run, command, tmp_path):
    model = vaegan.load(run)
    for size, tile in (("16x12", []), ("16x12", ["--tile", "8"]), ("8x8", [])):
        out = tmp_path / f"{size}{len(tile)}"
        words = ["--data.size", size, *tile]
        assert command("reconstruct", run, *words, "--num", "5", "--out", f"{out}.npz") == 0
        assert command("encode", run, *words, "--split", "test", "--out", f"{out}-codes.npz") == 0
        assert command("encode", run, *words, "--split", "test", "--format", "safetensors", "--out", f"{out}-l") == 0
        tiled = model.tiled(8) if tile else model
        with np.load(f"{out}.npz") as arrays, np.load(f"{out}-codes.npz") as codes:
            x = to_unit(torch.from_numpy(arrays["originals"]))
            assert x.shape[2:] == tuple(map(int, size.split("x")))
            difference = arrays["images"].astype(int) - to_uint8(tiled.reconstruct(x))
            assert abs(difference).max() <= 1
            z = tiled.encode(x).numpy()
            np.testing.assert_allclose(arrays["codes"], z, atol=1e-5)
            row = list(codes["names"]).index(arrays["names"][0])
            np.testing.assert_allclose(codes["codes"][row], z[0], atol=1e-5)
            (shard,) = Path(f"{out}-l").glob("*.safetensors")
            latents = safetensors.torch.load_file(shard)["latents"]
            np.testing.assert_allclose(latents[row], model.maps(torch.from_numpy(z))[0], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "reconstruct RUN --data.size 9x8",
            "images of 9x8 (height x width) do not fit this model: it takes 8x8, or sides",
        ),
        (
            "interpolate RUN --data.size 16",
            "--data.size 16: this command works in the size of the model, 8; leave",
        ),
        (
            "reconstruct RUN --triptych --data.size 16",
            "--data.size 16: this command works in the size of the mod",
        ),
        ("encode RUN --data.size 16 --out x.parquet", "codes of images of other sizes are maps and do not fit a table"),
        (
            "reconstruct RUN --data.size 16 --tile 7",
            "tiles of 7 pixels do not fit this model; choose another multiple of",
        ),
        (
            "reconstruct WIDE --data.size 64x48",
            "images of 64x48 (height x width) do not fit this model: it takes 8x8 on",
        ),
        ("encode WIDE --tile 8 --out x.npz", "the codes of this model are vectors, and tiles need maps"),
    ],
)
def test_sizes_and_tiles_that_do_not_fit_are_refused(run, studio_run, command, capsys, words, line):
    if "parquet" in words:
        pytest.importorskip("pyarrow")
    assert command(*words.replace("RUN", str(run)).replace("WIDE", str(studio_run)).split()) == 2
    assert line in capsys.readouterr().err


def test_what_is_large_is_in_a_file(run, command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(opened, "_LARGE", 5 * 16 * 16 - 1)
    assert isinstance(opened._room((5, 16, 16, 1), "uint8"), np.memmap)
    assert type(opened._room((5, 16, 15, 1), "uint8")) is np.ndarray
    words = ["--data.size", "16", "--tile", "8", "--num", "5"]
    for name in ("file", "memory"):
        assert command("reconstruct", run, *words, "--out", tmp_path / f"{name}.npz") == 0
        monkeypatch.undo()
    with np.load(tmp_path / "file.npz") as file, np.load(tmp_path / "memory.npz") as memory:
        np.testing.assert_array_equal(file["images"], memory["images"])
        assert file["images"].std() > 0
    assert "not the images" not in capsys.readouterr().err
