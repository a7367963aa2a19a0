"""Training from a stream of shards: killed and resumed by other numbers of processes, and what later commands see."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from safetensors.torch import load_file
from stream_server import serving, write_shards

# Trains, writes each batch to a folder, and dies by SIGKILL after the batch at so many images.
WATCHED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from vaegan.cli import main
from vaegan.data.batches import StreamBatches
from vaegan.training import snapshots

folder, last, *words = sys.argv[1:]
read, snapshots.draw_losses = StreamBatches.at, lambda records, path: path.touch()

def at(batches, images_seen):
    batch = read(batches, images_seen)
    np.save(Path(folder, f"{images_seen}-{batches.share.start}.npy"), batch.numpy())
    if images_seen == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return batch

StreamBatches.at = at
sys.exit(main(["train", *words]))
"""


def seen(folder):
    """Batches by images seen, put together from the processes' shares."""
    shares = {tuple(map(int, path.stem.split("-"))): np.load(path) for path in folder.iterdir()}
    starts = {images for images, _ in shares}
    return {start: np.concatenate([shares[key] for key in sorted(shares) if key[0] == start]) for start in starts}


@pytest.fixture
def words(tiny, tmp_path):
    at = tiny.index("--data")
    own = ["--train.images", "160", "--train.snapshot-epochs", "0.3", "--data.shuffle-window", "40", "--data.flip"]
    return [*tiny[:at], *tiny[at + 2 :], *own, "--data.workers", "1", "--data.cache", str(tmp_path / "cache")]


@pytest.mark.slow
def test_killed_and_resumed_under_one_two_and_one_processes(python, words, tmp_path):
    write_shards(tmp_path / "shards", 8, 15, side=8)
    whole, parts = tmp_path / "whole", [tmp_path / f"part-{i}" for i in range(3)]
    for folder in (whole, *parts):
        folder.mkdir()
    with serving(tmp_path / "shards") as served:
        source = ["--data", f"{served.url}/train-{{000..007}}.tar", "--data.stream"]
        run = [*source, *words, "--out", str(tmp_path / "run")]
        done = python("-c", WATCHED, whole, -1, *source, *words, "--out", tmp_path / "other")
        assert done.returncode == 0, done.stderr
        for folder, world, last in zip(parts, (1, 2, 1), (48, 112, -1), strict=True):
            done = python("-c", WATCHED, folder, last, *run, world=world)
            codes = np.atleast_1d(done.returncode).tolist()
            assert codes == [-signal.SIGKILL if last > 0 else 0] * world, done.stderr
    expected = seen(whole)
    assert sorted(expected) == list(range(0, 160, 16))
    assert [min(seen(folder)) for folder in parts] == [0, 48, 112]
    for folder in parts:
        for images, batch in seen(folder).items():
            np.testing.assert_array_equal(batch, expected[images])


def test_later_commands_use_the_samples(command, words, tmp_path, monkeypatch):
    pattern, run = write_shards(tmp_path / "shards", 4, 15, side=8), tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    words = ["--data", "shards/train-{000..003}.tar", "--data.stream", *words, "--train.images", "32", "--out", run]
    assert command("train", *words) == 0
    described = json.loads((run / "data.json").read_text())
    assert described["train"] + described["test"] == 60
    assert command("reconstruct", run, "--out", tmp_path / "pairs.npz", "--num", "4") == 0
    assert len(np.load(tmp_path / "pairs.npz")["originals"]) == 4
    latents = ["encode", run, "--format", "safetensors", "--out", tmp_path / "latents"]
    assert [command(*latents, "--process", process) for process in ("1/2", "0/2")] == [0, 0]
    shards = [load_file(path) for path in sorted((tmp_path / "latents").glob("*.safetensors"))]
    assert [len(shard["latents"]) for shard in shards] == [15] * 4  # those of the stream, both sides
    names = b"\n".join(shard["names"].numpy().tobytes() for shard in shards).decode().split("\n")
    assert names == [f"{i:05}.png" for i in range(60)]
    assert np.concatenate([shard["labels"] for shard in shards]).tolist() == [i % 3 for i in range(60)]
    assert command("encode", run, "--split", "test", "--out", tmp_path / "held-out.npz") == 0
    assert len(np.load(tmp_path / "held-out.npz")["names"]) == described["test"]
    assert command("train", *words, "--train.images", "48") == 0
    assert pattern == described["paths"]["shards/train-{000..003}.tar"]


def test_a_stream_is_refused_where_labels_are_needed(command, words, tmp_path, capsys):
    pattern = write_shards(tmp_path / "shards", 2, 3)
    words = ["--data", pattern, "--data.stream", *words, "--model.condition", "labels", "--out", str(tmp_path / "run")]
    assert command("train", *words) == 2
    assert "--data.stream gives no labels, which --model.condition labels needs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_credentials_of_an_address_are_neither_logged_nor_reported(command, words, tmp_path, capsys):
    write_shards(tmp_path / "shards", 4, 15, side=8)
    run, words = tmp_path / "run", [*words, "--train.images", "32"]
    with serving(tmp_path / "shards") as served:
        address = f"http://me:secret@{served.url.removeprefix('http://')}/train-{{000..003}}.tar?key=secret"
        assert command("train", "--data", address, "--data.stream", *words, "--out", run) == 0
        described = json.loads((run / "data.json").read_text())
        (run / "data.json").write_text(json.dumps(described | {"fingerprint": "another"}))
        assert command("reconstruct", run, "--num", 4, "--out", tmp_path / "pairs.png") == 0
        assert command("report", run) == 0
    at = words.index("--data.shuffle-window")  # it needs the stream
    assert command("train", "--data", "digits", *words[:at], *words[at + 2 :], "--out", run) == 2
    said, shown = "".join(capsys.readouterr()), f"{served.url}/train-{{000..003}}.tar"
    assert f"{shown}: these are not the images that {run} was trained on" in said
    assert f"--out {run} is a run with data.source {shown}, not digits" in said
    page = (run / "report.html").read_text()
    assert shown in page
    assert "secret" not in said + page
