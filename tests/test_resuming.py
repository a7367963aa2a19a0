"""A run folder: records that survive a crash, and which settings a run may go on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vaegan.config import Config
from vaegan.data import open_data
from vaegan.errors import UserError
from vaegan.recipes import config_for
from vaegan.runs.run_folder import OF_A_RUN, RunFolder
from vaegan.settings_io import setting_names
from vaegan.training.resuming import MAY_CHANGE, RESOLVED, check_same_data, open_run, start_run


def config(**changes: object) -> Config:
    return config_for("digits", {name.replace("__", "."): value for name, value in changes.items()})


def started(path: Path, settings: Config | None = None) -> RunFolder:
    run = RunFolder(path)
    start_run(run, settings or config(), open_data("digits"))
    return run


def test_records_come_back_without_the_line_that_was_cut_off(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    assert list(run.records()) == []
    records = [{"images": i, "losses": {"encoder": {"kl": 0.1 * i}}} for i in (64, 128, 192)]
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
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl: No such file or directory; free some space"):
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


@pytest.mark.parametrize(("name", "value"), [("train.epochs", 500.0), ("train.keep_checkpoints", 9), ("device", "cpu")])
def test_what_decides_no_step_may_change(tmp_path: Path, name: str, value: object) -> None:
    run = started(tmp_path / "run")
    assert open_run(run.path, config_for("digits", {name: value}), overwrite=False)[1] == config()


def test_what_auto_became_is_kept_unless_something_else_is_named(tmp_path: Path) -> None:
    run = started(tmp_path / "run", config_for("digits", {"train.precision": "bf16"}))
    assert open_run(run.path, config(), overwrite=False)[1] is not None
    with pytest.raises(UserError, match=r"train\.precision bf16, not fp32"):
        open_run(run.path, config_for("digits", {"train.precision": "fp32"}), overwrite=False)


def test_free_and_resolved_settings_exist() -> None:
    assert set(setting_names()) >= MAY_CHANGE | RESOLVED


def test_starting_anew_clears_what_the_run_made_and_nothing_else(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    for name in OF_A_RUN:
        if "." in name:
            (run.path / name).write_text("old")
        else:
            (run.path / name).mkdir()
            (run.path / name / "file").write_text("old")
    (run.path / ".losses.7.part.png").write_text("half")
    (run.path / "notes.txt").write_text("mine")
    start_run(run, config(seed=5), open_data("digits"))
    assert {path.name for path in run.path.iterdir()} == {"config.yaml", "data.json", "notes.txt"}
    assert run.config == config(seed=5)


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
