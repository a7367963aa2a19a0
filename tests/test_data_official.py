"""CIFAR-10, STL-10, CelebA and LFW, from small files in exactly their formats."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import logging
import shutil
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaegan.data import SOURCES, open_data
from vaegan.data import downloads as official
from vaegan.data.decoded import prepare_data
from vaegan.data.named.binary_records import CIFAR10
from vaegan.errors import UserError
from vaegan.settings import DataSettings

GENERATOR = np.random.default_rng(0)
COLUMNS = ("5_o_Clock_Shadow", "Smiling", "Young")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("VAEGAN_MIRROR", "http://127.0.0.1:9")


@pytest.fixture
def opened(tmp_path):
    def opened(source, root, **options):
        return open_data(source, root=root, cache=tmp_path / "cache", **options)

    return opened


def archived(folder: Path) -> Path:
    """Pack a folder and remove it."""
    with tarfile.open(folder.with_suffix(".tar.gz"), "w:gz") as archive:
        archive.add(folder, folder.name)
    shutil.rmtree(folder)
    return folder.with_suffix(".tar.gz")


def cifar(root: Path, num: int = 4) -> np.ndarray:
    """Write six batches; return their images (6, num, 32, 32, 3). The label of image i is i + 1."""
    images = GENERATOR.integers(0, 256, (6, num, 32, 32, 3), np.uint8)
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for which, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        content = b"".join(bytes([i + 1]) + images[which, i].transpose(2, 0, 1).tobytes() for i in range(num))
        (folder / f"{name}.bin").write_bytes(content)
    (folder / "batches.meta.txt").write_text("airplane\n")
    return images


def stl(root: Path) -> np.ndarray:
    """Write 3 labelled, 5 unlabelled and 2 held-out images; return them in this order, (10, 96, 96, 3)."""
    images = GENERATOR.integers(0, 256, (10, 96, 96, 3), np.uint8)
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for name, part in (("train_X", images[:3]), ("unlabeled_X", images[3:8]), ("test_X", images[8:])):
        (folder / f"{name}.bin").write_bytes(part.transpose(0, 3, 2, 1).tobytes())  # channel, column, row
    (folder / "train_y.bin").write_bytes(bytes([1, 10, 2]))
    (folder / "test_y.bin").write_bytes(bytes([3, 10]))
    return images


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", [".", "cifar10"])
def test_cifar10(tmp_path, opened, below, packed):
    images = cifar(tmp_path / "root" / below)
    if packed:
        archived(tmp_path / "root" / below / "cifar-10-batches-bin").rename(
            tmp_path / "root" / below / "cifar-10-binary.tar.gz"
        )
    data = opened("cifar10", tmp_path / "root")
    np.testing.assert_array_equal(data.train.images, images[:5].reshape(20, 32, 32, 3))
    np.testing.assert_array_equal(data.test.images, images[5])
    assert data.train.labels.tolist() == [1, 2, 3, 4] * 5
    assert data.train.label_names[1] == "automobile"
    assert data.test.names[0] == "test_batch-000000"
    assert data.image_shape == SOURCES["cifar10"].image_shape
    assert not list((tmp_path / "root").rglob("*.part"))


def test_cifar10_pickles_are_never_read(tmp_path, opened):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n")
    with pytest.raises(UserError, match=r"cifar-10-binary\.tar\.gz not found"):
        opened("cifar10", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_stl10(tmp_path, opened, packed):
    images = stl(tmp_path)
    if packed:
        archived(tmp_path / "stl10_binary")
    data = opened("stl10", tmp_path)
    np.testing.assert_array_equal(data.train.images, images[:8])
    np.testing.assert_array_equal(data.test.images, images[8:])
    assert [data.train.label_names[i] for i in data.train.labels] == ["airplane", "truck", "bird"] + ["unlabeled"] * 5
    assert data.test.labels.tolist() == [2, 9]
    assert data.image_shape == SOURCES["stl10"].image_shape
    assert opened("stl10", tmp_path, size=32, limit=2).train.images.shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("train_X.bin", b"0" * 27649, "27649 bytes, not a multiple of 27648"),
        ("test_X.bin", b"", "0 bytes"),
        ("train_y.bin", bytes([1, 2]), "2 labels for 3 images"),
        ("train_y.bin", bytes([1, 2, 0]), "labels are not those"),
        ("test_y.bin", bytes([1, 12]), "labels are not those"),
    ],
)
def test_damaged_records(tmp_path, opened, file, content, complaint):
    stl(tmp_path)
    (tmp_path / "stl10_binary" / file).write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        opened("stl10", tmp_path)


def test_damaged_archives(tmp_path, opened):
    stl(tmp_path)
    archive = archived(tmp_path / "stl10_binary")
    content = archive.read_bytes()
    for damaged in (b"", b"no archive", content[: len(content) // 2]):
        archive.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{archive}: cannot be unpacked") as caught:
            opened("stl10", tmp_path)
        assert "\n" not in str(caught.value)
        assert [path.name for path in tmp_path.iterdir()] == ["stl10_binary.tar.gz"]


def test_archives_of_something_else(tmp_path, opened):
    cifar(tmp_path)
    archived(tmp_path / "cifar-10-batches-bin").rename(tmp_path / "stl10_binary.tar.gz")
    with pytest.raises(UserError, match="the folder stl10_binary is not in it"):
        opened("stl10", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stl10_binary.tar.gz"]


def test_archives_cannot_write_elsewhere(tmp_path):
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"), io.BytesIO())
    with pytest.raises(UserError, match="cannot be unpacked"):
        official.unpacked(tmp_path / "in" / "a.tar.gz", "a")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "in"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_downloaded_from_the_mirror_checked_and_unpacked(tmp_path, monkeypatch):
    images = cifar(tmp_path / "served" / "cifar10")
    archive = archived(tmp_path / "served" / "cifar10" / "cifar-10-batches-bin")
    archive = archive.rename(archive.with_name("cifar-10-binary.tar.gz"))
    source = replace(CIFAR10, checksum=f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("VAEGAN_MIRROR", f"http://127.0.0.1:{server.server_port}")
        settings = DataSettings(root=tmp_path / "root", cache=tmp_path / "cache")
        with pytest.raises(UserError, match="wrong checksum"):
            CIFAR10.open(settings)
        data = prepare_data(source.open(settings), settings)
        server.shutdown()
    np.testing.assert_array_equal(data.test.images, images[5])


def faces(root: Path, num: int = 12) -> np.ndarray:
    """Write CelebA's files below root; image i is held out if i % 3 == 2. Return the images."""
    images = np.repeat(np.repeat(GENERATOR.integers(0, 256, (num, 55, 45, 3), np.uint8), 4, 1), 4, 2)[:, :218, :178]
    (root / "img_align_celeba").mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / "img_align_celeba" / f"{i + 1:06}.jpg", quality=95, subsampling=0)
    names = [f"{i + 1:06}.jpg" for i in range(num)]
    (root / "list_eval_partition.txt").write_text("".join(f"{name} {i % 3}\n" for i, name in enumerate(names)))
    signs = [[1 if (i >> bit) & 1 else -1 for bit in range(3)] for i in range(num)]
    rows = "".join(f"{name} " + " ".join(f"{s:2}" for s in row) + " \n" for name, row in zip(names, signs, strict=True))
    (root / "list_attr_celeba.txt").write_text(f"{num}\n{' '.join(COLUMNS)} \n{rows}")
    return images


@pytest.mark.parametrize("below", [".", "celeba"])
@pytest.mark.parametrize("packed", [True, False])
def test_celeba(tmp_path, opened, below, packed):
    root = tmp_path / "root" / below
    images = faces(root)
    if packed:
        with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
            for path in sorted((root / "img_align_celeba").iterdir()):
                archive.write(path, f"img_align_celeba/{path.name}")
        shutil.rmtree(root / "img_align_celeba")
    data = opened("celeba", tmp_path / "root")
    assert data.image_shape == SOURCES["celeba"].image_shape
    assert data.train.labels is None
    assert data.train.attribute_names == COLUMNS
    assert list(data.test.names) == ["000003.jpg", "000006.jpg", "000009.jpg", "000012.jpg"]
    assert list(data.train.names) == [f"{i + 1:06}.jpg" for i in range(12) if i % 3 != 2]
    for part in (data.train, data.test):
        for name, image, attributes in zip(part.names, part.images, part.attributes, strict=True):
            i = int(name[:6]) - 1
            assert attributes.tolist() == [i & 1, (i >> 1) & 1, (i >> 2) & 1]
            cut = Image.fromarray(images[i][40:188, 15:163]).resize((64, 64), Image.Resampling.LANCZOS)
            assert abs(image.astype(int) - np.asarray(cut)).mean() < 3


def test_celeba_in_the_folders_of_its_authors(tmp_path, opened):
    faces(tmp_path)
    for file, folder in (
        ("img_align_celeba", "Img"),
        ("list_attr_celeba.txt", "Anno"),
        ("list_eval_partition.txt", "Eval"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / file).rename(tmp_path / folder / file)
    assert len(opened("celeba", tmp_path).train) == 8


def test_celeba_cut_otherwise(tmp_path, opened):
    images = faces(tmp_path)
    centred = opened("celeba", tmp_path, crop_size=140, size=140).train.images[0]
    assert abs(centred.astype(int) - images[0][39:179, 19:159]).mean() < 3
    high = opened("celeba", tmp_path, size="218x109").train.images[0]
    assert abs(high.astype(int) - images[0][:, 34:143]).mean() < 3
    whole = opened("celeba", tmp_path, crop="none", size=32).train.images[0]
    expected = Image.fromarray(images[0]).resize((32, 32), Image.Resampling.LANCZOS)
    assert abs(whole.astype(int) - np.asarray(expected)).mean() < 3


def test_celeba_with_images_and_lines_missing(tmp_path, opened, caplog):
    faces(tmp_path)
    (tmp_path / "img_align_celeba" / "000001.jpg").unlink()
    lines = (tmp_path / "list_attr_celeba.txt").read_text().splitlines()
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines[:3] + lines[4:]))
    with caplog.at_level(logging.WARNING, "vaegan"):
        data = opened("celeba", tmp_path)
    assert "celeba: 1 of 12 images are missing" in caplog.text
    assert data.train.names[0] == "000002.jpg"
    assert np.isnan(data.train.attributes[0]).all()
    assert not np.isnan(data.train.attributes[1:]).any()


def test_celeba_in_the_wild_is_not_aligned(tmp_path, opened):
    faces(tmp_path)
    for path in (tmp_path / "img_align_celeba").iterdir():
        Image.new("RGB", (400, 500)).save(path)
    with pytest.raises(UserError, match="400x500 pixels, not 178x218"):
        opened("celeba", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("list_eval_partition.txt", "", "lists no training images"),
        ("list_eval_partition.txt", "000001.jpg 0\n", "or no test images"),
        ("list_eval_partition.txt", "000001.jpg zero\n", "invalid literal"),
        ("list_eval_partition.txt", "000001.jpg\n", "not 1 numbers"),
        ("list_attr_celeba.txt", "1\nA B\n000001.jpg 1\n", "not 2 numbers"),
        ("list_attr_celeba.txt", "1\nA B\n000001.jpg 1 x\n", "invalid literal"),
        ("list_attr_celeba.txt", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_celeba_with_damaged_tables(tmp_path, opened, file, content, complaint):
    faces(tmp_path)
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=complaint) as caught:
        opened("celeba", tmp_path)
    assert str(caught.value).startswith(str(tmp_path / file))
    assert "\n" not in str(caught.value)


def people(root: Path, folder: str = "lfw-deepfunneled") -> None:
    """Write 60 people with two pictures each, and the attributes of all but the first."""
    rows = []
    for i in range(60):
        person = f"Ann_B{i}_Cole"
        (root / folder / person).mkdir(parents=True)
        for number in (1, 2):
            image = np.full((250, 250, 3), 4 * i, np.uint8)
            image[:50] = image[200:] = image[:, :50] = image[:, 200:] = 255
            Image.fromarray(image).save(root / folder / person / f"{person}_{number:04}.jpg", quality=95)
            rows.append(f"{person.replace('_', ' ')}\t{number}\t{i}.25\t-{number}")
    header = "#LFW Attributes v1.5\n#\tperson\timagenum\tMale\t5 o' Clock Shadow\n"
    (root / "lfw_attributes.txt").write_text(header + "\n".join(rows[1:]) + "\n")


@pytest.mark.parametrize(
    ("folder", "archive"),
    [("lfw-deepfunneled", None), ("lfw-deepfunneled", "lfw-deepfunneled.tgz"), ("lfw", "lfw.tgz")],
)
def test_lfw(tmp_path, opened, folder, archive):
    people(tmp_path, folder)
    if archive:
        archived(tmp_path / folder).rename(tmp_path / archive)
    data = opened("lfw", tmp_path)
    assert data.image_shape == SOURCES["lfw"].image_shape
    assert data.train.attribute_names == ("Male", "5 o' Clock Shadow")
    assert len(data.train) + len(data.test) == 120
    persons = [{Path(name).parent.name for name in part.names} for part in (data.train, data.test)]
    assert persons[1]
    assert not persons[0] & persons[1]
    for part in (data.train, data.test):
        for name, image, attributes in zip(part.names, part.images, part.attributes, strict=True):
            i, number = int(Path(name).parent.name.split("_")[1][1:]), int(name[-5])
            assert abs(image[2:-2, 2:-2].astype(int) - 4 * i).max() < 12
            if (i, number) == (0, 1):
                assert np.isnan(attributes).all()
            else:
                assert attributes.tolist() == [i + 0.25, -number]
    if not archive:
        wide = opened("lfw", tmp_path, size="25x50").train.images[0]
        assert wide.shape == (25, 50, 3)
        assert wide[:, :8].min() > 240  # the whole width, white at the edge


def test_a_download_without_a_published_checksum_is_said(tmp_path, monkeypatch, caplog):
    import pooch

    (tmp_path / "table.txt").write_text("downloaded")
    monkeypatch.setattr(pooch, "retrieve", lambda url, checksum, *names, **options: str(tmp_path / "table.txt"))
    digest = hashlib.sha256(b"downloaded").hexdigest()
    for checksum, messages in (
        ("md5:0", []),
        (None, [f"{tmp_path}/table.txt: not verified, as no checksum is published; it has sha256:{digest}"]),
    ):
        official.download("lfw", "table.txt", checksum, tmp_path, urls=("http://x",))
        assert [m for m in caplog.messages if "checksum" in m] == messages


def test_lfw_split_is_by_the_person_alone(tmp_path, opened):
    people(tmp_path)
    before = {Path(name).parent.name for name in opened("lfw", tmp_path).test.names}
    for person in list((tmp_path / "lfw-deepfunneled").iterdir()):
        shutil.copy(person / f"{person.name}_0001.jpg", person / f"{person.name}_0003.jpg")
    assert {Path(name).parent.name for name in opened("lfw", tmp_path).test.names} == before


@pytest.mark.parametrize(
    "content",
    ["", "#\tperson\timagenum\n", "#\tperson\timagenum\tMale\nx\ty\t1\n", "#\tperson\timagenum\tMale\nNo\t1\t2\n"],
)
def test_lfw_with_a_damaged_table(tmp_path, opened, content):
    people(tmp_path)
    (tmp_path / "lfw_attributes.txt").write_text(content)
    with pytest.raises(UserError, match=r"lfw_attributes.txt: (not the published table|names no attributes)"):
        opened("lfw", tmp_path)


@pytest.mark.parametrize(
    ("name", "files", "address"),
    [
        ("cifar10", ["cifar-10-binary.tar.gz"], "https://www.cs.toronto.edu/~kriz"),
        ("stl10", ["stl10_binary.tar.gz"], "http://ai.stanford.edu/~acoates/stl10"),
        (
            "celeba",
            ["img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"],
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        ),
        ("lfw", ["lfw-deepfunneled.tgz"], "http://vis-www.cs.umass.edu/lfw"),
    ],
)
def test_what_cannot_be_downloaded_says_where_to_get_it_and_where_to_put_it(
    tmp_path, opened, monkeypatch, name, files, address
):
    import pooch
    import requests

    def refuse(self, url, *rest):
        raise requests.ConnectionError(url)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    with pytest.raises(UserError) as caught:
        opened(name, tmp_path / "root")
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert all(file in message for file in files)
    assert address in message
    assert str(tmp_path / "root") in message
    assert "--data.root" in message
    assert "\n" not in message
    assert SOURCES[name].needs_root
