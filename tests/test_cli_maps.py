"""Every command on a model whose codes are maps: they go as vectors, and nothing minds."""

from __future__ import annotations

import numpy as np
import pytest

import vaegan

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
    assert "scaled codes are maps, not a table" in capsys.readouterr().err
