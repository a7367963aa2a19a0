"""A run folder: records that survive a crash, and which settings a run may go on with."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vaegan.config import Config
from vaegan.data import open_data
from vaegan.distributed import World
from vaegan.errors import UserError
from vaegan.pixels import BYTES
from vaegan.recipes import config_for
from vaegan.runs import run_folder
from vaegan.runs.run_folder import OF_A_RUN, RunFolder
from vaegan.settings_io import dump_yaml, setting_names
from vaegan.training import setup
from vaegan.training.factories import loop_settings
from vaegan.training.resuming import MAY_CHANGE, RESOLVED, check_same_data, open_run, start_run
from vaegan.training.session import Session, train


def config(**changes: object) -> Config:
    return config_for("digits", {name.replace("__", "."): value for name, value in changes.items()})


def started(path: Path, settings: Config | None = None) -> RunFolder:
    run = RunFolder(path)
    start_run(run, settings or config(), open_data("digits"))
    return run


def test_records_come_back_without_the_line_that_was_cut_off(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert list(run.records()) == []
    records = [{"images": i, "split": "train", "losses": {"encoder": {"kl": 0.1 * i}}} for i in (64, 128, 192)]
    for record in records:
        run.add_record(record)
    with run.metrics_path.open("a") as file:
        file.write('{"images": 256, "los')
    assert list(run.records()) == records
    run.truncate_records(128)
    assert list(run.records()) == records[:2]
    assert run.metrics_path.read_text().count("\n") == 2
    run.add_record(records[2])
    assert list(run.records()) == records


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl: No such file or directory; check the path"):
        RunFolder(tmp_path / "none").add_record({"images": 1})


def test_new_and_empty_folders_are_new_runs(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert open_run(path, config(), overwrite=False) == (RunFolder(path), None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_with_its_own_settings(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert open_run(run.path, config(), overwrite=False) == (run, config())
    assert open_run(run.path, config(), overwrite=True) == (run, None)


def test_other_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds other files and is not a run; name a new folder"):
            open_run(tmp_path, config(), overwrite=overwrite)
        with pytest.raises(UserError, match="is a file; name a folder"):
            open_run(tmp_path / "letter.txt", config(), overwrite=overwrite)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("loss.gamma", 0.123, "loss.gamma .*, not 0.123"),
        ("seed", 77, "seed 0, not 77"),
        ("train.batch-size", 8, "train.batch-size .*, not 8"),
        ("data.range", (0.5, 4000.0), "data.range the whole range, not 0.5 4000.0"),
        ("data.source", "elsewhere", "data.source digits, not elsewhere"),
    ],
)
def test_what_decides_a_step_may_not_change(tmp_path: Path, name: str, value: object, told: str) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(UserError, match=rf"is a run with {told}; keep the old value,"):
        open_run(run.path, config_for("digits", {name: value}), overwrite=False)


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(UserError, match="is a run of recipe digits, not mnist-mlp; keep the old value"):
        open_run(run.path, config_for("mnist-mlp", {}), overwrite=False)


@pytest.mark.parametrize(("name", "value"), [("train.epochs", 500.0), ("train.threads", 9), ("device", "cpu")])
def test_what_decides_no_step_may_change(tmp_path: Path, name: str, value: object) -> None:
    run = started(tmp_path / "run")
    assert open_run(run.path, config_for("digits", {name: value}), overwrite=False)[1] == config()


@pytest.mark.parametrize(
    ("named", "environment", "used"),
    [({}, {}, 3), ({}, {"OMP_NUM_THREADS": "2"}, 2), ({"train.threads": 5}, {}, 5), ({"train.threads": 5}, None, 5)],
)
def test_a_run_keeps_its_number_of_threads(
    named: dict[str, int], environment: dict[str, str] | None, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums round by it: three at first, two today, unless one is named or the environment says."""
    monkeypatch.setattr(setup.os, "environ", environment or {})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    before = None if environment is None else config_for("digits", {"train.threads": 3})
    images = open_data(config().data)
    resolved = setup._resolve_auto(config_for("digits", named), before, images, World(), torch.device("cpu"))
    assert resolved.train.threads == used
    on_gpu = setup._resolve_auto(config_for("digits", named), before, images, World(), torch.device("cuda"))
    assert on_gpu.train.threads == named.get("train.threads")


def test_a_run_computes_on_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    setup.set_up(config(train__threads=3, train__precision="fp32"), None, World(), torch.device("cpu"))
    assert used == [3]


def test_what_auto_became_is_kept_unless_something_else_is_named(tmp_path: Path) -> None:
    run = started(tmp_path / "run", config_for("digits", {"train.precision": "bf16"}))
    assert open_run(run.path, config(), overwrite=False)[1] is not None
    with pytest.raises(UserError, match=r"train\.precision bf16, not fp32"):
        open_run(run.path, config_for("digits", {"train.precision": "fp32"}), overwrite=False)


def test_the_network_of_a_loss_stays_the_one_it_began_with() -> None:
    """Also where labels came since, with which another would be the default."""
    named = {"loss.perceptual": "auto", "loss.alignment_weight": 1.0}
    images, cpu = open_data(config().data), torch.device("cpu")
    first = setup._resolve_auto(config_for("map-32", named), None, images, World(), cpu).loss
    assert (first.perceptual, first.alignment) == ("classifier", "classifier")
    for unlabelled, expected in (("rotations", "rotations"), ("auto", "classifier")):
        before = config_for("map-32", {"loss.perceptual": unlabelled})
        again = setup._resolve_auto(config_for("map-32", named), before, images, World(), cpu).loss
        assert (again.perceptual, again.alignment) == (expected, "classifier")
    unused = setup._resolve_auto(config_for("digits", {}), None, images, World(), cpu).loss
    assert (unused.perceptual, unused.alignment) == ("none", "auto")


def test_free_and_resolved_settings_exist() -> None:
    assert set(setting_names()) >= MAY_CHANGE | RESOLVED


MINE = (
    "notes.txt", "pictures/holiday.png", "pictures/cluster/notes.txt", "export/readme.txt", "model/readme.txt",
    "samples/mine.png", "checkpoints/best.pt", "tensorboard/notes", ".notes.7.part.txt", ".losses.part.png",
)  # fmt: skip


OF_THE_BEST = (
    "best/report.html",
    "best/pictures/sample.png",
    "best/pictures/cluster/map.png",
    "best/export/export.json",
)


def test_starting_anew_clears_what_the_run_made_and_nothing_else(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    for name in (*OF_A_RUN, *OF_THE_BEST, *MINE):
        path = run.path / name.replace("[0-9]", "1").replace("*", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path != run.config_path and path != run.data_path:
            path.write_text("old")
    (run.path / ".losses.99999999.part.png").write_text("half")  # of a number that no process has
    (run.path / ".export.99999999.part").mkdir()
    start_run(run, config(seed=5), open_data("digits"))
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert files == {"config.yaml", "data.json", *MINE}
    assert not (run.path / "best").exists()
    assert not (run.path / ".export.99999999.part").exists()
    assert run.config == config(seed=5)
    assert run.config_path.is_file()
    assert open_run(run.path, config(), overwrite=True) == (run, None)


OTHERS = {
    "of something else": ("model: resnet\ntrain: {lr: 0.1}\n", "model/model.safetensors"),
    "written by hand": ("seed: 1\nmodel: {kind: vae}\n", "pictures/sample.png"),
    "copied from a run": (None, "samples/000000000064.png"),
}


@pytest.mark.parametrize(("settings", "other"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_no_run_because_of_its_settings(
    tmp_path: Path, settings: str | None, other: str, overwrite: bool
) -> None:
    (tmp_path / other).parent.mkdir()
    (tmp_path / other).write_text("mine")
    if settings is None:
        dump_yaml(config(), tmp_path / "config.yaml")
    else:
        (tmp_path / "config.yaml").write_text(settings)
    with pytest.raises(UserError, match="holds other files and is not a run; name a new folder"):
        open_run(tmp_path, config(), overwrite=overwrite)
    assert (tmp_path / other).read_text() == "mine"


def test_a_run_that_was_killed_at_its_very_start_is_one(tmp_path: Path) -> None:
    dump_yaml(config(), tmp_path / "config.yaml")
    (tmp_path / ".lock").write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    assert open_run(tmp_path, config(), overwrite=False)[1] == config()
    assert open_run(tmp_path, config(), overwrite=True)[1] is None


def test_what_is_behind_a_link_is_not_cleared(tmp_path: Path) -> None:
    run, other = started(tmp_path / "run"), tmp_path / "elsewhere"
    other.mkdir()
    (other / "model.safetensors").write_text("mine")
    (run.path / "model").symlink_to(other)
    with pytest.raises(UserError, match=r"model.safetensors is a link or a folder, which vaegan does not create; move"):
        open_run(run.path, config(), overwrite=True)
    assert (other / "model.safetensors").read_text() == "mine"


def test_a_second_training_is_named_the_first(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new" / "run")
    with run.locked():
        told = (
            rf"--out .*run has been in use by process {os.getpid()} on .* since \d+-.*; wait for it to end, stop it, or"
        )
        with pytest.raises(UserError, match=told), run.locked():
            pass
        assert [path.name for path in run.path.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []  # nothing came of it
    with run.locked():
        (run.path / "mine").touch()
    assert [path.name for path in run.path.iterdir()] == ["mine"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    child = os.fork()
    if not child:
        with run.locked():
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert f"process {child} " in (tmp_path / ".lock").read_text()
    with run.locked():
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()
    assert not (tmp_path / ".lock").exists()


def test_where_there_are_no_locks_the_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "fcntl", None)
    run = RunFolder(tmp_path)
    with run.locked(), pytest.raises(UserError, match=r"\(if that has been killed, remove .*\.lock\)"), run.locked():
        pass
    unlink, open_, opened = Path.unlink, os.open, list[int]()

    def of_windows(path: Path) -> None:
        with contextlib.suppress(OSError):  # it is closed
            if os.path.samestat(os.fstat(opened[0]), path.stat()):
                return
        unlink(path)

    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(open_(*arguments)) or opened[-1])
    monkeypatch.setattr(Path, "unlink", of_windows)
    with run.locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_start_together_without_locks_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "fcntl", None)
    run, open_ = RunFolder(tmp_path), os.open
    with contextlib.ExitStack() as other:

        def overtaken(*arguments: Any) -> int:
            monkeypatch.setattr(os, "open", open_)
            other.enter_context(run.locked())
            return open_(*arguments)

        monkeypatch.setattr(os, "open", overtaken)
        with pytest.raises(UserError, match="has been in use by"), run.locked():
            pass


def test_a_run_of_an_earlier_version_with_a_target_of_nothing_resumes(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    text = run.config_path.read_text()
    assert "augment_target: null" in text
    run.config_path.write_text(text.replace("augment_target: null", "augment_target: 0.6"))
    assert open_run(run.path, config(), overwrite=False) == (run, config())


@pytest.mark.parametrize(("setting", "value"), [("encoder.blocks", 5), ("decoder.dropout", 0.5)])
def test_a_run_of_an_earlier_version_with_a_setting_of_no_effect_resumes(tmp_path: Path, setting: str, value) -> None:
    run = started(tmp_path / "run")
    dump_yaml(config(**{f"model.{setting}": value}), run.config_path)
    assert open_run(run.path, config(), overwrite=False) == (run, run.config)
    dump_yaml(config(**{"model.encoder.kernel": 3}), run.config_path)
    with pytest.raises(UserError, match=r"is a run with model\.encoder\.kernel 3, not"):
        open_run(run.path, config(), overwrite=False)


def test_a_run_whose_metric_has_moved_resumes(tmp_path: Path) -> None:
    """Its weights are compared when the data are read."""
    was, now = (config(model__kind="vae-dis-l", loss__metric=path) for path in ("runs/gan", "/x/b"))
    run = started(tmp_path / "run")
    dump_yaml(was, run.config_path)
    assert open_run(run.path, now, overwrite=False) == (run, was)


def test_a_metric_inside_the_new_run_is_refused(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    (run.path / "model").mkdir()
    (run.path / "model" / "config.json").write_text("{}")
    for metric in (run.path, run.path / "model"):
        settings = config(model__kind="vae-dis-l", loss__metric=str(metric))
        with pytest.raises(
            UserError, match=r"^--loss\.metric .* is in --out .*, where the new model goes; choose another"
        ):
            open_run(run.path, settings, overwrite=True)
    assert open_run(tmp_path / "other", settings, overwrite=True) == (RunFolder(tmp_path / "other"), None)


def test_damaged_records_are_passed_over_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = b'{"images": 64, "split": "train", "losses": {"encoder": {"kl": NaN}}}\n'
    bad = [
        b"\xff\n", b"[]\n", b"7\n", b"{}\n", b'{"images": "64", "split": "train"}\n', b"[" * 100_000 + b"\n",
        b'{"images": 64, "split": "train", "images_per_second": "x"}\n',
        b'{"images": 64, "split": "test", "health": [1]}\n',
        b'{"images": 64, "split": "train", "losses": [1]}\n', b'{"images": 64, "split": "x"}\n', b"\n",
        good.replace(b"64", b"-1"), good.replace(b"64", b"1" * 30), good[:40] + b"\x00" + good[41:],
    ]  # fmt: skip
    run = RunFolder(tmp_path)
    run.metrics_path.write_bytes(good + good.join(bad) + good[:-9])  # the last was cut off by a crash
    with caplog.at_level("WARNING", "vaegan"):
        assert len(list(run.records())) == len(bad)
    assert [record.getMessage() for record in caplog.records] == [
        f"{run.metrics_path}: skipped {len(bad)} damaged lines"
    ]
    run.truncate_records(64)
    assert run.metrics_path.read_text().count("\n") == len(bad)
    for status in (b"\xff", b"[]", b'{"finished": "yes"}'):
        (tmp_path / "status.json").write_bytes(status)
        assert not run.is_finished


def test_a_run_of_hardly_any_length_has_a_batch() -> None:
    model = SimpleNamespace(latent_dim=4, image_range=(0.0, 1.0), pixels=BYTES)
    config = config_for("digits", {"train.epochs": 1e-4})
    assert loop_settings(config, model, 1524).total_images == config.train.batch_size


def test_another_length_under_a_falling_rate_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of 2,048 images, and going on to 3,008: the rate was at its end, and goes up again."""

    def said(schedule: str, before: int) -> list[str]:
        settings = {"optim.schedule": schedule, "optim.final_lr_factor": 0.1, "train.batch_size": 64}
        now, then = (config_for("digits", settings | {"train.images": images}) for images in (3008, before))
        model = SimpleNamespace(latent_dim=4, image_range=(0.0, 1.0), pixels=BYTES)
        trainer = SimpleNamespace(settings=loop_settings(now, model, 1524), images=2048)
        caplog.clear()
        with caplog.at_level("WARNING", "vaegan"):
            Session._say_changed_rate(SimpleNamespace(config=now, before=then, model=model, trainer=trainer))
        return [record.getMessage() for record in caplog.records]

    assert said("linear", 2048) == [
        "the run length changed from 2,048 to 3,008 images, so schedule linear moves the learning rate from 0.128 to "
        "0.406 times its initial value here; the result will differ from an uninterrupted run of that length"
    ]
    assert len(said("cosine", 2048)) == 1
    assert said("linear", 3008) == said("constant", 2048) == []


@pytest.mark.parametrize(
    ("made", "priors", "told"),
    [
        ([], {}, None),
        ([], {"gaussian": {}}, None),
        (["losses.png"], {"gaussian": {}, "mixture": {}, "kde": {}}, None),
        (["model/attributes.json"], {}, "model/attributes.json (vaegan attributes)"),
        (["evaluation.json"], {"gaussian": {"of_labels": []}},
         "evaluation.json (vaegan evaluate), priors by label (vaegan priors --by-label)"),
        (["report.html", "export/export.json"], {"flow": {}},
         "report.html (vaegan report), export/export.json (vaegan export), other priors (vaegan priors --priors flow)"),
        (["best/report.html"], {}, "best/report.html (vaegan report)"),
    ],
)  # fmt: skip
def test_what_further_training_makes_outdated_is_said(
    made: list[str], priors: dict[str, object], told: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (*made, "model/priors.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"priors": priors}))
    trainer = SimpleNamespace(images=64)
    session = SimpleNamespace(resumes=True, trainer=trainer, total=128, folder=RunFolder(tmp_path), config=config())
    with caplog.at_level("WARNING", "vaegan"):
        Session._say_outdated(session)
        for unchanged in ({"resumes": False}, {"total": 64}):
            Session._say_outdated(SimpleNamespace(**vars(session) | unchanged))
    line = f"{tmp_path}: further training makes {told} outdated; run these commands again"
    assert [record.getMessage() for record in caplog.records] == [line] * bool(told)


def test_other_images_are_refused(tmp_path: Path) -> None:
    run, digits = started(tmp_path / "run"), open_data("digits")
    check_same_data(run, config(), digits)
    told = json.loads(run.data_path.read_text())
    assert told == {"name": "digits", "train": 1524, "test": 273, "fingerprint": digits.fingerprint}
    changed = replace(digits, fingerprint="0" * 32)
    with pytest.raises(UserError, match=r"images of digits differ from those that .*run was trained on; restore them"):
        check_same_data(run, config(), changed)
    run.data_path.unlink()  # as the message says, and as runs of old have none
    check_same_data(run, config(), changed)
    with pytest.raises(UserError, match="differ from those"):
        check_same_data(run, config(), digits)


def test_a_trained_model_without_checkpoints_is_not_trained_over(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert open_run(run.path, config(), overwrite=False)[1] is not None, "it was killed before its first checkpoint"
    (run.path / "model").mkdir()
    (run.path / "model" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has a trained model but no checkpoints to resume from; restore "):
        open_run(run.path, config(), overwrite=False)
    assert open_run(run.path, config(), overwrite=True)[1] is None
    run.checkpoints.mkdir(exist_ok=True)
    (run.checkpoints / f"{64:012d}.pt").touch()
    assert open_run(run.path, config(), overwrite=False)[1] is not None


@pytest.mark.parametrize("saved", [False, True])
def test_an_interrupted_call_says_that_its_run_can_be_resumed(tmp_path, monkeypatch, caplog, saved) -> None:
    caplog.set_level("INFO", "vaegan")
    run = RunFolder(tmp_path)
    if saved:
        run.checkpoints.mkdir()
        (run.checkpoints / f"{64:012d}.pt").touch()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config(device="cpu"), tmp_path)
    assert (f"{tmp_path} has checkpoints; run the same command to resume" in caplog.text) == saved


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_run_that_is_to_start_over_is_resumed_only_once_it_has(tmp_path, monkeypatch, caplog, when, failure) -> None:
    caplog.set_level("INFO", "vaegan")
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    (run.checkpoints / f"{64:012d}.pt").touch()

    def interrupted(*_: object, **__: object) -> None:
        raise failure

    class Entered:
        enter = interrupted if when == "before" else lambda self, **_: None

    def begin(self: Session, *_: object, **__: object) -> None:
        self.checkpoints, self.resumes, self.is_begun = Entered(), False, False

    monkeypatch.setattr(Session, "__init__", begin)
    monkeypatch.setattr(Session, "_is_finished", interrupted)
    with pytest.raises((KeyboardInterrupt, UserError)) as caught:
        train(config(device="cpu"), tmp_path, overwrite=True)
    said = caplog.text + str(caught.value)
    assert ("run the same command without --overwrite to resume" in said) == (when == "after")
    assert ("run the same command again" in said) == (when == "before" and isinstance(failure, OSError))
