"""Files that cannot be read, in folders and .zip files: counted, named and left out, or too many."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from image_folders import fill, nothing_left, packed, paint
from PIL import Image

from vaegan.data import image_file
from vaegan.errors import UserError


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


def test_links_and_pipes_that_cannot_be_opened_are_left_out_and_counted(tmp_path, opened):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x" / "loop")
    (tmp_path / "x" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "x" / "pipe.png")
    (tmp_path / "x" / "dataset.json").write_text("{}")
    data = opened(tmp_path / "x")
    assert len(data.train) + len(data.test) == 5
    assert data.left_out == ("1 not read (dataset.json)", "3 that cannot be opened (gone.png, loop, pipe.png)")


def test_more_pixels_than_the_bound_are_a_bad_file(tmp_path, opened, monkeypatch):
    fill(tmp_path / "x", 30)
    paint(tmp_path / "x" / "large.png", 1, (20, 20))
    monkeypatch.setattr(image_file, "MAX_PIXELS", 200)
    assert opened(tmp_path / "x", size=8).num_unreadable == 1


def test_folder_without_images(tmp_path, opened):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("")
    with pytest.raises(UserError, match="no images found"):
        opened(tmp_path / "x")
    for name in ("000.npy", "000.tar"):
        (tmp_path / "x" / name).write_bytes(b"")
        with pytest.raises(UserError, match=r"no images found among 2 files .*; give one of the .npy, .npz, .zip or"):
            opened(tmp_path / "x")
        (tmp_path / "x" / name).unlink()


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
    if num == 1 and broken == "nowhere.png":
        assert opened(tmp_path / "x").left_out == ("1 that cannot be opened (nowhere.png)",)
        return
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
