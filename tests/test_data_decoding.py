"""Images are decoded once, by several processes, into a cache that is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_folders import fill, packed, paint
from PIL import Image

from vaegan import files
from vaegan.data import decode_pool as decode
from vaegan.data import decoded as prepare
from vaegan.data import folder, open_data
from vaegan.errors import UserError
from vaegan.settings import DataSettings

KEY = [1, 6, 1, "center", None]  # version, size, channels, crop, crop size


def test_a_square_size_has_the_cache_entry_of_earlier_versions(tmp_path, opened):
    data = opened(fill(tmp_path / "x", 4), size="6x6", channels=1)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    digest = hashlib.sha256(json.dumps([folder.list_folder(tmp_path / "x").items.fingerprint, KEY]).encode())
    for images in (data.train, data.test):
        digest.update(b"part" + np.array([int(name[:3]) for name in images.names]).tobytes())
    assert entry.name == digest.hexdigest()[:32]
    opened(tmp_path / "x", size="6x5", channels=1)
    assert len(list(entry.parent.iterdir())) == 2


def test_decoded_once_until_something_changes(tmp_path, opened, monkeypatch):
    calls = []
    monkeypatch.setattr(prepare, "decode_chunk", lambda *args: calls.append(len(args[1])) or decode.decode_chunk(*args))
    first = opened(fill(tmp_path / "x"))
    assert sum(calls) == 30
    again = opened(tmp_path / "x")
    assert sum(calls) == 30
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.train.images, first.train.images)
    opened(tmp_path / "x", size=4)
    assert sum(calls) == 60
    paint(tmp_path / "x" / "000.png", 255)
    os.utime(tmp_path / "x" / "000.png", (0, 0))
    assert opened(tmp_path / "x").fingerprint != first.fingerprint
    assert sum(calls) == 90


@pytest.mark.parametrize("given", [{}, {"size": 6}, {"channels": 3}, {"size": "6x5"}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_model_of_the_shape_finds_the_images_of_its_training(tmp_path, given, dtype):
    (tmp_path / "x").mkdir()
    for i in range(20):
        Image.fromarray(np.full((9, 8), 10 * i, dtype)).save(tmp_path / "x" / f"{i}.png")
    settings = DataSettings(source=str(tmp_path / "x"), cache=tmp_path / "cache", workers=1, **given)
    first = open_data(settings)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    again = open_data(settings.for_shape(first.image_shape), pixels=first.pixels)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.train.images, first.train.images)
    assert list(entry.parent.iterdir()) == [entry]
    channels, height, width = first.image_shape
    assert open_data(settings.for_shape((channels, height, width + 1)), pixels=first.pixels).image_shape[2] == width + 1


def test_a_full_disk_names_the_cache_and_its_option(tmp_path, opened, monkeypatch):
    def fill_up(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_up)
    with pytest.raises(UserError, match=r"cannot write decoded images to \S*/decoded: No space .* with --data\.cache$"):
        opened(fill(tmp_path / "x"))


@pytest.mark.parametrize("harm", ["shorten", "overwrite", "remove", "index", "empty"])
def test_damaged_cache_is_made_anew(tmp_path, opened, harm, caplog):
    first = opened(fill(tmp_path / "x"))
    expected = np.array(first.train.images)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    array = entry / "train.npy"
    if harm == "shorten":
        array.write_bytes(array.read_bytes()[:-5])
    elif harm == "overwrite":
        array.write_bytes(bytes(array.stat().st_size))
        os.utime(array, (0, 0))  # another time than before, however coarse the clock of the file system
    elif harm == "remove":
        array.unlink()
    elif harm == "index":
        (entry / "index.json").write_text('{"files"')
    else:
        shutil.rmtree(entry)
        entry.mkdir()
    again = opened(tmp_path / "x")
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.train.images, expected)
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_worker_processes_give_the_same_in_order(tmp_path, opened):
    fill(tmp_path / "x", 300)
    seen = []
    here = opened(tmp_path / "x", workers=1, on_progress=lambda done, total: seen.append((done, total)))
    there = open_data(tmp_path / "x", cache=tmp_path / "other", workers=2)
    assert there.fingerprint == here.fingerprint
    assert list(there.train.names) == list(here.train.names)
    assert seen[-1] == (300, 300)
    assert seen == sorted(seen)
    zipped = open_data(packed(tmp_path / "x", tmp_path / "x.zip"), cache=tmp_path / "third", workers=2)
    assert zipped.fingerprint == here.fingerprint


def test_large_images_are_decoded_fewer_at_a_time(tmp_path, opened, monkeypatch):
    """All that workers have finished waits in the parent."""
    fill(tmp_path / "x", 30)
    before = opened(tmp_path / "x", workers=1)
    calls = []
    monkeypatch.setattr(prepare, "decode_chunk", lambda *args: calls.append(len(args[1])) or decode.decode_chunk(*args))
    for num, most in ((10, 10), (0.5, 1)):
        monkeypatch.setattr(decode, "_CHUNK_BYTES", int(num * before.train.images[0].nbytes))
        again = open_data(tmp_path / "x", cache=tmp_path / f"cache-{num}", workers=1)
        assert again.fingerprint == before.fingerprint
        assert max(calls) == most
        calls.clear()


SCRIPT = """
import sys
from vaegan.data import open_data
print("started", flush=True)
data = open_data(sys.argv[1], cache=sys.argv[2], workers=2, on_progress=lambda *done: print(*done, flush=True))
print(data.fingerprint)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no masks of signals")
def test_a_worker_starts_deaf_to_ctrl_c():
    def masked():
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    with decode._without_main():
        assert masked()
    assert not masked()


def run_script(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "x"), str(tmp_path / "cache")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_and_a_script_without_a_main_guard(tmp_path):
    fill(tmp_path / "x", 300)
    results = [process.communicate(timeout=600) for process in [run_script(tmp_path), run_script(tmp_path)]]
    assert all(out.count("started") == 1 for out, _ in results)
    assert all(err == "" for _, err in results)
    assert len({out.split()[-1] for out, _ in results}) == 1
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 1


def test_killed_decoding_leaves_nothing_that_is_used(tmp_path, opened):
    fill(tmp_path / "x", 1000)
    process = run_script(tmp_path)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("64 "):
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=600)  # ends only when the workers, which hold the pipes, have ended too
    (part,) = (tmp_path / "cache" / "decoded").iterdir()
    assert part.name.endswith(".part")
    data = opened(tmp_path / "x", workers=1)
    assert len(data.train) + len(data.test) == 1000
    assert not part.exists()


def test_a_decoding_of_days_is_not_taken_for_an_abandoned_one(tmp_path, opened):
    """That of another machine, which cannot be asked whether the process runs."""
    parts = [tmp_path / "cache" / "decoded" / f".key.{number}.1-00000000.part" for number in range(2)]
    for part in parts:
        part.mkdir(parents=True)
        (part / "train.npy").write_bytes(b"")
        os.utime(part, (0, 0))
    os.utime(parts[1] / "train.npy", (0, 0))
    opened(fill(tmp_path / "x", 4))
    assert [part.is_dir() for part in parts] == [True, False]


def test_a_decoding_killed_in_a_container_goes_with_the_next(tmp_path, opened):
    """Processes have the same number there each time; what this one is writing stays, by whatever name of the place."""
    cache_folder = tmp_path / "cache" / "decoded"
    killed = cache_folder / f".key.1.{os.getpid()}-{files._HOST}.part"
    killed.mkdir(parents=True)
    (tmp_path / "link").symlink_to(cache_folder)
    with files.unfinished_folder(tmp_path / "link" / "key") as going_on:
        opened(fill(tmp_path / "x", 4))
        assert going_on.is_dir()
    assert len(list(cache_folder.iterdir())) == 1


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    open_data(fill(tmp_path / "x", 5))
    assert len(list((tmp_path / "caches" / "vaegan" / "decoded").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    open_data(tmp_path / "x")
    assert len(list((tmp_path / "home" / ".cache" / "vaegan" / "decoded").iterdir())) == 1


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--data.cache"):
        open_data(fill(tmp_path / "x", 5), cache=tmp_path / "file")
