"""Folders and .zip files of images: names, classes, sizes, splits."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_folders import fill, nothing_left, packed, paint
from PIL import Image

from vaegan.errors import UserError

SMILES = Path(__file__).parents[2] / "shared" / "data" / "smiles.zip"


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


def test_limit_takes_the_first_training_images(tmp_path, opened):
    fill(tmp_path / "x")
    whole, part = opened(tmp_path / "x"), opened(tmp_path / "x", limit=4)
    assert list(part.train.names) == list(whole.train.names[:4])
    assert list(part.test.names) == list(whole.test.names)


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
