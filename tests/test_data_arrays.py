from __future__ import annotations

import zipfile

import numpy as np
import pytest

from vaegan.data import arrays, decoded, open_data
from vaegan.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)


def restored(data):
    """Return all images and labels in the order of their names, which are indices."""
    names = [int(name) for name in (*data.train.names, *data.test.names)]
    images = np.concatenate([data.train.images, data.test.images])[np.argsort(names)]
    labels = None
    if data.train.labels is not None:
        labels = np.concatenate([data.train.labels, data.test.labels])[np.argsort(names)]
    return images, labels


@pytest.fixture
def opened(tmp_path):
    def opened(path, **options):
        return open_data(path, cache=tmp_path / "cache", **options)

    return opened


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (PIXELS, PIXELS),
        (PIXELS.transpose(0, 3, 1, 2), PIXELS),
        (PIXELS[..., 0], PIXELS[..., :1]),
        (PIXELS[..., :1], PIXELS[..., :1]),
        (PIXELS[:, None, :, :, 0], PIXELS[..., :1]),
        (PIXELS.astype(np.float32) / 255, PIXELS.astype(np.float32) / 255),
        (PIXELS.astype(np.float64) / 256, PIXELS.astype(np.float32) / 256),
        (PIXELS.astype(np.float16) / 256, PIXELS.astype(np.float32) / 256),
        (PIXELS.astype(">u2") * 257, PIXELS.astype(np.uint16) * 257),
        (PIXELS.repeat(2, -1), PIXELS.repeat(2, -1)),
        (PIXELS[..., :2].transpose(0, 3, 1, 2), PIXELS[..., :2]),
        (np.asfortranarray(PIXELS), PIXELS),
    ],
)
def test_shapes_and_types(tmp_path, opened, monkeypatch, given, expected, small):
    if not small:
        monkeypatch.setattr(decoded, "_SMALL", 0)
    np.save(tmp_path / "a.npy", given)
    data = opened(tmp_path / "a.npy")
    np.testing.assert_array_equal(restored(data)[0], expected)
    assert data.train.images.dtype == data.pixels.dtype == expected.dtype
    assert data.image_shape == (expected.shape[3], 6, 6)
    assert len(data.test) > 0
    assert small or isinstance(data.train.images, np.memmap)


def test_cached_or_not_the_fingerprint_is_the_same(tmp_path, opened, monkeypatch):
    np.save(tmp_path / "a.npy", PIXELS)
    direct = opened(tmp_path / "a.npy").fingerprint
    monkeypatch.setattr(decoded, "_SMALL", 0)
    assert opened(tmp_path / "a.npy").fingerprint == direct


def test_resized_cut_and_grey(tmp_path, opened):
    np.save(tmp_path / "a.npy", np.full((10, 8, 12, 3), 90, np.uint8))
    data = opened(tmp_path / "a.npy", size=5, channels=1)
    assert data.image_shape == (1, 5, 5)
    assert (data.train.images == 90).all()


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y")])
def test_npz_with_labels(tmp_path, opened, keys):
    labels = np.arange(40) % 3 + 5
    np.savez(tmp_path / "a.npz", **{keys[0]: PIXELS, keys[1]: labels, "other": np.zeros(3)})
    data = opened(tmp_path / "a.npz")
    images, indices = restored(data)
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(indices, labels - 5)
    assert data.train.label_names == ("5", "6", "7")


def test_npz_with_labels_as_text(tmp_path, opened):
    words = np.array(["cat", "ape"] * 20)
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=words)
    data = opened(tmp_path / "a.npz")
    assert [data.train.label_names[i] for i in restored(data)[1]] == words.tolist()


def test_npz_with_one_array_of_any_name(tmp_path, opened):
    np.savez_compressed(tmp_path / "a.npz", faces=PIXELS)
    np.testing.assert_array_equal(restored(opened(tmp_path / "a.npz"))[0], PIXELS)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (PIXELS.astype(np.int32), "images are int32"),
        (PIXELS[0, 0], "is not"),
        (np.zeros((2, 2000, 2000, 2000), np.bool_)[:0], "images are bool"),
        (PIXELS[:0], "has no images"),
        (PIXELS.astype(np.float32), "outside of 0 to 1; set --data.range 0 255, which holds all values"),
        (np.full((4, 3, 3), np.nan), r"image \d: some of its values are NaN or infinite; correct the image"),
        (np.array([{}]), "not a readable array"),
    ],
)
def test_bad_arrays(tmp_path, opened, array, complaint):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=complaint) as caught:
        opened(tmp_path / "a.npy")
    assert str(caught.value).startswith(str(tmp_path / "a.npy"))
    assert "\n" not in str(caught.value)
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_the_other_byte_order(tmp_path, opened):
    numbers = PIXELS.astype(np.uint16) * 257
    np.save(tmp_path / "a.npy", numbers.astype(">u2"))
    data = opened(tmp_path / "a.npy")
    assert data.train.images.dtype == np.uint16
    np.testing.assert_array_equal(restored(data)[0], numbers)


def test_bad_npz(tmp_path, opened):
    np.savez(tmp_path / "two.npz", a=PIXELS, b=PIXELS)
    np.savez(tmp_path / "short.npz", images=PIXELS, labels=np.zeros(3, int))
    np.savez(tmp_path / "real.npz", images=PIXELS, labels=np.zeros(40))
    for name, complaint in (("two", "name the images"), ("short", "labels are"), ("real", "labels are")):
        with pytest.raises(UserError, match=complaint):
            opened(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_files_that_are_no_arrays(tmp_path, opened, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="not a readable array"):
        opened(tmp_path / name)


@pytest.mark.parametrize("shape", [(-1, 8, 8), (-20, -8, 8), (10**13, 8, 8), (0, -1, 3), (True, 8, 8)])
def test_headers_that_lie(tmp_path, opened, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(1280)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=r"not a readable array|has no images") as caught:
            opened(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("member", ["images.npy", "images", "labels.npy"])
def test_a_member_of_an_npz_that_is_no_array(tmp_path, opened, member):
    if member.startswith("labels"):
        np.savez(tmp_path / "a.npz", images=PIXELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr(member, b"hello")
    with pytest.raises(UserError, match=rf"not a readable array of images .{member.split('.')[0]} is not an array"):
        opened(tmp_path / "a.npz")


def test_an_npz_that_unpacks_to_far_more_than_images_do(tmp_path, opened, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((3000, 8, 8), np.uint8))
    opened(tmp_path / "a.npz")
    monkeypatch.setattr(arrays, "MAX_FILE", 2**16)
    with pytest.raises(UserError, match="images unpacks to more than 100 times its size"):
        opened(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", images=PIXELS.repeat(50, 0))
    opened(tmp_path / "b.npz")


def test_what_looks_like_one_colour_image_is_said(tmp_path, opened, caplog):
    for shape, warns in (((16, 16, 3), True), ((3, 16, 16), True), ((16, 16, 16), False)):
        caplog.clear()
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        opened(tmp_path / "a.npy")
        assert ("looks like one colour image" in caplog.text) == warns


def test_cut_files(tmp_path, opened):
    np.save(tmp_path / "a.npy", PIXELS)
    np.savez(tmp_path / "a.npz", PIXELS)
    for name in ("a.npy", "a.npz"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-1000])
        with pytest.raises(UserError, match="not a readable array"):
            opened(tmp_path / name)
