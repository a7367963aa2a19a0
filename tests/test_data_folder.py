"""Folders and .zip files of images, from the files to the data set."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaegan.data import decode_pool as decode
from vaegan.data import decoded as prepare
from vaegan.data import open_data
from vaegan.errors import UserError

SMILES = Path(__file__).parents[2] / "shared" / "data" / "smiles.zip"


def paint(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def fill(folder: Path, num: int = 30) -> Path:
    for i in range(num):
        paint(folder / f"{i:03}.png", i)
    return folder


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.fixture
def opened(tmp_path):
    def opened(source, **options):
        return open_data(source, cache=tmp_path / "cache", **options)

    return opened


def nothing_left(tmp_path: Path) -> bool:
    return not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_every_image_arrives_with_its_name(tmp_path, opened):
    data = opened(fill(tmp_path / "pictures"))
    assert data.name == "pictures"
    assert data.image_shape == (1, 8, 8)
    assert len(data.train) + len(data.test) == 30
    for part in (data.train, data.test):
        assert isinstance(part.images, np.memmap)
        assert part.labels is None
        for name, image in zip(part.names, part.images, strict=True):
            assert (image == int(name[:3])).all()


def test_class_folders_become_labels(tmp_path, opened):
    for i in range(12):
        paint(tmp_path / "x" / "cats" / f"{i}.png", 10)
        paint(tmp_path / "x" / "dogs" / "deep" / f"{i}.bmp", 20)
    data = opened(tmp_path / "x")
    assert data.train.label_names == ("cats", "dogs")
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, data.train.images[:, 0, 0, 0] // 10 - 1)


def test_loose_images_have_no_class(tmp_path, opened):
    for name in ("a/1.png", "b/1.png", "1.png"):
        paint(tmp_path / "x" / name)
    assert opened(tmp_path / "x").train.labels is None


def test_wrapping_folders_are_looked_through(tmp_path, opened):
    for i in range(5):
        paint(tmp_path / "x" / "outer" / "inner" / "cats" / f"{i}.png")
        paint(tmp_path / "x" / "outer" / "inner" / "dogs" / f"{i}.png")
    paint(tmp_path / "x" / "__MACOSX" / "cats" / "0.png")
    paint(tmp_path / "x" / ".hidden" / "0.png")
    paint(tmp_path / "x" / "outer" / "inner" / "cats" / "._0.png")
    data = opened(tmp_path / "x")
    names = sorted([*data.train.names, *data.test.names])
    assert names == [f"{kind}/{i}.png" for kind in ("cats", "dogs") for i in range(5)]
    assert data.train.label_names == ("cats", "dogs")


def test_zip_equals_its_unpacked_folder(tmp_path, opened):
    for i in range(30):
        paint(tmp_path / "x" / ("cats" if i % 3 else "dogs") / f"{i:03}.png", i)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\n" + "".join(f"{i:03}.png,{i}\n" for i in range(30)))
    folder, archive = opened(tmp_path / "x"), opened(packed(tmp_path / "x", tmp_path / "x.zip"))
    assert folder.fingerprint == archive.fingerprint
    for a, b in ((folder.train, archive.train), (folder.test, archive.test)):
        assert list(a.names) == list(b.names)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.attributes, b.attributes)
        np.testing.assert_array_equal(a.attributes[:, 0], a.images[:, 0, 0, 0])
    assert folder.train.attribute_names == ("age",)


def test_symlink_loops_are_harmless(tmp_path, opened):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "again").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    fill(tmp_path / "elsewhere", 7)
    (tmp_path / "x" / "more").symlink_to(tmp_path / "elsewhere")
    data = opened(tmp_path / "x")
    assert len(data.train) + len(data.test) == 12


def test_tricks_with_paths_in_a_zip_are_harmless(tmp_path, opened):
    paint(tmp_path / "a.png", 5)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("../../up.png", "/root.png", "a\\..\\b.png", "c/./d.png"):
            archive.write(tmp_path / "a.png", name)
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    data = opened(tmp_path / "x.zip")
    assert sorted([*data.train.names, *data.test.names]) == ["a/b.png", "c/d.png", "root.png", "up.png"]
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before


def test_colour_of_one_image_makes_all_rgb(tmp_path, opened):
    fill(tmp_path / "x", 5)
    paint(tmp_path / "x" / "red.png", 9, mode="RGB")
    assert opened(tmp_path / "x").image_shape == (3, 8, 8)
    assert opened(tmp_path / "x", channels=1).image_shape == (1, 8, 8)


def test_unequal_sizes_need_a_size(tmp_path, opened):
    fill(tmp_path / "x", 5)
    paint(tmp_path / "x" / "wide.png", 9, (300, 2))
    paint(tmp_path / "x" / "dot.png", 9, (1, 1))
    with pytest.raises(UserError, match=r"differ in size.*set --data.size"):
        opened(tmp_path / "x")
    assert nothing_left(tmp_path)
    assert opened(tmp_path / "x", size=6).image_shape == (1, 6, 6)


def test_own_size_is_that_after_the_crop(tmp_path, opened):
    for i in range(4):
        paint(tmp_path / "x" / f"{i}.png", i, (12, 8))
    assert opened(tmp_path / "x").image_shape == (1, 8, 8)
    assert opened(tmp_path / "x", crop_size=5).image_shape == (1, 5, 5)
    assert opened(tmp_path / "x", crop="none").image_shape == (1, 8, 12)


def test_limit_takes_the_first_training_images(tmp_path, opened):
    fill(tmp_path / "x")
    whole, part = opened(tmp_path / "x"), opened(tmp_path / "x", limit=4)
    assert list(part.train.names) == list(whole.train.names[:4])
    assert list(part.test.names) == list(whole.test.names)


def test_bad_files_are_counted_named_and_left_out(tmp_path, opened, caplog):
    fill(tmp_path / "x", 40)
    Image.effect_noise((64, 64), 50).save(tmp_path / "x" / "cut.jpg")
    whole = (tmp_path / "x" / "cut.jpg").read_bytes()
    (tmp_path / "x" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "x" / "text.png").write_text("no picture")
    (tmp_path / "x" / "readme.txt").write_text("not even called one")
    with caplog.at_level(logging.WARNING, "vaegan"):
        data = opened(tmp_path / "x", size=8)
    assert data.num_unreadable == 2
    assert len(data.train) + len(data.test) == 40
    assert "'cut.jpg'" in caplog.text
    assert "'text.png'" in caplog.text
    assert "readme.txt" not in caplog.text
    for name, image in zip(data.train.names, data.train.images, strict=True):
        assert (image == int(name[:3])).all()


def test_too_many_bad_files_stop_it(tmp_path, opened):
    fill(tmp_path / "x", 30)
    for i in range(3):
        (tmp_path / "x" / f"bad{i}.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"unreadable of 33 images.*--data.max-unreadable 0.05") as caught:
        opened(tmp_path / "x")
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path)
    assert opened(tmp_path / "x", max_unreadable=0.2).num_unreadable == 3
    with pytest.raises(UserError, match=r"--data.max-unreadable 0.05"):  # now from the cache
        opened(tmp_path / "x")


def test_nothing_but_bad_files(tmp_path, opened):
    (tmp_path / "x").mkdir()
    for i in range(3):
        (tmp_path / "x" / f"{i}.png").write_bytes(b"")
    for options in ({}, {"size": 8, "channels": 1}):
        with pytest.raises(UserError, match=r"images can be read|too few readable"):
            opened(tmp_path / "x", max_unreadable=1.0, **options)


def test_a_bomb_is_a_bad_file(tmp_path, opened, monkeypatch):
    fill(tmp_path / "x", 30)
    paint(tmp_path / "x" / "bomb.png", 1, (100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert opened(tmp_path / "x").num_unreadable == 1


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


SCRIPT = """
import sys
from vaegan.data import open_data
print("started", flush=True)
data = open_data(sys.argv[1], cache=sys.argv[2], workers=2, on_progress=lambda *done: print(*done, flush=True))
print(data.fingerprint)
"""


def run_script(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "x"), str(tmp_path / "cache")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_and_a_script_without_a_main_guard(tmp_path):
    fill(tmp_path / "x", 300)
    results = [process.communicate(timeout=100) for process in [run_script(tmp_path), run_script(tmp_path)]]
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
    process.communicate(timeout=100)  # ends only when the workers, which hold the pipes, have ended too
    (part,) = (tmp_path / "cache" / "decoded").iterdir()
    assert part.name.endswith(".part")
    data = opened(tmp_path / "x", workers=1)
    assert len(data.train) + len(data.test) == 1000


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("file,age\n000.png,old\n", "line 2: could not convert"),
        ("file,age\n000.png,1,2\n", "line 2: 2 values for 1"),
        ("file,age\nother.png,1\n", "names none of the images"),
        ("file\n000.png\n", "at least one attribute"),
        ("", "at least one attribute"),
        ("\udcff", "not a table"),
    ],
)
def test_bad_attributes(tmp_path, opened, content, complaint):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "attributes.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=complaint):
        opened(tmp_path / "x")


def test_unknown_attributes_are_nan(tmp_path, opened):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "attributes.csv").write_text("file,age,smile\n001.png,3,\n")
    data = opened(tmp_path / "x")
    names = [*data.train.names, *data.test.names]
    values = np.concatenate([data.train.attributes, data.test.attributes])
    assert values.dtype == np.float32
    assert values[names.index("001.png")][0] == 3
    assert np.isnan(values).sum() == 9


def test_folder_without_images(tmp_path, opened):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("")
    with pytest.raises(UserError, match="no images found"):
        opened(tmp_path / "x")


def test_one_image_is_too_few(tmp_path, opened):
    with pytest.raises(UserError, match="one image"):
        opened(fill(tmp_path / "x", 1))


def test_corrupt_and_encrypted_zips(tmp_path, opened):
    path = packed(fill(tmp_path / "x", 5), tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    for at in range(len(content)):
        if content[at : at + 4] == b"PK\1\2":
            content[at + 8] |= 1  # the flag of encryption, in the central directory
    (tmp_path / "secret.zip").write_bytes(content)
    with pytest.raises(UserError, match="is encrypted"):
        opened(tmp_path / "secret.zip")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:200])
    (tmp_path / "empty.zip").write_bytes(b"")
    for name in ("cut.zip", "empty.zip"):
        with pytest.raises(UserError, match=r"not a readable \.zip"):
            opened(tmp_path / name)


def test_damaged_member_of_a_zip_is_a_bad_file(tmp_path, opened):
    path = packed(fill(tmp_path / "x", 30), tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    at = content.index(b"IDAT")
    content[at + 4 : at + 8] = b"oops"
    path.write_bytes(content)
    assert opened(path).num_unreadable == 1


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--data.cache"):
        open_data(fill(tmp_path / "x", 5), cache=tmp_path / "file")


def test_real_faces(tmp_path, opened):
    if not SMILES.exists():
        pytest.skip(f"needs {SMILES.name} in ../shared/data")
    data = opened(SMILES, limit=500)
    assert data.image_shape == (1, 64, 64)
    assert data.train.label_names == ("not_smiling", "smiling")
    assert len(data.train) == 500
    assert abs(len(data.test) - 1316) < 4 * np.sqrt(13165 * 0.09)
    assert 0.2 < data.train.labels.mean() < 0.36  # 3,690 of 13,165 smile
    assert 90 < data.train.images.mean() < 170
