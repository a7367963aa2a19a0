"""Folders and .zip files of images, from the files to the data set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaegan import files
from vaegan.data import decode_pool as decode
from vaegan.data import decoded as prepare
from vaegan.data import folder, image_file, open_data
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


def test_height_and_width_of_a_size(tmp_path, opened):
    for i in range(4):
        pixels = np.arange(96, dtype=np.uint8).reshape(8, 12) + i
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "x" / f"{i}.png")
    wide = opened(tmp_path / "x", size="6x12")
    assert wide.image_shape == (1, 6, 12)
    assert wide.summary()[0].startswith("x: 3 training images of 1x6x12, 1 held out")
    first = int(wide.test.names[0][0])
    np.testing.assert_array_equal(wide.test.images[0, ..., 0], np.arange(12, 84).reshape(6, 12) + first)
    assert opened(tmp_path / "x", size=(8, 4)).image_shape == (1, 8, 4)
    assert opened(tmp_path / "x", size="4x2", crop="none").image_shape == (1, 4, 2)
    assert opened(tmp_path / "x", size="8x8").fingerprint == opened(tmp_path / "x", size=8).fingerprint


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


def test_bad_files_are_named_once_all_of_them_in_a_file(tmp_path, opened, caplog):
    fill(tmp_path / "x", 40)
    bad = sorted(f"bad{i}.png" for i in range(5))
    for name in bad:
        (tmp_path / "x" / name).write_text("no picture")
    assert opened(tmp_path / "x", max_unreadable=0.2).num_unreadable == 5
    (line,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "left out 5 unreadable of 45 images: 'bad" in line
    assert line.count("(not an image)") == 3
    listed = Path(line.rpartition("all of them: ")[2]).read_text().splitlines()
    assert listed == [f"{name}\tnot an image" for name in bad]
    caplog.clear()
    assert opened(tmp_path / "x", max_unreadable=0.2).num_unreadable == 5  # decoded already
    assert not caplog.records


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


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("file,age\n000.png,old\n", "line 2: age: 'old' is not a number"),
        ("file,age\n001.png,1\n\n000.png,inf\n", "line 4: age is inf; leave"),
        ("file,age\n000.png,nan\n", "line 2: age is nan"),
        ("file,age\n000.png,-1e39\n", "line 2: age is -1e[+]39"),  # infinite as float32
        ("file,age\n000.png,1,2\n", "line 2: 2 values for 1"),
        ("file;age;hat\n000.png;1\n", "line 2: 1 values for 2 attributes .separated by ';'"),
        ("file, age,age \n000.png,1,2\n", "line 1: two columns are called 'age'"),
        ("file,age\n000.png,1\n./000.png,2\n", "line 3: './000.png' has a row in line 2 too"),
        ('file,age\n"000.png,1\n', "not a table of UTF-8 text"),
        ("file,age\nother.png,1\n", "names none of the images"),
        ("file\n000.png\n", "at least one attribute"),
        ("000.png,1\n001.png,0\n", "it needs a first line"),
        ("", "at least one attribute"),
        ("\udcff", "not a table"),
    ],
)
def test_bad_attributes(tmp_path, opened, content, complaint):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "attributes.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=complaint):
        opened(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    [
        "file;age;hat\r\n000.png;0,5;1\r\n001.png;;0\r\n",  # as spreadsheets write it where 0,5 is a number
        "file\tage\that\n000.png\t0.5\t1\n001.png\t\t0\n",
        'file, age , "hat"\n 000.png , 0.5 , 1\n"001.png", , "0"\n\n,,\n',
        "\ufeffage,file,hat,\n0.5,000.png,1,\n,./001.png,0,\n",
        ",file_name,age,hat\n0,000.png,0.5,1\n1,001.png,,0\n",  # the index of a data frame
        "age,hat,FILE\n.5,1,x\\000.png\n,0,x/001.png\n",
    ],
)
def test_attributes_as_people_write_them(tmp_path, opened, caplog, content):
    fill(tmp_path / "top" / "x", 4)
    folder = tmp_path / "top" if "FILE" in content else tmp_path / "top" / "x"
    (folder / "attributes.csv").write_bytes(content.encode())
    data = opened(tmp_path / "top")
    assert data.train.attribute_names == ("age", "hat")
    values = dict(
        zip([*data.train.names, *data.test.names], [*data.train.attributes, *data.test.attributes], strict=True)
    )
    np.testing.assert_array_equal([values["000.png"], values["001.png"]], [[0.5, 1], [np.nan, 0]])
    assert "attributes.csv: images without a row: 2" in caplog.text


def test_rows_without_image_and_images_without_row_are_counted(tmp_path, opened, caplog):
    fill(tmp_path / "x", 6)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\n000.png,1\nA.png,2\nB.png,3\n")
    opened(tmp_path / "x")
    where = tmp_path / "x" / "attributes.csv"
    assert caplog.messages == [
        f"{where}: rows without an image: 2 (A.png, B.png)",
        f"{where}: images without a row: 5 (001.png, 002.png, 003.png, ...)",
    ]


def test_what_surprises_in_the_data_is_left_to_who_opens_it_quietly(tmp_path, opened, caplog):
    fill(tmp_path / "x" / "cat", 6)
    paint(tmp_path / "x" / "stray.png")
    (tmp_path / "x" / "attributes.csv").write_text("file,age\nstray.png,1\nB.png,3\n")
    data = opened(tmp_path / "x", quiet=True)
    assert caplog.messages == []
    assert [note.split(": ")[1] for note in data.notes] == [
        "rows without an image", "images without a row", "no labels, as images lie beside the class folders"
    ]  # fmt: skip
    assert opened(tmp_path / "x").notes == data.notes
    assert tuple(caplog.messages) == data.notes


def test_a_bare_name_of_two_images_is_refused_unless_its_folder_is_named(tmp_path, opened):
    for kind in ("cat", "dog"):
        fill(tmp_path / "x" / kind, 3)
    table = tmp_path / "x" / "attributes.csv"
    table.write_text("file,age\ncat/000.png,1\ndog/000.png,2\n")
    assert opened(tmp_path / "x").train.attribute_names == ("age",)
    table.write_text("file,age\ncat/001.png,1\n000.png,2\n")
    with pytest.raises(UserError, match=r"line 3: '000.png' is in several folders; name these"):
        opened(tmp_path / "x")


METADATA = {
    "metadata.csv": "file_name,text,age\n000.png,a cat,3\n001.png,,\n",
    "metadata.jsonl": '{"file_name": "000.png", "text": "a", "age": 3}\n\n{"file_name": "001.png", "box": [1, 2]}\n',
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_hugging_face_image_folders(tmp_path, opened, caplog, name):
    caplog.set_level(logging.INFO, "vaegan")
    for side in ("train", "validation"):
        fill(tmp_path / "x" / side, 3)
        (tmp_path / "x" / side / name).write_text(METADATA[name])
    data = opened(tmp_path / "x")
    assert data.train.attribute_names == ("age",)
    for part, side in ((data.train, "train"), (data.test, "validation")):
        by_name = dict(zip(part.names, part.attributes[:, 0].tolist(), strict=True))
        assert by_name[f"{side}/000.png"] == 3
        assert np.isnan([by_name[f"{side}/001.png"], by_name[f"{side}/002.png"]]).all()
    columns = "1 (text)" if name.endswith("csv") else "2 (box, text)"
    assert f"{tmp_path / 'x'}: columns of text, not read: {columns}" in caplog.messages
    assert data.left_out == ()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("metadata.csv", "id,age\n000.png,1\n", "not read: it needs a first line"),
        ("metadata.csv", "file_name,age\nother.png,1\n", "not read: it names none of the images, such as '000.png'"),
        ("metadata.jsonl", '{"name": 1}\n', "not read: it has no 'file_name'"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": 1}\n{}\n', "line 2: no 'file_name'"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": NaN}\n', "line 1: age is nan"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": 1' + 400 * "0" + "}\n", "line 1: age is"),
        ("metadata.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("metadata.csv", "file_name,age\n000.png,inf\n", "line 2: age is inf"),
    ],
)
def test_metadata_that_is_wrong_is_refused_or_said_to_be_not_read(tmp_path, opened, caplog, name, content, complaint):
    fill(tmp_path / "x", 3)
    (tmp_path / "x" / name).write_text(content)
    if complaint.startswith("not read"):
        assert opened(tmp_path / "x").train.attributes is None
        assert f"{tmp_path / 'x' / name}: {complaint}" in caplog.text
    else:
        with pytest.raises(UserError, match=complaint):
            opened(tmp_path / "x")


def test_a_table_is_read_up_to_a_bound(tmp_path, opened, monkeypatch):
    fill(tmp_path / "x", 3)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\n" + 30 * "000.png,1\n")
    packed(tmp_path / "x", tmp_path / "x.zip")
    monkeypatch.setattr(files.read_bytes, "__defaults__", (100,))
    monkeypatch.setattr(folder._unpacked, "__defaults__", (100,))
    for source in ("x", "x.zip"):
        with pytest.raises(UserError, match=r"attributes.csv: longer than 0.0001 MB; correct or remove it"):
            opened(tmp_path / source)


@pytest.mark.parametrize("sides", [("train", "test"), ("Train", "VAL"), ("training", "valid", "Test")])
def test_folders_of_a_split_are_the_split_and_labels_come_from_below(tmp_path, opened, caplog, sides):
    for side in sides:
        for value, kind in ((10, "cat"), (20, "dog")):
            for i in range(3):
                paint(tmp_path / "x" / side / kind / f"{i}.png", value)
    paint(tmp_path / "x" / "more" / "1.png")
    data = opened(tmp_path / "x")
    assert sorted(data.train.names) == [f"{sides[0]}/{kind}/{i}.png" for kind in ("cat", "dog") for i in range(3)]
    assert len(data.test) == 6 * (len(sides) - 1)
    assert not any(name.startswith(sides[0]) for name in data.test.names)
    for part in (data.train, data.test):
        assert part.label_names == ("cat", "dog")
        np.testing.assert_array_equal(part.labels, part.images[:, 0, 0, 0] // 10 - 1)
    assert data.left_out == (f"1 outside {', '.join(sorted(sides))} (more/1.png)",)
    zipped = opened(packed(tmp_path / "x", tmp_path / "x.zip"))
    assert (zipped.fingerprint, zipped.test.names) == (data.fingerprint, data.test.names)


def test_half_a_split_is_none(tmp_path, opened):
    for kind in ("train", "bus"):  # vehicles
        fill(tmp_path / "x" / kind, 4)
    assert opened(tmp_path / "x").train.label_names == ("bus", "train")


def test_a_stray_picture_beside_class_folders_is_named(tmp_path, opened, caplog):
    for kind in ("cat", "dog"):
        fill(tmp_path / "x" / kind, 4)
    paint(tmp_path / "x" / "stray.png")
    assert opened(tmp_path / "x").train.labels is None
    assert caplog.messages == [
        f"{tmp_path / 'x'}: no labels, as images lie beside the class folders: 1 in none (stray.png)"
    ]


def test_names_that_cannot_be_listed_are_escaped(tmp_path, opened):
    for kind in (b"caf\xe9", b"two\nlines", "d\u202fe".encode()):
        fill(Path(os.fsdecode(os.fsencode(tmp_path / "x") + b"/" + kind)), 4)
    data = opened(tmp_path / "x")
    assert data.train.label_names == ("caf\\udce9", "d\u202fe", "two\\nlines")
    names = [*data.train.names, *data.test.names]
    assert "two\\nlines/001.png" in names
    assert "".join(names).encode()


def test_links_and_pipes_that_cannot_be_opened_are_left_out_and_counted(tmp_path, opened):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x" / "loop")
    (tmp_path / "x" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "x" / "pipe.png")
    (tmp_path / "x" / "dataset.json").write_text("{}")
    data = opened(tmp_path / "x")
    assert len(data.train) + len(data.test) == 5
    assert data.left_out == ("1 not read (dataset.json)", "3 that cannot be opened (gone.png, loop, pipe.png)")


def test_what_was_found_is_two_lines(tmp_path, opened):
    fill(tmp_path / "x" / "cat", 6)
    fill(tmp_path / "x" / "dog", 6)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\ncat/000.png,1\ndog/000.png,\n")
    (tmp_path / "x" / "notes.txt").touch()
    (tmp_path / "x" / "dog" / "cut.png").write_bytes(b"\x89PNG")
    data = opened(tmp_path / "x", max_unreadable=0.5)
    num = len(data.train)
    assert data.summary() == (
        f"x: {num} training images of 1x8x8, {12 - num} held out; left out: 1 unreadable; 1 not read (notes.txt)",
        "labels: cat, dog; attributes of 1 of 12 images: age",
    )
    assert opened("digits").summary()[1] == "labels: 10 (0, 1, 2, ...); attributes: none"


def test_more_pixels_than_the_bound_are_a_bad_file(tmp_path, opened, monkeypatch):
    fill(tmp_path / "x", 30)
    paint(tmp_path / "x" / "large.png", 1, (20, 20))
    monkeypatch.setattr(image_file, "MAX_PIXELS", 200)
    assert opened(tmp_path / "x", size=8).num_unreadable == 1


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


@pytest.mark.parametrize("num", [0, 1])
@pytest.mark.parametrize("broken", ["text.png", "cut.png", "nowhere.png", "scan.tif"])
def test_a_broken_picture_among_too_few_is_named(tmp_path, opened, num, broken):
    fill(tmp_path / "x", max(num, 1))
    whole = (tmp_path / "x" / "000.png").read_bytes()
    content = {"text.png": b"text", "cut.png": whole[:40], "scan.tif": b"II*"}.get(broken)
    if content:
        (tmp_path / "x" / broken).write_bytes(content)
    else:
        (tmp_path / "x" / broken).symlink_to(tmp_path / "nothing")
    if num == 0:
        (tmp_path / "x" / "000.png").unlink()
    for share in (0.05, 0.9):
        with pytest.raises(UserError, match=broken):
            opened(tmp_path / "x", max_unreadable=share, size=8, channels=1)


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
