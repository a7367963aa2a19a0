"""A run's records as they are added, in whatever state the file is found."""

from __future__ import annotations

import json
import os
import time

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.recipes import config_for
from vaegan.runs.run_folder import RunFolder
from vaegan.settings_io import dump_yaml, load_yaml
from vaegan.studio.routes import run_progress
from vaegan.studio.routes.run_progress import RunProgress


def record(images: int, split: str = "train", value: float | None = None) -> str:
    losses = {"encoder": {"kl": images / 10 if value is None else value}}
    return json.dumps({"images": images, "epoch": images / 100, "split": split, "losses": losses}) + "\n"


@pytest.fixture
def run(tmp_path):
    dump_yaml(config_for("digits", {"train.epochs": 5.0}), tmp_path / "config.yaml")
    return tmp_path


def points(progress: RunProgress, split: str = "train") -> list:
    return next((c["points"] for c in progress.summary()["curves"] if c["split"] == split), [])


def test_records_are_read_as_they_come(run):
    progress = RunProgress(run)
    assert progress.summary()["state"] == "starting"
    assert points(progress) == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write(record(100) + record(200, "test") + record(200)[:20])
        file.flush()
        assert points(progress) == [(100, 10.0)]
        assert points(progress, "test") == [(200, 20.0)]
        file.write(record(200)[20:] + "no record\n" + "[1]\n" + record(300))
        file.flush()
        assert points(progress) == [(100, 10.0), (200, 20.0), (300, 30.0)]
    told = progress.summary()
    assert (told["images"], told["epoch"], told["goal"]["epochs"]) == (300, 3.0, 5.0)


def test_phases_are_named_and_marked(run):
    def of(images, phase):
        return json.dumps({**json.loads(record(images)), **({"phase": phase} if phase else {})}) + "\n"

    for phases, now, marks in (
        (("ae", "ae"), "AE", []),
        (("ae", "vaegan"), "VAE/GAN", ["VAE/GAN"]),
        ((None,), None, []),
    ):
        (run / "metrics.jsonl").write_text("".join(of(100 * i, phase) for i, phase in enumerate(phases, 1)))
        told = RunProgress(run).summary()
        assert told["phase"] == now
        assert [text for _, text in told["charts"][0]["marks"]] == marks


def test_learning_rates_are_drawn_where_they_change(run):
    lines = [json.dumps({**json.loads(record(images)), "lr": {"decoder": 1 / images}}) + "\n" for images in (1, 2)]
    for num, titles in ((1, []), (2, ["learning rate"])):
        (run / "metrics.jsonl").write_text("".join(lines[:num]))
        assert [chart["title"] for chart in RunProgress(run).summary()["charts"]][1:] == titles


def test_what_is_not_checked_is_said(run):
    snapshot = json.loads(record(100, "test")) | {"health": [], "not_checked": {"modes": "no labels"}}
    assert RunProgress(run).summary()["not_checked"] == {}
    (run / "metrics.jsonl").write_text(json.dumps(snapshot) + "\n")
    assert RunProgress(run).summary()["not_checked"] == {"modes": "no labels"}


def test_records_written_anew_are_read_anew(run):
    path = run / "metrics.jsonl"
    path.write_text(record(100) + record(200) + record(300))
    progress = RunProgress(run)
    assert len(points(progress)) == 3
    beside = run / "new"
    beside.write_text(record(100) + record(150) + record(200) + record(250, value=9.0))
    beside.replace(path)
    assert points(progress)[-1] == (250, 9.0)
    assert len(points(progress)) == 4
    path.write_text("".join(record(100 * i, value=9.0) for i in range(9)))  # of a run that was started over, in place
    assert len(points(progress)) == 9
    path.unlink()
    assert points(progress) == []


def test_losses_that_are_not_finite_are_left_out(run):
    lines = [record(100), record(200).replace("20.0", "NaN"), record(300).replace("30.0", "Infinity")]
    (run / "metrics.jsonl").write_text("".join(lines))
    assert points(RunProgress(run)) == [(100, 10.0), (200, None), (300, None)]


def test_long_runs_are_thinned_to_a_bound(run, monkeypatch):
    monkeypatch.setattr(run_progress, "_MAX_RECORDS", 50)
    monkeypatch.setattr(run_progress, "_MAX_POINTS", 20)
    (run / "metrics.jsonl").write_text("".join(record(10 * k) for k in range(1, 1001)))
    progress = RunProgress(run)
    shown = [images for images, _ in points(progress)]
    assert len(shown) <= 22
    assert shown == sorted(shown)
    assert shown[0] < 1000
    assert shown[-1] > 9500
    assert len(progress._records["train"]) <= 50


@pytest.mark.parametrize(
    ("images", "age", "curves", "state"),
    [
        (500, 0, True, "finished"),
        (500, 10_000, True, "finished"),
        (500, 0, False, "going on"),
        (300, 0, True, "going on"),
        (300, 0, False, "going on"),
        (300, 10_000, False, "stopped"),
        (300, 10_000, True, "stopped"),
    ],
)
def test_states(run, images, age, curves, state):
    metrics = run / "metrics.jsonl"
    metrics.write_text(record(images))
    written = time.time() - age
    os.utime(metrics, (written, written))
    if curves:
        (run / "losses.png").touch()
    assert RunProgress(run).summary()["state"] == state


def test_a_slow_run_goes_on_while_a_training_holds_it(run):
    metrics = run / "metrics.jsonl"
    metrics.write_text(record(300))
    os.utime(metrics, (0, 0))
    with RunFolder(run).locked():
        assert RunProgress(run).summary()["state"] == "going on"
        left = (run / ".lock").read_bytes()
    assert RunProgress(run).summary()["state"] == "stopped"
    (run / ".lock").write_bytes(left)  # of a training that was killed
    assert RunProgress(run).summary()["state"] == "stopped"
    with RunFolder(run).locked():  # to ask is not to hold
        pass


def test_a_run_is_finished_when_its_status_says_so(run):
    (run / "metrics.jsonl").write_text(record(500))
    (run / "losses.png").touch()
    for finished, state in ((False, "going on"), (True, "finished")):
        RunFolder(run).write_status(finished=finished)
        assert RunProgress(run).summary()["state"] == state


def test_settings_are_parsed_again_only_when_they_have_changed(run, monkeypatch):
    read = []
    monkeypatch.setattr(run_progress, "load_yaml", lambda path: [read.append(path), load_yaml(path)][1])
    progress = RunProgress(run)
    assert [progress.summary()["goal"]["epochs"] for _ in range(3)] == [5.0, 5.0, 5.0]
    assert len(read) == 1
    dump_yaml(config_for("digits", {"train.epochs": 7.0}), run / "config.yaml")
    os.utime(run / "config.yaml", (0, 0))  # another time than before, however coarse the clock of the file system
    assert progress.summary()["goal"]["epochs"] == 7.0
