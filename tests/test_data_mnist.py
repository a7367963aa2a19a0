from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vaegan.data import open_data
from vaegan.data.decoded import prepare_data
from vaegan.data.named import mnist
from vaegan.data.named.mnist import read_idx
from vaegan.errors import UserError
from vaegan.settings import DataSettings

REAL = Path(__file__).parents[2] / "shared" / "data" / "mnist"
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
GENERATOR = np.random.default_rng(0)
ARRAYS = [
    GENERATOR.integers(0, 256, (12, 5, 5), np.uint8),
    GENERATOR.integers(0, 10, 12).astype(np.uint8),
    GENERATOR.integers(0, 256, (6, 5, 5), np.uint8),
    GENERATOR.integers(0, 10, 6).astype(np.uint8),
]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_set(folder: Path, ending: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, ARRAYS, strict=True):
        content = idx(array)
        (folder / (name + ending)).write_bytes(gzip.compress(content, mtime=0) if ending else content)
    return folder


def check(data) -> None:
    np.testing.assert_array_equal(data.train.images[..., 0], ARRAYS[0])
    np.testing.assert_array_equal(data.train.labels, ARRAYS[1])
    np.testing.assert_array_equal(data.test.images[..., 0], ARRAYS[2])
    np.testing.assert_array_equal(data.test.labels, ARRAYS[3])
    assert data.image_shape == (1, 5, 5)


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that has the small set below /mnist."""
    folder = write_set(tmp_path / "served" / "mnist")
    handler = functools.partial(_Quiet, directory=str(folder.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("VAEGAN_MIRROR", raising=False)


def small(url: str, folder: Path) -> mnist.IdxSet:
    """MNIST with the address and the checksums of the small set."""
    sums = [hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in NAMES]
    return replace(mnist.MNIST, urls=(url,), checksums=tuple(f"sha256:{value}" for value in sums))


@pytest.mark.parametrize("ending", [".gz", ""])
@pytest.mark.parametrize("below", [".", "mnist", "raw", "MNIST/raw"])
def test_found_packed_or_not_in_every_usual_place(tmp_path, below, ending):
    write_set(tmp_path / below, ending)
    check(open_data("mnist", root=tmp_path))


def test_found_with_a_dot_in_their_names(tmp_path):
    write_set(tmp_path, "")
    for name in NAMES:
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    check(open_data("mnist", root=tmp_path))


def test_fashion_mnist_has_its_own_folder_and_names(tmp_path):
    write_set(tmp_path / "FashionMNIST" / "raw")
    data = open_data("fashion-mnist", root=tmp_path)
    check(data)
    assert data.train.label_names[9] == "ankle boot"


def test_limit_size_and_channels(tmp_path):
    write_set(tmp_path)
    part = open_data("mnist", root=tmp_path, limit=4)
    np.testing.assert_array_equal(part.train.images[..., 0], ARRAYS[0][:4])
    assert len(part.test) == 6
    resized = open_data("mnist", root=tmp_path, size=8, channels=3, cache=tmp_path / "cache")
    assert resized.image_shape == (3, 8, 8)
    assert list(resized.test.names) == [str(i) for i in range(12, 18)]
    np.testing.assert_array_equal(resized.test.labels, ARRAYS[3])


def opened(source, root=None):
    settings = DataSettings(root=root)
    return prepare_data(source.open(settings), settings)


def test_downloaded_once(tmp_path, server):
    source = small(f"{server}/mnist", tmp_path / "served" / "mnist")
    root = tmp_path / "root"
    check(opened(source, root))
    assert sorted(path.name for path in root.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    check(opened(replace(source, urls=("http://127.0.0.1:9",)), root))


def test_only_missing_files_are_downloaded_from_the_first_address_that_answers(tmp_path, server):
    source = small(f"{server}/mnist", tmp_path / "served" / "mnist")
    source = replace(source, urls=(f"{server}/nothing", *source.urls))
    root = write_set(tmp_path / "root")
    (root / f"{NAMES[2]}.gz").unlink()
    check(opened(source, root))


def test_downloaded_to_the_home_folder_from_the_mirror(tmp_path, server, monkeypatch):
    monkeypatch.setenv("VAEGAN_MIRROR", f"{server}/")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    check(opened(small("http://127.0.0.1:9", tmp_path / "served" / "mnist")))
    assert (tmp_path / "home" / ".cache" / "vaegan" / "mnist" / f"{NAMES[0]}.gz").is_file()


def test_wrong_checksum_leaves_no_file(tmp_path, server):
    source = replace(mnist.MNIST, urls=(f"{server}/mnist",))
    with pytest.raises(UserError, match="wrong checksum") as caught:
        source.open(DataSettings(root=tmp_path / "root"))
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "root").rglob("*") if path.is_file()]


def test_unreachable_host_says_what_to_do(tmp_path):
    source = replace(mnist.MNIST, urls=("http://127.0.0.1:9/mnist",))
    with pytest.raises(UserError) as caught:
        source.open(DataSettings(root=tmp_path / "root"))
    message = str(caught.value)
    assert all(f"{name}.gz" in message for name in NAMES)
    assert str(tmp_path / "root") in message
    assert "http://127.0.0.1:9/mnist" in message
    assert "--data.root" in message
    assert "\n" not in message


def test_root_that_is_a_file(tmp_path, server):
    (tmp_path / "root").write_text("")
    source = small(f"{server}/mnist", tmp_path / "served" / "mnist")
    with pytest.raises(UserError, match="cannot write"):
        source.open(DataSettings(root=tmp_path / "root"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "begins with 0x,"),
        (b"<html>", "begins with 0x3c68746d,"),
        (idx(ARRAYS[1]), "begins with 0x00000801, not 0x00000803 as an IDX file of images"),
        (idx(ARRAYS[0])[:-1], "has 299 values where its header says 12x5x5"),
        (idx(ARRAYS[0]) + b"0", "has 301 values"),
        (idx(ARRAYS[0])[:10], "begins with"),
    ],
)
def test_damaged_idx_files(tmp_path, content, complaint):
    (tmp_path / "images").write_bytes(content)
    (tmp_path / "images.gz").write_bytes(gzip.compress(content))
    for name in ("images", "images.gz"):
        with pytest.raises(UserError, match=complaint):
            read_idx(tmp_path / name, 3)


def test_a_gzip_is_unpacked_up_to_a_bound(tmp_path, monkeypatch):
    (tmp_path / "images.gz").write_bytes(gzip.compress(bytes(10**6)))
    monkeypatch.setattr(mnist, "MAX_FILE", 10**5)
    with pytest.raises(UserError, match=r"images.gz: cannot be read .*longer than 0.1 MB"):
        read_idx(tmp_path / "images.gz", 3)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(idx(ARRAYS[0]))[:-20]])
def test_damaged_packing(tmp_path, content):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        read_idx(tmp_path / "images.gz", 3)


@pytest.mark.parametrize(
    ("which", "array"),
    [
        (1, ARRAYS[1][:5]),
        (3, ARRAYS[3] + 10),
        (2, np.zeros((6, 4, 4), np.uint8)),
        (0, np.zeros((0, 5, 5), np.uint8)),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, which, array):
    write_set(tmp_path, "")
    (tmp_path / NAMES[which]).write_bytes(idx(array))
    with pytest.raises(UserError, match="does not fit"):
        open_data("mnist", root=tmp_path)


def test_the_real_mnist():
    if not REAL.is_dir():
        pytest.skip("needs the MNIST files in ../shared/data/mnist")
    data = open_data("mnist", root=REAL)
    assert data.train.images.shape == (60000, 28, 28, 1)
    assert data.test.images.shape == (10000, 28, 28, 1)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.train.images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)  # the mean everyone quotes
