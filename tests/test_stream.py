"""Images streamed from local and remote shards: order, held-out images, resume, failures, bounded store."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import logging
import re
import shutil
import tarfile
from concurrent.futures import wait
from pathlib import PureWindowsPath

import numpy as np
import pytest
from stream_server import numbers, serving, spoil, write_index, write_shards

from vaegan.data import open_data, stream
from vaegan.data.batches import StreamBatches
from vaegan.data.stream import index, store
from vaegan.data.stream.order import ShardOrder
from vaegan.errors import UserError
from vaegan.latent.code_shards import stream_shards


@pytest.fixture
def opened(tmp_path):
    made = []

    def opened(source, **settings):
        given = {"cache": tmp_path / "cache", "workers": 1, "shuffle_window": 16, "stream": True} | settings
        made.append(open_data(str(source), **given))
        return made[-1]

    yield opened
    for data in made:
        data.stream.close()


@pytest.fixture
def shards(tmp_path):
    return write_shards(tmp_path / "shards", 6, 10)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(store, "WAITS", (0.0, 0.0))


def batches(data, size, num, start=0, **how):
    given = StreamBatches(data.stream, size, seed=7, **how)
    return np.concatenate([given.at(start + i * size).numpy() for i in range(num)])


def together(data, size, num, start=0, *, world, **how):
    """The same batches, put together from the shares of some processes."""
    parts = [batches(data, size, num, start, rank=r, world_size=world, **how) for r in range(world)]
    shape = parts[0].shape[1:]
    return np.concatenate([part.reshape(num, size // world, *shape) for part in parts], 1).reshape(-1, *shape)


def test_shards_without_images_and_columns_of_text_are_named_as_the_user_names_them(tmp_path, shards, opened, caplog):
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(UserError, match=r"empty.tar: no images found in 1 shard$"):
        opened(tmp_path / "empty.tar")
    with tarfile.open(tmp_path / "shards/train-001.tar", "a") as out:
        info = tarfile.TarInfo("00012.json")
        info.size = len(b'{"caption": "a cat"}')
        out.addfile(info, io.BytesIO(b'{"caption": "a cat"}'))
    for _ in range(2):  # made, and read from the cache
        opened(shards)
    assert caplog.text.count(f"{shards}: columns of text, not read: 1 (caption)") == 2


def test_the_split_is_that_of_decoded_shards(tmp_path, shards, opened):
    streamed, decoded = opened(shards), open_data(shards, workers=1, cache=tmp_path / "cache")
    assert streamed.num_train == len(decoded.train)
    assert sorted(numbers(streamed.test.images)) == sorted(numbers(decoded.test.images))
    assert sorted(numbers(streamed.train.images)) == sorted(numbers(decoded.train.images))
    assert sorted(numbers(batches(streamed, streamed.num_train, 1))) == sorted(numbers(decoded.train.images))
    assert streamed.test.labels.tolist() == [i % 3 for i in numbers(streamed.test.images)]
    assert "streamed from 6 shards" in streamed.summary()[0]


def test_batches_follow_the_order(shards, opened):
    data = opened(shards, held_out_by="shard", held_out=0.3)
    order = ShardOrder(data.stream.index.train, 7, 16)
    expected = [10 * shard + sample for shard, sample in zip(*order.at(0, 90), strict=True)]
    assert numbers(batches(data, 6, 15)) == expected
    held_out = {i // 10 for i in numbers(data.test.images)}
    assert len(held_out) >= 1
    assert not held_out & {i // 10 for i in expected}


def test_a_limit_cuts_the_stream(shards, opened):
    whole, data = opened(shards), opened(shards, limit=20)
    assert data.num_train == 20
    assert sorted(numbers(batches(data, 20, 1))) == sorted(numbers(batches(whole, whole.num_train, 1)))[:20]
    assert set(numbers(data.train.images)) == set(numbers(batches(data, 20, 1)))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_processes_and_any_start_give_the_same(shards, opened, workers):
    data = opened(shards, workers=workers)
    whole = batches(data, 12, 20, flip=True)
    for start in (0, 7, 13):  # killed at three moments
        for world in (1, 2):
            resumed = together(data, 12, 4, 12 * start, world=world, flip=True)
            np.testing.assert_array_equal(resumed, whole[12 * start : 12 * (start + 4)])


def test_over_http_each_shard_is_fetched_once(tmp_path, shards, opened):
    local = numbers(batches(opened(shards), 8, 10))
    with serving(tmp_path / "shards") as served:
        for _ in range(2):
            data = opened(f"{served.url}/moved/train-{{000..005}}.tar")
            assert numbers(batches(data, 8, 10)) == local
        assert {path: num for path, num in served.asked.items() if path.startswith("/train")} == {
            f"/train-{i:03}.tar": 1 for i in range(6)
        }


def test_an_index_beside_the_shards_holds_out_whole_ones(tmp_path, shards, opened, monkeypatch):
    monkeypatch.setattr(stream, "NUM_TRAIN", 5)
    write_index(tmp_path / "shards", 6, 10)
    with serving(tmp_path / "shards") as served:
        data = opened(f"{served.url}/train-{{000..005}}.tar")
        assert data.stream.num_images + len(data.test) == 60
        assert len(data.test) % 10 == 0
        fetched = [path for path in served.asked if path.startswith("/train")]
        assert len(fetched) < 6  # those of the samples alone
    assert opened(shards).fingerprint == data.fingerprint
    assert opened(f"{served.url}/train-{{000..005}}.tar").fingerprint == data.fingerprint  # the server has ended


def test_counts_that_a_killed_process_left_unfinished_are_made_again(tmp_path, shards, opened):
    data = opened(shards)
    (counts,) = (tmp_path / "cache/streams").glob("*.jsonl")
    counts.write_text(counts.read_text()[:100])
    assert [opened(shards).fingerprint for _ in range(2)] == [data.fingerprint] * 2


@pytest.mark.parametrize("content", [b"5", b'[["a"], [1, 2]]', b'["a", 3]', b"\xff", b"[" * 10**5])
def test_damaged_files_of_the_cache_are_made_again(tmp_path, shards, opened, content):
    data, folder = opened(shards), tmp_path / "cache/streams"
    (counts,), (copied,) = folder.glob("*.jsonl"), folder.glob("*.tar")
    first, *others = counts.read_bytes().splitlines()
    tampered = first.partition(b" ")[0] + b" [5, 9]]"
    counts.write_bytes(b"\n".join([content, tampered, *others]))
    copied.write_bytes(content)
    for i, listing in enumerate(sorted((folder / "shards").glob("*.npy"))):
        listing.write_bytes((b"", listing.read_bytes()[: 60 * i], content)[i % 3])
    assert opened(shards).fingerprint == data.fingerprint
    assert len(numbers(batches(opened(shards), 8, 5))) == 40


@pytest.mark.parametrize("num", [10**5, 2**61, 2**63, 10**30])
def test_an_index_of_more_images_than_a_shard_holds_is_not_used(tmp_path, shards, opened, num, caplog):
    caplog.set_level(logging.INFO)
    data = opened(shards)
    write_index(tmp_path / "shards", 6, num)
    assert opened(shards).fingerprint == data.fingerprint
    with serving(tmp_path / "shards") as served:
        remote = opened(f"{served.url}/train-{{000..005}}.tar", store_size=0.01)
        assert remote.stream.index.train.tolist() == data.stream.index.train.tolist()
    assert caplog.text.count("index.json: more images than fit into a shard; counting the images") == 2


@pytest.mark.parametrize("content", [b"cat", str(2**63).encode()])
def test_a_shard_with_an_unusable_class_is_named(tmp_path, shards, opened, content):
    with tarfile.open(tmp_path / "shards/train-001.tar", "a") as out:
        info = tarfile.TarInfo("00012.cls")  # the second of this name is used
        info.size = len(content)
        out.addfile(info, io.BytesIO(content))
    with serving(tmp_path / "shards") as served:
        source = f"{served.url}/train-{{000..005}}.tar"
        named = rf"^{served.url}/train-001.tar/00012(\.png)?: its .cls is .*; correct it$"
        with pytest.raises(UserError, match=named):
            opened(source)
        data = opened(f"{served.url}/train-000.tar", held_out=0.5)
        data.stream.index = dataclasses.replace(data.stream.index, urls=[f"{served.url}/train-001.tar"])
        with pytest.raises(UserError, match=named):
            data.stream.whole(0)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "no",
        '{"shardlist": [{"url": 5, "nsamples": 1}]}',
        '{"shardlist": [{"url": "train-000.tar", "nsamples": -1}]}',
    ],
)
def test_an_index_of_something_else_is_not_used(tmp_path, shards, opened, content):
    data = opened(shards)
    (tmp_path / "shards" / "index.json").write_text(content)
    assert opened(shards).fingerprint == data.fingerprint


@pytest.mark.parametrize("split", ["train", "all"])
def test_whole_shards_keep_the_limit(shards, opened, split):
    data = opened(shards, limit=15)
    given = stream_shards(data, split)
    read = [number for i in range(len(given.counts)) for number in numbers(given.read(i)[1].images)]
    assert len(read) == given.facts["sets"] == {"train": 15, "all": 15 + data.stream.index.test.sum()}[split]
    assert set(numbers(batches(data, 15, 1))) <= set(read)
    splits = np.concatenate([given.read(i)[0] for i in range(len(given.counts))])
    assert set(np.array(read)[splits == "train"]) == set(numbers(batches(data, 15, 1)))
    assert (splits == "test").sum() == (0 if split == "train" else data.stream.index.test.sum())


@pytest.mark.parametrize(("counted", "what"), [(8, "2 are not used"), (12, "2 are missing")])
def test_an_index_that_counts_otherwise_is_named_once_for_each_shard(tmp_path, shards, opened, caplog, counted, what):
    write_index(tmp_path / "shards", 6, counted)
    data = opened(shards, max_unreadable=0.5)
    given = stream_shards(data, "all")
    assert sum(len(given.read(i)[1]) for i in range(6)) == 6 * min(counted, 10)
    batches(data, data.num_train, 2)
    lines = [line for line in caplog.messages if "were counted" in line]
    assert sorted(lines) == [
        f"{tmp_path}/shards/train-{i:03}.tar: 10 images, but {counted} were counted, so {what}; "
        "write index.json again or remove it"
        for i in range(6)
    ]


def test_images_of_the_subsets_are_named_by_their_shard(tmp_path, shards, opened, shard_of, caplog):
    spoil(tmp_path / "shards/train-001.tar", 1)
    opened(shards)
    assert "1 unreadable of 60 images: 'train-001.tar/00010.png' (not an image)" in caplog.text
    shard_of("b-0.tar", [f"photos/{'cat/' if i % 4 else ''}{i}.png" for i in range(40)])
    opened(tmp_path / "b-0.tar")
    assert "no labels, as images lie beside the class folders: 10 in none (b-0.tar/photos/0.png, b-0" in caplog.text
    with pytest.raises(UserError, match=r"tar/b-0\.tar/photos/\S+\.png: has no \.cls beside it, but other images do"):
        opened(tmp_path / "{shards/train-000,b-0}.tar")


def test_an_index_is_not_used_for_shards_of_the_same_name_in_another_folder(tmp_path, opened):
    for folder, num in (("a", 10), ("b", 30)):
        write_shards(tmp_path / folder, 3, num)
        write_index(tmp_path / folder, 3, num)
    counted = opened(tmp_path / "{a,b}" / "train-{000..002}.tar").stream.index
    assert (counted.train + counted.test).tolist() == [10] * 3 + [30] * 3


def test_shards_have_the_same_names_on_windows(monkeypatch):
    monkeypatch.setattr(index, "Path", PureWindowsPath)
    for url in (r"C:\data\train-000.tar", "https://host/data/train-000.tar?key=a/b"):
        assert index.shard_name(url) == "train-000.tar"


@pytest.fixture
def shard_of(tmp_path):
    """A shard of images with these names."""

    def shard_of(name, names):
        write_shards(tmp_path / "plain", 1, len(names))
        with tarfile.open(tmp_path / "plain/train-000.tar") as plain, tarfile.open(tmp_path / name, "w") as out:
            images = [plain.extractfile(member).read() for member in plain if member.name.endswith("png")]
            for member, content in zip(names, images, strict=True):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))

    return shard_of


@pytest.mark.parametrize("source", ["a-0.tar", "{a,b}-0.tar"])
def test_folders_of_a_split_are_refused(tmp_path, opened, shard_of, source):
    for name, sides in (("a-0", ("train", "val")), ("b-0", ("val", "val"))):
        shard_of(f"{name}.tar", [f"photos/{sides[i % 2]}/{i}.png" for i in range(40)])
    with pytest.raises(UserError, match=r"does not keep the split of its folders train, val; leave it out, or give"):
        opened(tmp_path / source)
    assert opened(tmp_path / "b-0.tar").num_train


@pytest.mark.parametrize(
    ("folders", "said"),
    [(("photos", "photos"), "its images lie in a folder photos/"), (("", ""), "have the same name"), (("a", "b"), "")],
)
def test_a_warning_where_other_images_are_held_out_than_without_a_stream(
    tmp_path, opened, shard_of, folders, said, caplog
):
    for shard, folder in enumerate(folders):
        first = 40 * shard if folder == "photos" else 0
        shard_of(f"s-{shard}.tar", [f"{folder}/{first + i:03}.png" for i in range(40)])
    opened(tmp_path / "s-{0,1}.tar")
    assert ("without --data.stream other images may be held out" in caplog.text) == bool(said)
    assert said in caplog.text


def test_images_of_one_sample_on_both_sides_stay_there(tmp_path, opened, shard_of):
    shard_of("s.tar", [f"{i // 2:03}.{'ab'[i % 2]}.png" for i in range(100)])
    with tarfile.open(tmp_path / "s.tar", "a") as out:
        for i in range(50):
            info = tarfile.TarInfo(f"{i:03}.cls")
            info.size = 2
            out.addfile(info, io.BytesIO(b"%02d" % i))
    data = opened(tmp_path / "s.tar", held_out=0.3)
    for part in (data.train, data.test):
        assert [int(part.label_names[label]) for label in part.labels] == [i // 2 for i in numbers(part.images)]
    assert sorted(numbers(data.train.images)) == sorted(numbers(batches(data, data.num_train, 1)))


def bytes_in(folder):
    """Size of all files there; some may just be dropped to make room for what is fetched ahead."""
    sizes = [0]
    for path in list(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def test_the_store_is_bounded(tmp_path, shards, opened):
    size = (tmp_path / "shards" / "train-000.tar").stat().st_size
    with serving(tmp_path / "shards") as served:
        source = f"{served.url}/train-{{000..005}}.tar"
        limit = 3.9 * size / 1e9
        data = opened(source, store_size=limit, shuffle_window=5)
        assert sorted(numbers(batches(data, 1, data.num_train))) == sorted(numbers(data.train.images))
        assert bytes_in(tmp_path / "cache/streams/shards") <= 3.9 * size
        with pytest.raises(UserError, match=r"shuffle-window 1000 needs .* lower the window or raise the store size"):
            batches(opened(source, store_size=limit, shuffle_window=1000), 6, 3)
        with pytest.raises(UserError, match="no room for its"):
            opened(source, store_size=0.5 * size / 1e9, cache=tmp_path / "other")


def answer(content, *headers):
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"Connection: close", b"", content])


def test_shards_of_unknown_length_are_bounded_as_they_arrive(tmp_path, shards, opened, monkeypatch):
    monkeypatch.setattr(index, "FETCHES", 1)
    monkeypatch.setattr(store, "_PIECE", 1000)
    files = sorted((tmp_path / "shards").glob("*.tar"))
    size, stored = files[0].stat().st_size, tmp_path / "cache/streams/shards"
    with serving(tmp_path / "shards") as served:
        served.raw = {f"/{file.name}": answer(file.read_bytes()) for file in files}
        source = f"{served.url}/train-{{000..005}}.tar"
        assert opened(source, store_size=3.9 * size / 1e9).fingerprint == opened(shards).fingerprint
        assert bytes_in(stored) <= 3.9 * size
        shutil.rmtree(tmp_path / "cache")
        served.asked.clear()
        for headers, said in [
            ([], "002.tar: no room for its"),
            ([b"Content-Encoding: gzip"], "002.tar: sent compressed"),
            ([b"Content-Length: 900", b"Transfer-Encoding: chunked"], "002.tar: longer than the 900 bytes"),
        ]:
            body = b"1000\r\n" + bytes(4096) + b"\r\n0\r\n\r\n" if len(headers) == 2 else bytes(5 * size)
            served.raw["/train-002.tar"] = answer(body, *headers)
            with pytest.raises(UserError, match=said):
                opened(source, store_size=3.9 * size / 1e9)
        assert served.asked["/train-002.tar"] == 3  # in vain, so once each
        assert bytes_in(stored) <= 3.9 * size


def test_a_remote_text_is_read_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_TEXT", 5000)
    with serving(tmp_path) as served:
        read = store.ShardStore(tmp_path / "store", 1e9).read
        served.raw = {"/short": answer(b"{}"), "/long": answer(bytes(5001))}
        served.raw["/packed"] = answer(gzip.compress(bytes(10**6)), b"Content-Encoding: gzip")
        assert read(f"{served.url}/short") == b"{}"
        for name, why in (("long", "longer than 0.005 MB"), ("packed", "sent compressed")):
            with pytest.raises(store.Unavailable, match=why):
                read(f"{served.url}/{name}")


@pytest.mark.parametrize("to", [b"http://[", b"/\xff\xfe", b"http://" + b"a" * 70 + b"/"])
def test_a_redirect_to_no_address_is_one_line(tmp_path, to):
    with serving(tmp_path) as served:
        served.raw["/a.tar"] = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + b"\r\n\r\n"
        with pytest.raises(store.Unavailable, match=r"^http://127.*/a.tar: this address, or one that it redirects to"):
            store.ShardStore(tmp_path / "store", 1e9).get(f"{served.url}/a.tar")


def test_the_body_of_a_redirect_is_not_read(tmp_path, shards, opened):
    sent = []

    def endless():
        yield b"HTTP/1.1 302 Found\r\nLocation: /train-000.tar\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(64):
            sent.append(2**20)
            yield b"100000\r\n" + bytes(2**20) + b"\r\n"
        yield b"0\r\n\r\n"

    with serving(tmp_path / "shards") as served:
        served.raw["/a.tar"] = endless()
        path = store.ShardStore(tmp_path / "store", 1e9).get(f"{served.url}/a.tar")
        assert path.read_bytes() == (tmp_path / "shards/train-000.tar").read_bytes()
    assert len(sent) < 64


def test_files_of_others_in_the_store_stay(tmp_path, shards):
    with serving(tmp_path / "shards") as served:
        size = (tmp_path / "shards/train-000.tar").stat().st_size
        stored = store.ShardStore(tmp_path / "store", 2.5 * size)
        (tmp_path / "store").mkdir()
        (tmp_path / "store/photos.tar").write_bytes(bytes(size))
        for number in range(2):
            stored.get(f"{served.url}/train-{number:03}.tar")
    names = [path.name for path in (tmp_path / "store").glob("*.tar")]
    assert len(names) == 2
    assert "photos.tar" in names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_index_in_any_encoding_of_json(tmp_path, shards, opened, encoding):
    write_index(tmp_path / "shards", 6, 10)
    path = tmp_path / "shards/index.json"
    path.write_bytes(path.read_text().encode(encoding))
    with serving(tmp_path / "shards") as served:
        for _ in range(2):
            assert opened(f"{served.url}/train-{{000..005}}.tar").num_train == 50
        assert served.asked["/index.json"] == 1


def test_workers_of_a_machine_that_are_no_number_are_one_line(shards, opened, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "x")
    with pytest.raises(UserError, match="LOCAL_WORLD_SIZE is 'x': set it to a whole number from 1, or unset it"):
        opened(shards, workers=None)


@pytest.mark.parametrize("address", ["http://me:secret@[a.tar", "s3://[a/b.tar"])
def test_no_address_is_one_line(opened, address):
    pytest.importorskip("obstore", reason="needs the extra stream")
    with pytest.raises(UserError, match=r"^[a-z0-9]+://\[a.*: this address.* is not valid; repair"):
        opened(address)


@pytest.mark.parametrize("path", ["", "streams", "streams/shards"])
def test_a_cache_that_is_a_file_is_one_line(tmp_path, shards, opened, path):
    (tmp_path / "cache" / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / path).write_text("")
    with pytest.raises(UserError, match=r"^cannot write .*; choose another --data.cache"):
        opened(shards)


def test_a_request_that_fails_is_tried_again(tmp_path, shards, opened, caplog):
    caplog.set_level(logging.INFO)
    with serving(tmp_path / "shards") as served:
        address = f"http://me:secret@127.0.0.1:{served.url.rpartition(':')[2]}/train-{{000..005}}.tar?key=secret"
        served.fails["/train-002.tar"] = [503, 500]
        assert opened(address).num_train
        served.fails["/train-002.tar"] = [503, 500, 503]
        with pytest.raises(UserError, match=r"^http://127.*002.tar: HTTP 503, in 3 attempts; repair"):
            opened(address, cache=tmp_path / "other")
    assert "train-002.tar: HTTP 503; trying again" in caplog.text
    assert "index.json: HTTP 404; counting the images of each shard instead" in caplog.text
    assert "secret" not in caplog.text


def test_a_shard_that_cannot_be_had_is_replaced_and_named(tmp_path, shards, opened, caplog):
    write_index(tmp_path / "shards", 6, 10)
    with serving(tmp_path / "shards") as served:
        source, cache = f"{served.url}/train-{{000..005}}.tar", tmp_path / "cache/streams/shards"
        data = opened(source, max_unreadable=0.5)
        whole = numbers(batches(data, 10, data.num_train // 10))
        lost = whole[13] // 10
        served.gone.add(f"/train-{lost:03}.tar")
        seen = []
        for world in (1, 2):
            shutil.rmtree(cache)
            data = opened(source, max_unreadable=0.5)
            seen.append(numbers(together(data, 10, data.num_train // 10, world=world)))
        shutil.rmtree(cache)
        with pytest.raises(UserError, match=r"cannot be read, most recently .* more than --data.max-unreadable 0.1"):
            batches(opened(source, max_unreadable=0.1), 10, data.num_train // 10)
    assert seen[0] == seen[1]
    following = whole[:]
    for i in reversed(range(len(whole))):
        if following[i] // 10 == lost:
            following[i] = following[i + 1] if i + 1 < len(whole) else seen[0][i]
    assert seen[0] == following
    assert lost not in {i // 10 for i in following}
    assert f"train-{lost:03}.tar: HTTP 404; other images replace those of this shard" in caplog.text


def test_a_damaged_image_is_replaced_by_the_next_and_named(tmp_path, shards, opened, caplog):
    whole = numbers(batches(opened(shards), 8, 5))
    damaged = whole[11]
    shard = tmp_path / "shards" / f"train-{damaged // 10:03}.tar"
    with tarfile.open(shard) as archive:
        start = archive.getmember(f"{damaged:05}.png").offset_data
    with shard.open("r+b") as file:
        file.seek(start)
        file.write(bytes(20))
    for workers in (1, 2):
        expected = [*whole[:11], whole[12], *whole[12:]]
        assert numbers(batches(opened(shards, workers=workers), 8, 5)) == expected
    assert f"train-{damaged // 10:03}.tar/{damaged:05}.png: not an image; the next image replaces it" in caplog.text


def test_a_shard_that_another_process_dropped_is_fetched_again(tmp_path, shards, opened):
    with serving(tmp_path / "shards") as served:
        data = opened(f"{served.url}/train-{{000..005}}.tar")
        given = StreamBatches(data.stream, 8, seed=7)
        first = numbers(given.at(0).numpy())
        wait(data.stream._fetches.values())  # else one may write into the folder while it is removed
        shutil.rmtree(tmp_path / "cache/streams/shards")
        given._pending.clear()
        assert numbers(given.at(0).numpy()) == first


def test_a_killed_worker_is_one_line(shards, opened):
    data = opened(shards, workers=2)
    given = StreamBatches(data.stream, 8, seed=7)
    given.at(0)
    for process in list(data.stream._pool._processes.values()):
        process.kill()
        process.join()
    with pytest.raises(UserError, match=r"a worker process was killed, .*; try --data.workers 1"):
        [given.at(8 * i) for i in range(1, 40)]


def test_images_keep_their_type(tmp_path, opened):
    pattern = write_shards(tmp_path / "deep", 3, 20, dtype=np.uint16)
    data = opened(pattern)
    assert data.train.images.dtype == np.uint16
    assert StreamBatches(data.stream, 8, seed=0).at(0).numpy().dtype == np.uint16
    assert sorted(numbers(batches(data, data.num_train, 1))) == sorted(numbers(data.train.images))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("digits", "--data.stream reads .tar shards, not digits"),
        ("https://me:secret@host/a.zip?key=secret", "--data.stream reads .tar shards, not https://host/a.zip; give"),
        ("ftp://host/a.tar", "ftp://host/a.tar: unknown scheme; use http://"),
        ("http://host/*.tar", "give remote shards with braces"),
        ("http://host/{0..99999999999}.tar", "give remote shards with braces"),
        ("http://host/{2..1}.tar", "give remote shards with braces"),
        ("missing-{0..3}.tar", "missing-0.tar: no such file"),
        ("missing-???.tar", "missing-???.tar: no such file"),
    ],
)
def test_what_cannot_be_streamed_is_refused(opened, source, said):
    with pytest.raises(UserError, match=re.escape(said)):
        opened(source)


def test_an_address_needs_the_stream(opened):
    with pytest.raises(UserError, match=r"--data with an address needs --data.stream"):
        opened("https://host/a.tar", stream=False)


def test_an_s3_bucket(tmp_path, shards, opened, monkeypatch):
    pytest.importorskip("obstore", reason="needs the extra stream")
    moto = pytest.importorskip("moto.server", reason="needs moto with its server")
    import boto3

    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        named = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "me"}
        for name, value in (named | {"AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}).items():
            monkeypatch.setenv(name, value)
        bucket = boto3.client("s3", endpoint_url=named["AWS_ENDPOINT_URL"], region_name="us-east-1")
        bucket.create_bucket(Bucket="images")
        for path in (tmp_path / "shards").iterdir():
            bucket.upload_file(str(path), "images", f"deep/{path.name}")
        data = opened("s3://images/deep/train-{000..005}.tar")
        assert numbers(batches(data, 8, 10)) == numbers(batches(opened(shards), 8, 10))
        with pytest.raises(UserError, match=r"^s3://images/deep/train-006.tar: not found; repair"):
            opened("s3://images/deep/train-{000..006}.tar")
    finally:
        server.stop()
