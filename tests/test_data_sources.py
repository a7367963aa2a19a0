from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from vaegan.data import SOURCES, open_data
from vaegan.data.arrays import list_array
from vaegan.data.decoded import prepare_data
from vaegan.data.folder import list_folder, list_zip
from vaegan.data.shards import list_shards
from vaegan.errors import UserError
from vaegan.settings import DataSettings


@pytest.mark.parametrize("name", ["digits", "shapes", "shapes-faces"])
def test_a_source_is_items_by_index(name):
    collection = SOURCES[name].open(DataSettings(limit=3))
    items = collection.items
    assert len(items) == len(collection.names)
    assert items.fingerprint
    first, again = np.asarray(items[0]), np.asarray(pickle.loads(pickle.dumps(items))[0])
    np.testing.assert_array_equal(first, again)
    assert first.shape[:2] == (collection.header.height, collection.header.width)
    assert not np.array_equal(first, np.asarray(items[len(items) - 1]))


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), np.uint8)


def write_images(path, images):
    """Write images as a folder, .zip, .tar or .npy, by the ending of the path."""
    if path.suffix == ".npy":
        np.save(path, images)
        return
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    if path.suffix:
        shutil.make_archive(str(folder), path.suffix[1:], folder)


@pytest.mark.parametrize(
    ("name", "collect"), [("x", list_folder), ("x.zip", list_zip), ("x.tar", list_shards), ("x.npy", list_array)]
)
def test_a_path_is_items_by_index(tmp_path, name, collect):
    write_images(tmp_path / name, PIXELS)
    for path in (tmp_path / name, *(tmp_path / name).rglob("*")):
        os.utime(path, (0, 0))  # what is written below is newer, however coarse the clock of the file system
    collection = collect(tmp_path / name)
    items = pickle.loads(pickle.dumps(collection.items))
    assert len(items) == 5
    assert collection.name == "x"
    for i, image_name in enumerate(collection.names):
        np.testing.assert_array_equal(np.asarray(items[i]), PIXELS[int(image_name.removesuffix(".png"))])
    assert collect(tmp_path / name).items.fingerprint == items.fingerprint
    write_images(tmp_path / name, 255 - PIXELS)
    assert collect(tmp_path / name).items.fingerprint != items.fingerprint


def test_settings_and_keywords_open_the_same():
    data = open_data(DataSettings(source="digits", size=6, limit=9, flip=True))
    same = open_data("digits", size=6, limit=9)
    assert data.fingerprint == same.fingerprint
    assert data.image_shape == (1, 6, 6)
    wider = open_data(DataSettings(source="digits", limit=9).for_shape((3, 6, 6)))
    assert wider.image_shape == (3, 6, 6)
    np.testing.assert_array_equal(wider.train.images, np.repeat(data.train.images, 3, axis=3))


@pytest.mark.parametrize(
    ("settings", "complaint"), [({"sise": 8}, "unknown setting 'sise'.*size"), ({"size": 0}, "size: 0 is not allowed")]
)
def test_wrong_settings_are_named(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        open_data("digits", **settings)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_is(name):
    source = SOURCES[name]
    assert source.name == name
    assert source.description
    assert "\n" not in source.description


def test_digits_are_scikit_learns():
    data = open_data("digits")
    assert data.image_shape == SOURCES["digits"].image_shape
    values, labels = load_digits(return_X_y=True)
    for part in (data.train, data.test):
        index = np.array(part.names, int)
        np.testing.assert_array_equal(part.labels, labels[index])
        np.testing.assert_array_equal(part.images.reshape(-1, 64), np.round(values[index] * 255 / 16).astype(np.uint8))
        assert np.bincount(part.labels).min() > 0.05 * len(part)
    assert len(data.train) + len(data.test) == 1797
    assert not set(data.train.names) & set(data.test.names)


def test_digits_keep_their_own_split():
    assert list(open_data("digits", held_out=0.5).test.names) == list(open_data("digits").test.names)
    assert open_data("digits", limit=7).train.names == open_data("digits").train.names[:7]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("mnits", "no such path: 'mnits' .perhaps you meant 'mnist'"),
        ("groww", "no such path: 'groww' .perhaps you meant 'grow'"),
        ("./groww", "no such path: './groww' .perhaps you meant 'grow'"),
        ("qqqqqqqq", "no such path: 'qqqqqqqq'; --data takes a folder .* or digits, shapes, "),
        ("faces.zip", "no such path"),
        ("some/where", "no such path: 'some/where'; --data takes"),
        ("x" * 5000, "File name too long"),
        ("a\0b/", "null byte|null character"),
        ("a\nb", "no such path"),
        ("~nobody-by-this-name/x", "home directory"),
        ("", "no such path: ''"),
    ],
)
def test_sources_that_do_not_exist(tmp_path, monkeypatch, source, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grow").mkdir()
    (tmp_path / "grown.txt").touch()
    with pytest.raises(UserError, match=complaint) as caught:
        open_data(source)
    assert "\n" not in str(caught.value)


def test_files_of_another_kind(tmp_path):
    for name, complaint in (
        ("x.tiff", "a single image; put it into a folder"),
        ("x.md", "neither a folder nor a file of"),
    ):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(UserError, match=complaint):
            open_data(tmp_path / name)


@pytest.mark.parametrize("name", ["x.zip", "x.npy", "x.npz", "x.tar", "x*.tar"])
def test_a_pipe_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name.replace("*", ""))  # opening it would wait forever
    with pytest.raises(UserError, match=r"neither a folder nor a file|no such file"):
        open_data(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_folder(tmp_path):
    (tmp_path / "x").mkdir(mode=0)
    with pytest.raises(UserError, match="Permission denied"):
        open_data(tmp_path / "x")


def test_unreadable_folder_is_told_in_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"{tmp_path}: Permission denied"):
        open_data(tmp_path)


def test_infinite_attributes_are_refused_whatever_they_come_from():
    collection = SOURCES["shapes"].open(DataSettings(limit=3))
    collection.attributes[1, 2] = np.inf
    with pytest.raises(UserError, match="shapes: attribute x is infinite for some image"):
        prepare_data(collection, DataSettings(source="shapes", limit=3))


def test_torch_is_not_imported():
    code = "import sys, vaegan.data; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
