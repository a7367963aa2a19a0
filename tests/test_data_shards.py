"""Shards of samples in .tar files, as webdataset writes them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaegan.data import open_data, shards
from vaegan.data.shards import expand, num_unbraced, unbraced
from vaegan.errors import UserError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), value).save(file, "PNG")
    return file.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as shard:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, num: int, *, classes: bool = True, known: bool = True) -> dict[str, bytes]:
    """Sample i is a picture of grey i, of class i % 3 * 5, with attributes i and i is even."""
    files = {}
    for i in range(first, first + num):
        files[f"{i:04}.png"] = png(i)
        if classes:
            files[f"{i:04}.cls"] = str(i % 3 * 5).encode()
        if known:
            files[f"{i:04}.json"] = json.dumps({"value": i, "even": i % 2 == 0, "text": "x", "deep": {}}).encode()
    return files


@pytest.fixture
def opened(tmp_path):
    def opened(source, **options):
        return open_data(source, cache=tmp_path / "cache", workers=1, **options)

    return opened


def check(data, num: int) -> None:
    assert len(data.train) + len(data.test) == num
    assert data.train.label_names == ("0", "5", "10")
    assert data.train.attribute_names == ("value", "even")
    for part in (data.train, data.test):
        values = part.images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(part.labels, values % 3)
        np.testing.assert_array_equal(part.attributes, np.stack([values, values % 2 == 0], 1))
        assert [int(Path(name).stem) for name in part.names] == values.tolist()


@pytest.mark.parametrize("pattern", ["s-{000..002}.tar", "s-*.tar", "s-{000,001,002}.tar", "s-00[0-2].tar"])
def test_shards_of_a_pattern(tmp_path, opened, pattern):
    for i in range(3):
        write(tmp_path / f"s-{i:03}.tar", samples(20 * i, 20))
    check(opened(tmp_path / pattern), 60)


def test_one_shard(tmp_path, opened):
    data = opened(write(tmp_path / "only.tar", samples(0, 30)))
    check(data, 30)
    assert data.name == "only"


def test_expanding_in_order(tmp_path):
    for name in ("b-9.tar", "b-10.tar", "b-11.tar", "b-20.tar", "b-21.tar"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in expand(f"{tmp_path}/b-{{9..11}}.tar")] == ["b-9.tar", "b-10.tar", "b-11.tar"]
    both = expand(f"{tmp_path}/b-{{2,1}}{{0..1}}.tar")
    assert [path.name for path in both] == ["b-20.tar", "b-21.tar", "b-10.tar", "b-11.tar"]
    (tmp_path / "deeper/still").mkdir(parents=True)
    (tmp_path / "deeper/still/c-0.tar").write_bytes(b"")
    assert [path.name for path in expand(f"{tmp_path}/**/[bc]-*0.tar")] == ["b-10.tar", "b-20.tar", "c-0.tar"]


def test_equal_names_in_two_shards_are_told_apart(tmp_path, opened):
    for i, first in enumerate((10, 20)):
        files = samples(first, 10)
        write(tmp_path / f"s{i}.tar", {f"{int(n[:4]) - first:04}{n[4:]}": c for n, c in files.items()})
    data = opened(tmp_path / "s{0..1}.tar")
    for part in (data.train, data.test):
        for name, image, value in zip(part.names, part.images, part.attributes[:, 0], strict=True):
            shard, sample = name.split("/")
            assert image[0, 0, 0] == value == 10 * (1 + int(shard[1])) + int(sample[:4])


def test_plain_tar_of_class_folders(tmp_path, opened):
    files = {f"./top/{'cat' if i % 2 else 'ape'}/{i}.png": png(i) for i in range(20)}
    rows = "".join(f"{i}.png,{i}\n" for i in range(20))
    data = opened(write(tmp_path / "a.tar", {**files, "./top/attributes.csv": f"file,age\n{rows}".encode()}))
    assert data.train.label_names == ("ape", "cat")
    np.testing.assert_array_equal(data.train.labels, data.train.images[:, 0, 0, 0] % 2)
    np.testing.assert_array_equal(data.train.attributes[:, 0], data.train.images[:, 0, 0, 0])


def test_unknown_attributes_are_nan(tmp_path, opened):
    files = samples(0, 10, classes=False)
    del files["0003.json"]
    data = opened(write(tmp_path / "a.tar", files))
    assert data.train.labels is None
    for part in (data.train, data.test):
        np.testing.assert_array_equal(np.isnan(part.attributes[:, 0]), part.images[:, 0, 0, 0] == 3)


def test_a_changed_shard_is_read_again(tmp_path, opened):
    write(tmp_path / "a.tar", samples(0, 10))
    before = opened(tmp_path / "a.tar")
    write(tmp_path / "a.tar", {name: png(99) if name.endswith("png") else c for name, c in samples(0, 10).items()})
    after = opened(tmp_path / "a.tar")
    assert before.fingerprint != after.fingerprint
    assert (after.train.images == 99).all()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a.txt": b""}, "no images found"),
        ({**samples(0, 5), "0009.png": png(0)}, "0009.png: has no .cls beside it, but other"),
        ({**samples(0, 5), "0000.cls": b"cat"}, "is not a whole number"),
        ({**samples(0, 5), "0000.cls": str(2**63).encode()}, "its .cls is a number of more than 64 bits"),
        ({**samples(0, 5), "0000.cls": b"-1" + b"0" * 30}, "its .cls is a number of more than 64 bits"),
        ({**samples(0, 5), "0000.json": b"{"}, "its .json cannot be read"),
        ({**samples(0, 5), "0000.json": b"\xff"}, "its .json cannot be read"),
        ({**samples(0, 5), "0000.json": b"[1]"}, "its .json does not contain a JSON object"),
        ({**samples(0, 5), "0000.json": b"[" * 100_000}, "its .json cannot be read"),
        ({**samples(0, 5), "0000.json": b'{"value": NaN}'}, "value is nan"),
        ({**samples(0, 5), "0000.json": b'{"value": 1' + 400 * b"0" + b"}"}, "value is 1000"),
    ],
)
def test_bad_samples(tmp_path, opened, files, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        opened(write(tmp_path / "a.tar", files))
    is_of_one = len(files) == len(samples(0, 5))
    assert str(caught.value).startswith(f"{tmp_path / 'a.tar'}{'/0000.png: ' if is_of_one else ''}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"no tar" * 1000, b"\x1f\x8b"])
def test_bad_shards(tmp_path, opened, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match="not a readable") as caught:
        opened(tmp_path / "a.tar")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["none.tar", "none-*.tar", "a-{0..1}.tar"])
def test_missing_shards(tmp_path, opened, pattern):
    write(tmp_path / "a-0.tar", samples(0, 5))
    with pytest.raises(UserError, match=r"no such (file|path)") as caught:
        opened(tmp_path / pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [b"0", b"L", b"x"], ids=["file", "long-name", "pax"])
@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\xff" * 12, b"\x80" + b"\x7f" * 11], ids=["8GB", "minus1", "huge"]
)
def test_a_member_of_a_size_it_does_not_have(tmp_path, opened, kind, size):
    content = bytearray(write(tmp_path / "a.tar", samples(0, 5, classes=False, known=False)).read_bytes())
    content[124:136], content[156:157], content[148:156] = size, kind, b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match=r"not a readable .tar"):
        opened(tmp_path / "a.tar")


def test_members_of_a_shard_are_read_up_to_a_bound(tmp_path, opened, monkeypatch):
    write(tmp_path / "a.tar", {**samples(0, 30, classes=False, known=False), "large.png": png(0) + bytes(1000)})
    monkeypatch.setattr(shards, "MAX_FILE", 1000)
    assert opened(tmp_path / "a.tar").num_unreadable == 1
    write(tmp_path / "b.tar", {**samples(0, 5), "attributes.csv": b"file,a\n" + b"0000.png,1\n" * 10})
    monkeypatch.setattr(shards.content, "__defaults__", (50,))
    with pytest.raises(UserError, match=r"longer than 5e-05 MB"):
        opened(tmp_path / "b.tar")


def test_billions_of_shards_end_at_the_first_that_is_missing(tmp_path):
    for pattern in ("x-{0..99999999999}.tar", "x-{0..999999}{0..999999}.tar", "x-{0..%s}.tar" % ("9" * 5000)):
        with pytest.raises(UserError, match=r"x-0+\.tar: no such file|x-0\.\.9+\.tar: no such file"):
            expand(f"{tmp_path}/{pattern}")


def test_any_number_of_braces():
    assert list(unbraced("a{1,2}b{08..10}{x}c")) == [f"a{i}b{j}xc" for i in "12" for j in ("08", "09", "10")]
    assert list(unbraced("{" * 1100 + "a,b" + "}" * 1100)) == ["{" * 1099 + word + "}" * 1099 for word in "ab"]
    assert list(unbraced("{a}" * 1100)) == ["a" * 1100]
    assert num_unbraced("{0..99999999999}{2,3}{1..0}") == len(list(unbraced("{2..1}"))) == 0
    assert num_unbraced("{0..999999999999999999}" * 3 + "{a,b}") == 2 * 10**54
    with pytest.raises(UserError, match="the range in braces is empty"):
        expand("x-{2..1}.tar")


@pytest.mark.parametrize("cut", [10400, 11000])  # in the last picture, in its header
def test_cut_shard(tmp_path, opened, cut):
    path = write(tmp_path / "a.tar", samples(0, 30, classes=False, known=False))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="not a readable"):
        opened(path)
