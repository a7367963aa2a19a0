"""Mistakes around a training: one line that names them, exit code 2, nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.errors import UserError
from vaegan.recipes import config_for
from vaegan.runs.run_folder import RunFolder
from vaegan.training import checkpoints, recorder, snapshots
from vaegan.training.checkpoints import FORMAT

NO_NORM = "--model.encoder.norm none --model.decoder.norm none --model.discriminator.norm none"


@pytest.fixture
def refused(command, capsys, tmp_path):
    """Run ``vaegan train`` and return the one line that refuses it; nothing may be left in ``tmp_path / "out"``."""

    def run(*words, leaves_nothing=True):
        capsys.readouterr()
        assert command("train", *words) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1, captured.err
        if leaves_nothing:
            assert not (tmp_path / "out").exists()
        return captured.err.removeprefix("vaegan train: ").rstrip("\n")

    return run


@pytest.fixture
def run(command, tiny, tmp_path, capsys):
    """A finished run and the words that made it."""
    out = tmp_path / "run"
    words = [*tiny, "--out", out, "--train.snapshot-epochs", "0.5"]
    assert command("train", *words) == 0
    capsys.readouterr()
    return out, words


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--seed 1 digts", "unknown recipe 'digts' (perhaps you meant 'digits')"),
        ("--data digit", "no such path: 'digit' (perhaps you meant 'digits'); --data takes a folder of images"),
        ("--data nowhere/images", "no such path: 'nowhere/images'; --data takes a folder of images"),
        ("--train.batchsize 3", "unknown option --train.batchsize (perhaps you meant '--train.batch-size')"),
        ("--train.batch-size 0", "--train.batch-size: '0' is not allowed: must be greater than 0"),
        ("--train.epochs many", "--train.epochs: 'many' is not allowed: must be a number"),
        ("--device gpu", "--device: 'gpu' is not available; try cpu or auto"),
        ("--device meta", "--device: 'meta' is not available; try cpu or auto"),
        ("--device cuda:99", "--device: 'cuda:99' is not available; try cpu or auto"),
        (
            "--model.kind vae-dis-l --loss.metric none/here "
            "--model.discriminator.channels= --model.discriminator.hidden=",
            "no run or saved model at none/here",
        ),
        ("--loss.feature-layer conv9.conv", "loss.feature-layer: the discriminator has no layer 'conv9.conv'"),
        ("--train.batch-size 1", "batch norm in the encoder needs at least 2 images in each process, not 1"),
        (f"--model.encoder.hidden {','.join(['65536'] * 32)}", "not enough memory (the networks need 5"),
        ("--model.encoder.strides 8,8", "model.encoder: strides 8,8 are too many for images of 8x8"),
    ],
)
def test_settings_that_do_not_do(words, line, refused, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(*tiny, *words.split(), "--out", tmp_path / "out").startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--loss.feature-layer conv9.conv", "loss.feature-layer: the discriminator has no layer 'conv9.conv'"),
        ("--train.batch-size 1", "batch norm in the encoder needs at least 2 images in each process, not 1"),
        ("--model.encoder.strides 8,8", "model.encoder: strides 8,8 are too many for images of 8x8"),
        (
            "--model.kind vae-dis-l --loss.metric none/here "
            "--model.discriminator.channels= --model.discriminator.hidden=",
            "no run or saved model at none/here",
        ),
    ],
)
def test_settings_that_do_not_do_are_refused_before_images_are_opened(
    words, line, refused, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr("vaegan.training.setup.open_data", lambda *_, **__: pytest.fail("images were opened"))
    known = ["--data.size", "8", "--data.channels", "1"]
    assert refused(*tiny, *known, *words.split(), "--out", tmp_path / "out").startswith(line)


def test_the_metric_s_network_is_refused_before_images_are_opened(command, refused, tiny, tmp_path, monkeypatch):
    assert command("train", *tiny, "--out", tmp_path / "metric") == 0
    monkeypatch.setattr("vaegan.training.setup.open_data", lambda *_, **__: pytest.fail("images were opened"))
    words = "--data.size 16 --data.channels 1 --model.kind vae-dis-l --model.discriminator.channels= "
    words += f"--model.discriminator.hidden= --loss.metric {tmp_path / 'metric'}"
    told = refused(*tiny, *words.split(), "--out", tmp_path / "out")
    assert told.startswith(f"--loss.metric {tmp_path / 'metric'}: its network, output and image shape are")


def test_one_image_at_a_time_trains_without_batch_norm(command, tiny, tmp_path):
    words = ["--train.batch-size", "1", "--train.images", "3", *NO_NORM.split(), "--out", tmp_path]
    assert command("train", *tiny, *words) == 0


def folder_of(path, good, bad):
    path.mkdir()
    rng = np.random.default_rng(0)
    for i in range(good):
        Image.fromarray(rng.integers(0, 255, (8, 8)).astype(np.uint8)).save(path / f"{i}.png")
    for i in range(bad):
        (path / f"bad{i}.png").write_bytes(b"\x89PNG but not really")
    return path


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        (0, 0, "no images"),
        (0, 3, "none of its 3 images can be read"),
        (30, 3, "unreadable of 33 images"),
        (1, 0, "only one image"),
    ],
)
def test_folders_that_do_not_do(good, bad, line, refused, tiny, tmp_path):
    data = folder_of(tmp_path / "data", good, bad)
    words = [*tiny, "--data", data, "--data.cache", tmp_path / "cache", "--out", tmp_path / "out"]
    told = refused(*words)
    assert line in told
    assert str(data) in told


def test_a_few_bad_files_are_counted_and_named(command, tiny, tmp_path, capsys):
    data = folder_of(tmp_path / "data", 60, 1)
    words = [*tiny, "--data", data, "--data.cache", tmp_path / "cache", "--out", tmp_path / "out"]
    assert command("train", *words) == 0
    err = capsys.readouterr().err
    assert "bad0.png" in err
    assert err.count("\n") <= 2


def test_out_is_a_file(refused, tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    told = refused(*tiny, "--out", tmp_path / "file")
    assert told == f"--out {tmp_path / 'file'} is a file; name a folder"
    assert refused(*tiny, "--out", tmp_path / "file" / "run").startswith(f"cannot write to {tmp_path / 'file'}")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_a_folder_that_is_no_run_is_never_touched(words, refused, tiny, tmp_path):
    folder = tmp_path / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "000000000001.pt").write_text("mine")
    before = contents(folder)
    told = refused(*tiny, *words, "--out", folder)
    assert told == f"--out {folder} holds other files and is not a run; name a new folder"
    assert contents(folder) == before


def test_a_run_of_other_settings_is_left_alone(run, refused, tmp_path):
    out, words = run
    before = contents(out)
    remedy = "; keep the old value, choose another --out, or start over with --overwrite"
    assert refused("mnist-conv", *words) == f"--out {out} is a run of recipe digits, not mnist-conv{remedy}"
    told = refused(*words, "--loss.gamma", "3")
    assert told == f"--out {out} is a run with loss.gamma {config_for('digits').loss.gamma}, not 3.0{remedy}"
    told = refused(*words, "--train.precision", "bf16")
    assert told == f"--out {out} is a run with train.precision fp32, not bf16{remedy}"
    assert refused(*words, "--seed", "1") == f"--out {out} is a run with seed 0, not 1{remedy}"
    assert contents(out) == before


def test_a_run_of_a_newer_version_is_left_alone(run, refused):
    out, words = run
    settings = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(settings.replace("format: 1", "format: 99") + "something: new\n")
    assert "written by a newer vaegan (format 99, this one reads 1); upgrade" in refused(*words)
    (out / "config.yaml").write_text(settings)
    path = max((out / "checkpoints").glob("[0-9]*.pt"))
    torch.save({**torch.load(path), "format": FORMAT + 1}, path)
    rewrite_digest(path)
    assert f"{path} was written by a newer vaegan (format {FORMAT + 1}" in refused(*words)


def rewrite_digest(path):
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(run, command, capsys):
    out, words = run
    whole = contents(out)
    newest = max((out / "checkpoints").glob("[0-9]*.pt"))
    damage(newest)
    assert command("train", *words) == 0
    captured = capsys.readouterr()
    assert captured.err == f"vaegan: checkpoint {newest} is damaged; using the previous one\n"
    assert "resuming at 64 of 112 images" in captured.out
    again = contents(out)
    assert again.keys() == whole.keys()
    assert again[Path("model/model.safetensors")] == whole[Path("model/model.safetensors")]


def rewritten(path, change):
    """Change what a checkpoint holds, and its hash with it."""
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


MISFITS = [
    lambda state: state.pop("parts"),
    lambda state: state.update(images=7),
    lambda state: state["optimisers"]["encoder"]["state"][0].update(exp_avg=torch.zeros(3)),
    lambda state: next(iter(state["parts"]["decoder"].values())).fill_(float("nan")),
    lambda state: state.update(parts=[torch.zeros(2)]),
]


def test_a_checkpoint_whose_hash_fits_and_whose_content_does_not(run, command, capsys):
    out, words = run
    weights = (out / "model" / "model.safetensors").read_bytes()
    newest = max((out / "checkpoints").glob("[0-9]*.pt"))
    for misfit in MISFITS:
        rewritten(newest, misfit)
        assert command("train", *words) == 0
        captured = capsys.readouterr()
        assert captured.err.startswith(f"vaegan: checkpoint {newest} is not one of this run (")
        assert captured.err.endswith("); using the previous one\n")
        assert captured.err.count("\n") == 1
        assert "resuming at 64 of 112 images" in captured.out
        assert (out / "model" / "model.safetensors").read_bytes() == weights
    for path in (out / "checkpoints").glob("[0-9]*.pt"):
        rewritten(path, MISFITS[0])
    assert command("train", *words) == 2
    assert f"all checkpoints in {out / 'checkpoints'} are damaged" in capsys.readouterr().err


def test_a_run_that_is_being_trained_is_left_alone(run, command, capsys):
    out, words = run
    before = contents(out)
    with RunFolder(out).locked():
        for more in ([], ["--overwrite"]):
            assert command("train", *words, *more) == 2
            assert f"--out {out} has been in use by process {os.getpid()} on" in capsys.readouterr().err
    assert contents(out) == before


HARMS = {
    "changed": damage,
    "empty": lambda path: path.write_bytes(b""),
    "no digest": lambda path: path.with_suffix(".sha256").unlink(),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_all_checkpoints_damaged(harm, run, command, capsys):
    out, words = run
    for path in (out / "checkpoints").glob("[0-9]*.pt"):
        harm(path)
    assert command("train", *words) == 2
    *warnings, last = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3
    where = out / "checkpoints"
    why = "are damaged, or their .sha256 is missing; restore them from a copy, or start over"
    assert last == f"vaegan train: all checkpoints in {where} {why} with --overwrite or another --out"


LOSSES = {
    "removed": lambda model: shutil.rmtree(model),
    "cut off": lambda model: (model / "model.safetensors").write_bytes(b"\x10" * 9),
}


@pytest.mark.parametrize("harm", LOSSES.values(), ids=LOSSES)
def test_a_finished_run_whose_model_is_lost_saves_it_again(harm, run, command, capsys):
    out, words = run
    whole = contents(out)
    harm(out / "model")
    assert command("train", *words) == 0
    assert "resuming at 112 of 112 images" in capsys.readouterr().out
    again = contents(out)
    assert again.keys() == whole.keys()
    for name in ("model.safetensors", "priors.safetensors"):
        assert again.get(Path("model", name)) == whole.get(Path("model", name))


def test_a_finished_run_says_so_and_changes_nothing(run, command, capsys):
    out, words = run
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in out.rglob("*")}
    assert command("train", *words) == 0
    captured = capsys.readouterr()
    first, *there = captured.out.splitlines()
    assert first == f"{out} is finished at 112 images; to train longer, raise --train.epochs"
    assert [line.split()[0] for line in there][-1] == str(out / "model")
    assert captured.err == ""
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in out.rglob("*")} == before


def test_what_a_finished_run_no_longer_does_is_said(run, command, capsys):
    out, words = run
    changed = "--train.priors gaussian,flow --train.best-metric fd --train.best-images 9 --train.tensorboard true"
    assert command("train", *words, *changed.split()) == 0
    assert capsys.readouterr().err.splitlines() == [
        "vaegan: --train.priors is not applied to a finished run; fit them with "
        f"vaegan priors {out} --priors gaussian,flow",
        "vaegan: --train.best-metric has no effect on a finished run; train longer",
        "vaegan: --train.best-images has no effect on a finished run; train longer",
        "vaegan: --train.tensorboard has no effect on a finished run; train longer",
    ]


def copy_without_times(run, copy):
    """Copy a run as ``cp -r`` does; here the checkpoints become the newest files."""
    shutil.copytree(run, copy, copy_function=shutil.copyfile)
    for path in (copy / "checkpoints").iterdir():
        os.utime(path, (time.time() + 60, time.time() + 60))
    return copy


@pytest.mark.parametrize("earlier_version", [False, True])
def test_a_copy_of_a_finished_run_is_finished(earlier_version, run, command, tiny, tmp_path, capsys):
    copy = copy_without_times(run[0], tmp_path / "copy")
    if earlier_version:  # it wrote no status
        (copy / "status.json").unlink()
    words = [*tiny, "--train.snapshot-epochs", "0.5", "--out", copy]
    assert command("train", *words) == 0
    assert f"{copy} is finished at 112 images" in capsys.readouterr().out
    if earlier_version:  # where the curves are missing it was killed before its end
        (copy / "losses.png").unlink()
        assert command("train", *words) == 0
        assert re.search(rf"^done in .+ s: {copy}$", capsys.readouterr().out, re.MULTILINE)
        assert (copy / "losses.png").exists()


def test_a_longer_run_killed_before_its_end_is_not_finished(run, command, monkeypatch, capsys):
    out, words = run
    words = [*words, "--train.epochs", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "draw_losses", lambda records, path: 1 / 0)
        assert command("train", *words) != 0
    assert (out / "losses.png").exists(), "from the shorter run"
    assert max((out / "checkpoints").glob("*.pt")).stem == "000000000208"
    capsys.readouterr()
    assert command("train", *words) == 0
    assert "resuming at 208 of 208 images" in capsys.readouterr().out
    assert command("train", *words) == 0
    assert "is finished at 208 images" in capsys.readouterr().out


def test_a_new_run_does_not_read_its_first_checkpoint(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "read_checkpoint", lambda data, where: pytest.fail(f"{where} is read"))
    monkeypatch.setattr(checkpoints, "newest_checkpoint", lambda folder: pytest.fail(f"{folder} is read"))
    assert command("train", *tiny, "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "checkpoints" / "000000000000.pt").exists()


def test_more_epochs_go_on_where_it_ended(run, command, tmp_path, capsys):
    out, words = run
    assert command("train", *words, "--train.epochs", "2") == 0
    assert "resuming at 112 of 208 images" in capsys.readouterr().out
    assert "epochs: 2.0" in (out / "config.yaml").read_text()
    assert command("train", *words, "--train.epochs", "2", "--out", tmp_path / "whole") == 0
    weights = Path("model/model.safetensors")
    assert (out / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_overwrite_starts_anew_and_spares_what_is_not_ours(run, command, capsys):
    out, words = run
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    assert command("train", *words, "--overwrite", "--seed", "5") == 0
    assert "starting at 0 of 112 images" in capsys.readouterr().out
    after = contents(out)
    assert after.keys() == before.keys()
    assert after[Path("notes.txt")] == b"mine"
    assert after[Path("model/model.safetensors")] != before[Path("model/model.safetensors")]


def full_disk_for(monkeypatch, what):
    """Let the disk be full for files whose path has ``what`` in it."""
    write = Path.write_bytes

    def fail(path, data):
        if what in str(path):
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail)


def test_a_disk_full_from_the_start_leaves_nothing(refused, tiny, tmp_path, monkeypatch):
    full_disk_for(monkeypatch, "checkpoints")
    told = refused(*tiny, "--out", tmp_path / "out")
    path = tmp_path / "out" / "checkpoints" / "000000000000.pt"
    assert told == f"cannot write {path}: No space left on device; free some space, or choose another path"


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(refused, command, tiny, tmp_path, monkeypatch):
    words = [*tiny, "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        full_disk_for(patch, "000000000112")
        assert "No space left on device" in refused(*words)
    assert not list((tmp_path / "run").rglob(".*"))
    assert command("train", *words) == 0


def test_a_disk_full_for_tensorboard_alone(refused, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder, "write_scalars", fail)
    monkeypatch.setattr(recorder, "open_tensorboard", lambda *_: object())
    told = refused(*tiny, "--train.tensorboard", "true", "--out", tmp_path / "run")
    out = tmp_path / "run"
    assert (
        told == f"cannot write to {out}: No space left on device; free some space, then run the same command to resume"
    )


def test_a_metric_that_does_not_fit(run, refused, tiny_of, tmp_path):
    metric, _ = run
    words = [*tiny_of("vae-dis-l"), "--loss.metric", metric, "--out", tmp_path / "out"]
    told = refused(*words, "--data.size", "12", "--data.cache", tmp_path / "cache")
    assert told.startswith(f"--loss.metric {metric}: its network, output and image shape are")
    shutil.rmtree(metric / "model")
    assert refused(*words) == f"run {metric} has no saved model yet; train it further, to its next snapshot"


def test_a_mistake_as_a_process_of_its_own(python, tmp_path):
    done = python("-m", "vaegan", "train", "--data", tmp_path / "none.zip", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("data", "out"), [("x", "x"), ("x", "x/y/../run"), ("x/photos", "x"), ("link", "x/run")])
def test_a_run_in_or_around_its_images_is_refused(data, out, refused, tiny, tmp_path, monkeypatch):
    folder_of(tmp_path / "x", 0, 0)
    folder_of(tmp_path / "x" / "photos", 3, 0)
    (tmp_path / "link").symlink_to(tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    for words in ([], ["--overwrite"]):
        line = refused(*tiny, "--data", data, "--out", out, *words)
        is_in = "contains the images" if data == "x/photos" else "is in the folder of the images"
        assert line.startswith(f"--out {Path(out)} {is_in} ({tmp_path / data}); choose another --out")
    assert contents(tmp_path) == before


def test_a_home_folder_in_out_is_meant(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert command("train", *tiny, "--train.images", "16", "--out=~/run") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    with pytest.raises(UserError, match=f"--out {tmp_path}/home/run is a run with"):
        vaegan.train(out="~/run", seed=1)
    with pytest.raises(UserError, match=r"--out \. holds other files"):
        vaegan.train(out="")


def test_a_run_of_relative_data_is_opened_and_resumed_from_anywhere(command, tiny, tmp_path, capsys, monkeypatch):
    here, there, run = tmp_path / "here", tmp_path / "there", tmp_path / "run"
    here.mkdir()
    there.mkdir()
    folder_of(here / "grow", 20, 0)
    monkeypatch.chdir(here)
    words = ["train", *tiny, "--data", "grow", "--data.cache", "../cache", "--out", run]
    assert command(*words) == 0
    assert "source: grow\n" in (run / "config.yaml").read_text()
    out = capsys.readouterr().out
    summary = "grow: 17 training images of 1x8x8, 3 held out; left out: nothing\nlabels: none; attributes: none\n"
    assert out.startswith(summary)

    monkeypatch.chdir(there)
    for i in range(20):
        (there / "grow").mkdir(exist_ok=True)
        Image.new("L", (8, 8), i).save(there / "grow" / f"{i}.png")
    picture = ["reconstruct", run, "--num", 2, "--overwrite", "--out", tmp_path / "a.png"]
    assert command(*picture) == 0
    first = (tmp_path / "a.png").read_bytes()
    assert capsys.readouterr().err == ""
    assert command(*words, "--train.epochs", 2) == 0
    assert json.loads((run / "data.json").read_text())["paths"] == {
        "grow": str(here / "grow"), "../cache": str(tmp_path / "cache"),
    }  # fmt: skip
    capsys.readouterr()
    assert command(*picture, "--data", "grow") == 0  # another folder of this name
    said = f"vaegan: grow: these are not the images that {run} was trained on, or they are prepared differently\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / "a.png").read_bytes() != first

    shutil.rmtree(there / "grow")
    (here / "grow").rename(there / "moved")
    assert command(*picture) == 2
    assert f"no such path: '{here / 'grow'}'" in capsys.readouterr().err
    assert command(*picture, "--data", "moved") == 0
    assert command(*words, "--train.epochs", 3, "--data", "moved") == 0
    assert "resuming at" in capsys.readouterr().out
    monkeypatch.chdir(here)
    assert command(*picture) == 0
    assert capsys.readouterr().err == ""

    monkeypatch.chdir(there)
    (there / "moved").rename(there / "last")
    assert command(*words, "--train.epochs", 3, "--data", "last/") == 0
    assert "is finished" in capsys.readouterr().out
    monkeypatch.chdir(here)
    assert command(*picture) == 0
    assert capsys.readouterr().err == ""


def test_a_run_does_not_go_on_with_changed_images(command, tiny, images_file, tmp_path, capsys):
    mine = tmp_path / "mine.npy"
    images = np.load(images_file)
    np.save(mine, images)
    words = ["train", *tiny, "--data", mine, "--data.cache", tmp_path / "cache", "--out", tmp_path / "run"]
    assert command(*words, "--train.images", 32) == 0
    images[7] = 255 - images[7]
    np.save(mine, images)
    capsys.readouterr()
    assert command(*words, "--train.images", 48) == 2
    assert "the images of mine differ from those that" in capsys.readouterr().err
    assert command(*words, "--train.images", 48, "--overwrite") == 0


@pytest.mark.parametrize("has_handlers", [False, True])
def test_the_library_prints_progress_unless_lines_go_elsewhere(has_handlers, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda logger: has_handlers)
    monkeypatch.setattr("vaegan.cli.console.set_up", lambda: done.append("set up"))
    monkeypatch.setattr("vaegan.training.train", lambda *_, **__: done.append("trained"))
    vaegan.train(out=tmp_path / "run")
    assert done == (["trained"] if has_handlers else ["set up", "trained"])
