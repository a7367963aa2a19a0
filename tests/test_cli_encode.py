from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stream_server import spoil, write_shards

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.errors import UserError
from vaegan.latent import code_shards
from vaegan.models import Model, load
from vaegan.recipes import config_for
from vaegan.settings_io import dump_yaml


def make_run(folder: Path, kind: str = "vaegan") -> Path:
    config = config_for("digits", {"model.kind": kind})
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


ALWAYS = ("names", "split", "labels", "codes", "logvar")


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def command(*words) -> int:
    return main(["encode", *map(str, words)])


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def check(found, run, splits=("train", "test")):
    digits = open_data("digits")
    parts = [getattr(digits, split) for split in splits]
    assert found["names"].tolist() == [name for part in parts for name in part.names]
    assert found["split"].tolist() == [split for split, part in zip(splits, parts, strict=True) for _ in part.names]
    np.testing.assert_array_equal(found["labels"], np.concatenate([part.labels for part in parts]))
    x = torch.from_numpy(np.concatenate([part.images for part in parts])).permute(0, 3, 1, 2) / 255
    mu, logvar = load(run).posterior(x)
    np.testing.assert_allclose(found["codes"], mu.numpy(), atol=1e-4)
    np.testing.assert_allclose(found["logvar"], logvar.numpy(), atol=1e-4)


def test_codes_of_the_whole_source_in_one_file(run, tmp_path, capsys):
    out = tmp_path / "a.npz"
    assert command(run, "--out", out, "--shard", 500, "--batch-size", 128) == 0
    check(arrays(out), run)
    assert arrays(out)["label_names"].tolist() == list("0123456789")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".a")] == []
    assert command(run, "--out", out) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert command(run) == 0
    assert command(run) == 0
    check(arrays(run / "pictures" / "codes.npz"), run)


def add(shard, files):
    with tarfile.open(shard, "a") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


def streamed(folder):
    words = ["--data", write_shards(folder, 2, 9, side=8), "--data.stream", "--data.held-out-by", "shard"]
    return [*words, "--data.cache", folder / "cache", "--data.workers", 1]


def test_shards_of_a_stream_that_differ_join(run, tmp_path):
    words = streamed(tmp_path)
    add(tmp_path / "train-000.tar", {f"{i:05}.json": b'{"width": 7, "license": null}' for i in range(9)})
    add(tmp_path / "train-001.tar", {"00009.json": b'{"license": "cc", "width": 8}', "00010.cls": b"-1"})
    assert command(run, *words, "--out", tmp_path / "a.npz") == 0
    found = arrays(tmp_path / "a.npz")
    assert found.keys() == set(ALWAYS)  # attributes have no names that all shards share
    assert found["labels"].tolist() == [-1 if i == 10 else i % 3 for i in range(18)]


def test_shards_with_and_without_labels_are_one_line(run, tmp_path):
    images = open_data("digits").test.take(slice(5))
    parts = images, replace(images, labels=None)
    shards = code_shards.ImageShards({}, [5, 5], lambda i: (np.full(5, "test"), parts[i]))
    with pytest.raises(UserError, match=r"a\.npz: only some shards of images have labels; give all or none .* run the"):
        code_shards.encode_to_file(load(run), shards, tmp_path / "a.npz")
    assert code_shards.encode_to_file(load(run), shards, tmp_path / "codes") == 10


@pytest.mark.parametrize("name", ["codes", "a.npz", "a.parquet"])
def test_a_shard_without_a_readable_image_is_left_out_and_named(run, tmp_path, caplog, name):
    if name == "a.parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    source, out, model = write_shards(tmp_path / "x", 3, 9, side=8), tmp_path / name, load(run)
    settings = {"stream": True, "cache": tmp_path / "cache", "workers": 1, "held_out_by": "shard"}
    strict, data, any_share = (open_data(source, max_unreadable=share, **settings) for share in (0.35, 0.4, 1.0))
    for shard in ("train-000", "train-002"):
        spoil(tmp_path / "x" / f"{shard}.tar", 9 if shard == "train-000" else 1)
    with pytest.raises(UserError, match=r"tar: 10 of 27 images cannot be read; .* --data.max-unreadable 0.35 allows"):
        code_shards.encode_to_file(model, code_shards.stream_shards(strict, "all"), out)
    for _ in range(2):
        assert code_shards.encode_to_file(model, code_shards.stream_shards(data, "all"), out, overwrite=True) == 17
    assert "train-000.tar: none of its 9 images can be read; left out" in caplog.text
    if name == "codes":
        found = [arrays(path) for path in sorted(out.glob("*.npz"))]
        assert [[len(part[key]) for key in ALWAYS] for part in found] == [[num] * len(ALWAYS) for num in (0, 9, 8)]
        found = {key: np.concatenate([part[key] for part in found]) for key in ALWAYS}
    elif name == "a.npz":
        found = arrays(out)
    else:
        found = {"names": parquet.read_table(out)["name"].to_pylist()}
    assert list(found["names"]) == [f"{i:05}.png" for i in range(9, 27) if i != 18]
    for shard in range(3):
        spoil(tmp_path / "x" / f"train-{shard:03}.tar", 9)
    with pytest.raises(UserError, match=r"tar: none of its images can be read; check the shards"):
        code_shards.encode_to_file(model, code_shards.stream_shards(any_share, "all"), tmp_path / f"none{out.suffix}")


def test_stopped_work_goes_on_behind_the_last_shard(run, tmp_path, monkeypatch):
    real, asked = code_shards.encode_images, []

    def failing(model, images, **settings):
        if len(images) > 1:
            asked.append(len(images))
            if len(asked) == 3:
                raise KeyboardInterrupt
        return real(model, images, **settings)

    monkeypatch.setattr(code_shards, "encode_images", failing)
    words = (run, "--out", tmp_path / "a.npz", "--shard", 600)
    assert command(*words) == 130
    assert not (tmp_path / "a.npz").exists()
    assert command(*words) == 0
    num = [len(open_data("digits").train.names), len(open_data("digits").test.names)]
    assert asked == [600, 600, num[0] - 1200, num[0] - 1200, num[1]]
    check(arrays(tmp_path / "a.npz"), run)


def test_shards_of_another_model_are_not_mixed_in(run, tmp_path, capsys):
    out = tmp_path / "codes"
    assert command(run, "--out", out, "--split", "test", "--shard", 100) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["index.json", "shard-00000.npz", "shard-00001.npz", "shard-00002.npz"]
    found = [arrays(out / name) for name in names[1:]]
    check({key: np.concatenate([part[key] for part in found]) for key in found[0]}, run, ("test",))
    model = load(run)
    with torch.no_grad():
        next(model.encoder.parameters()).add_(0.5)
    model.save(run / "model")
    assert command(run, "--out", out, "--split", "test", "--shard", 100) == 2
    assert "with other settings (model); choose a new folder or --overwrite" in capsys.readouterr().err
    assert command(run, "--out", out, "--split", "test", "--shard", 100, "--overwrite") == 0
    assert np.abs(arrays(out / "shard-00000.npz")["codes"] - found[0]["codes"]).max() > 1e-3


def test_codes_are_refused_beside_those_with_other_labels(run, tmp_path, capsys):
    data = open_data("digits").test.take(slice(60))
    words = (run, "--data", tmp_path / "x.npz", "--shard", 20, "--out", tmp_path / "codes")
    np.savez(tmp_path / "x.npz", images=data.images, labels=data.labels)
    assert command(*words) == 0
    assert command(*words) == 0
    np.savez(tmp_path / "x.npz", images=data.images, labels=data.labels[::-1])
    assert command(*words) == 2
    assert "with other settings (labels)" in capsys.readouterr().err
    assert command(*words, "--overwrite") == 0


def test_codes_of_a_stream_say_the_split_of_each(run, tmp_path, capsys):
    assert command(run, *streamed(tmp_path), "--out", tmp_path / "a.npz") == 0
    assert sorted(arrays(tmp_path / "a.npz")["split"].tolist()) == ["test"] * 9 + ["train"] * 9
    assert command(run, *streamed(tmp_path / "more"), "--num", 5, "--out", tmp_path / "b.npz") == 2
    assert "--num 5: a stream is encoded whole; leave it out, or name fewer shards" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["codes", "codes.npz"])
def test_two_at_once_do_not_mix(run, tmp_path, monkeypatch, capsys, out):
    real, codes = code_shards.encode_images, []

    def encode_images(model, images, **settings):
        if len(images) > 1 and not codes:
            codes.append(command(run, "--out", tmp_path / out, "--split", "test", "--overwrite", "--shard", 90))
        return real(model, images, **settings)

    monkeypatch.setattr(code_shards, "encode_images", encode_images)
    assert command(run, "--out", tmp_path / out, "--split", "test", "--shard", 100) == 0
    assert codes == [2]
    assert "codes has been in use by process" in capsys.readouterr().err.replace(".codes.npz.shards", "codes")
    assert [path.name for path in tmp_path.rglob(".*")] == []
    found = [arrays(path) for path in sorted(tmp_path.rglob("*.npz"))]
    check({key: np.concatenate([part[key] for part in found]) for key in ALWAYS}, run, ("test",))


def test_a_folder_that_is_refused_is_not_touched(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/.lock").write_text("mine")
    (tmp_path / "mine/other").write_text("mine")
    assert command(run, "--out", tmp_path / "mine") == 2
    assert {path.name: path.read_text() for path in (tmp_path / "mine").iterdir()} == {".lock": "mine", "other": "mine"}


def test_a_plain_autoencoder_has_no_log_variances(tmp_path):
    run = make_run(tmp_path / "ae", "ae")
    assert command(run, "--out", tmp_path / "a.npz", "--num", 20) == 0
    found = arrays(tmp_path / "a.npz")
    assert found["codes"].shape[0] == 40
    assert "logvar" not in found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("RUN --out a.csv", "cannot tell from a.csv what to write; end it in .npz, .parquet or nothing"),
        ("RUN --split half", "--split: 'half' is not allowed: must be 'all', 'test' or 'train'"),
        ("GAN", "this model is a GAN and has no encoder"),
    ],
)
def test_mistakes_are_one_line(words, told, run, tmp_path, capsys):
    gan = make_run(tmp_path / "gan", "gan")
    assert command(*words.replace("RUN", str(run)).replace("GAN", str(gan)).split()) == 2
    assert told in capsys.readouterr().err
    assert not (gan / "pictures").exists()
