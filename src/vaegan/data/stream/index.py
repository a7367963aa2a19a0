"""Which shards a stream has, and how many images each: from a .json beside them, or counted once.

The .json is webdataset's ``index.json``: ``{"shardlist": [{"url": "train-000.tar", "nsamples": 10000}, ...]}``. It
counts images but does not name them, so whole shards are held out. Without it each shard is listed once, and images are
held out by a hash of their whole names, folders included.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, shown
from ...files import expanded, read_bytes, short_hash, write_text, written_beside
from ...progress import Beat
from ...settings import DataSettings
from ..cache import cache_folder
from ..dataset import Positions, hashed_split, uniform
from ..decode_pool import submit
from ..folder import is_image
from ..shards import expand, members, num_unbraced, unbraced
from .store import ShardStore, Unavailable, is_remote

T = TypeVar("T")
log = logging.getLogger("vaegan")
_MOST = 10**7  # shards
_MOST_IMAGES = 10**10  # of a shard
_NAME = 64  # bytes of an image's name that a listing holds, for messages
_ROW = np.dtype([("name", f"S{_NAME}"), ("start", "<i8"), ("size", "<i8"), ("u", "<f8")])  # of a listing
FETCHES = 4
"""Shards that are fetched at the same time."""
_parsing = threading.Lock()


@dataclass(frozen=True)
class ShardIndex:
    """The S shards of a stream, by number."""

    urls: Sequence[str]  # addresses or absolute paths
    train: Positions  # training images of each, ``(S,)``; 0 of a shard that is held out
    test: Positions  # held-out images of each, ``(S,)``
    held_out: float  # share of the images of each shard that is held out by their names; 0 where shards are held out
    counts: Positions  # images of each, ``(S,)``, also those beyond the limit
    _warned: set[int] = field(default_factory=set)  # shards that have another number of images

    def sides(self, shard: int, table: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the rows of a shard's listing to train on, as many as the limit says, and those held out.

        Rows that were not counted are left out: the order depends on the counts alone.
        """
        num, url = int(self.counts[shard]), self.urls[shard]
        if len(table) != num and shard not in self._warned:
            self._warned.add(shard)
            what = f"{len(table) - num:,} are not used" if len(table) > num else f"{num - len(table):,} are missing"
            remedy = "write index.json again or remove it" + ", and choose another --data.cache" * is_remote(url)
            log.warning("%s: %d images, but %d were counted, so %s; %s", shown(url), len(table), num, what, remedy)
        held_out = table["u"] < self.held_out if self.held_out else np.full(len(table), self.test[shard] > 0)
        return {"train": table[~held_out][: self.train[shard]], "test": table[held_out][: self.test[shard]]}

    def fingerprint(self) -> str:
        """Return a hash of what decides the order; the same wherever the shards lie."""
        facts = [repr([*map(shard_name, self.urls), self.held_out]).encode(), self.train.tobytes(), self.test.tobytes()]
        return short_hash(b"".join(facts))


def shard_name(url: str) -> str:
    """Return the file name of a shard."""
    return Path(shown(url)).name


def read_index(settings: DataSettings, store: ShardStore) -> ShardIndex:
    """Return the shards that a source names, counted if need be; UserError if they are unavailable or empty."""
    source = settings.source
    if is_remote(source):
        if "*" in source or not 0 < num_unbraced(source) <= _MOST:
            rule = f"give remote shards with braces, such as train-{{0000..0099}}.tar, at most {_MOST:,}"
            raise UserError(f"{shown(source)}: {rule}")
        urls = list(unbraced(source))
    else:
        urls = [os.path.abspath(path) for path in expand(str(expanded(source)))]  # noqa: PTH100, keeps links
    known = _beside(urls, settings, store)
    by_shard = settings.held_out_by == "shard" or (settings.held_out_by == "auto" and known is not None)
    share = 0.0 if by_shard and len(urls) > 1 else settings.held_out
    counts, test = _counted(urls, settings, store) if known is None or share else (known, known)
    if not share:
        held_out = hashed_split([*map(shard_name, urls)], settings.held_out).test
        test = np.where(np.isin(np.arange(len(urls)), held_out), counts, 0)
    train = counts - test
    if not counts.sum():
        raise UserError(f"{shown(source)}: no images found in {len(urls):,} shard{'s' * (len(urls) > 1)}")
    if not train.sum() or not test.sum():
        what = "hold out" if train.sum() else "train on"
        raise UserError(f"{shown(source)}: none of {counts.sum():,} images is left to {what}; change --data.held-out")
    if settings.limit is not None:
        train = np.clip(settings.limit - (np.cumsum(train) - train), 0, train)
    return ShardIndex(urls, train, test, share, counts)


def _beside(urls: Sequence[str], settings: DataSettings, store: ShardStore) -> Positions | None:
    """Return the number of images of each shard from index.json beside the first one; None if there is none.

    A remote one is read once, so that a run opens even if the server cannot be reached.
    """
    folder = urls[0].partition("?")[0].rpartition("/")[0] if is_remote(urls[0]) else Path(urls[0]).parent
    at = f"{folder}/index.json"
    copy = cache_folder(settings.cache) / "streams" / f"{short_hash(at)}.json"
    try:
        is_new = is_remote(at) and not copy.is_file()
        content = store.read(at) if is_new else read_bytes(copy if is_remote(at) else Path(at))
        shards = {shard_name(shard["url"]): int(shard["nsamples"]) for shard in json.loads(content)["shardlist"]}
        names = [*map(shard_name, urls)]
        counts = [shards[name] for name in names]
        if len({*names}) < len(names):  # in several folders
            raise ValueError
        sizes = [store.limit if is_remote(url) else Path(url).stat().st_size for url in urls]
        if any(not 0 <= num <= min(size / 512, _MOST_IMAGES) for num, size in zip(counts, sizes, strict=True)):
            log.info("%s: more images than fit into a shard; counting the images of each shard instead", shown(at))
            return None
    except Unavailable as error:
        log.info("%s; counting the images of each shard instead", error)
        return None
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        log.info("%s does not list all of these shards; counting their images instead", shown(at))
        return None
    if is_new:
        write_text(copy, json.dumps(json.loads(content)))
    return np.array(counts, np.int64)


def _counted(urls: Sequence[str], settings: DataSettings, store: ShardStore) -> tuple[Positions, Positions]:
    """Return the images of each shard and how many are held out by name; each shard is listed once, and cached."""
    cached = cache_folder(settings.cache) / "streams" / f"counts-{settings.held_out!r}.jsonl"
    before: dict[str, list[int]] = {}
    for line in cached.read_bytes().splitlines() if cached.is_file() else []:
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # a killed process leaves half a line
            key, (num, held_out) = json.loads(line)
            if type(num) is type(held_out) is int and 0 <= held_out <= num <= _MOST_IMAGES:
                before[key] = [num, held_out]
    counts, beat = np.zeros((2, len(urls)), np.int64), Beat(f"counting {shown(settings.source)}", len(urls), "shards")

    def count(url: str) -> list[int]:
        key = short_hash(url if is_remote(url) else f"{url} {_stamp(Path(url))}")
        if key not in before:
            u = using(store, url, lambda _, table: table["u"])
            before[key] = [len(u), int((u < settings.held_out).sum())]
            with cached.open("a") as file:
                file.write(json.dumps([key, before[key]]) + "\n")
        return before[key]

    pool = ThreadPoolExecutor(FETCHES)
    try:
        for i, numbers in enumerate(pool.map(count, urls)):
            counts[:, i] = numbers
            beat(i + 1)
    except Unavailable as error:
        raise UserError(f"{error}; repair the shard, or leave it out of {shown(settings.source)}") from error
    finally:
        pool.shutdown(cancel_futures=True)
    return counts[0], counts[1]


def using(store: ShardStore, url: str, use: Callable[[Path, NDArray[Any]], T], pool: Executor | None = None) -> T:
    """Return ``use(path, table)`` of a shard and the table of its images, made if missing (in the pool, if any).

    If another process drops the shard to make room meanwhile, it is fetched again. Raises Unavailable if it is not a
    .tar.
    """
    while True:
        path = store.get(url)
        with contextlib.suppress(FileNotFoundError):
            name = path.stem if is_remote(url) else short_hash(f"{path} {_stamp(path)}")
            listing = store.folder / f"{name}.npy"
            table = _read_listing(listing)
            if table is None:
                try:
                    table = submit(pool, _list, path).result() if pool else _list(path)
                except UserError as error:
                    path.stat()  # FileNotFoundError where it is gone
                    if is_remote(url):
                        path.unlink()
                    raise Unavailable(f"{shown(url)}: not a readable .tar") from error
                with store.room(url, table.nbytes), written_beside(listing) as beside:
                    np.save(beside, table)
            with naming(path, shown(url)):
                return use(path, table)
        if not is_remote(url) and not path.is_file():
            raise Unavailable(f"{url}: no such file")


@contextlib.contextmanager
def naming(path: Path, where: str) -> Iterator[None]:
    """Let a UserError name a file of the cache as the user does."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(path), where)) from error


def _read_listing(listing: Path) -> NDArray[Any] | None:
    """Return the table of a shard's images, None if it is missing or damaged; in one thread at a time.

    NumPy parses the header as Python, which in CPython 3.11 fails now and then in several (python/cpython#106905).
    """
    with _parsing, contextlib.suppress(FileNotFoundError, ValueError, EOFError):
        table = np.load(listing)
        if isinstance(table, np.ndarray) and table.dtype == _ROW and table.ndim == 1:
            return table
    return None


def _stamp(path: Path) -> str:
    return f"{path.stat().st_size} {path.stat().st_mtime_ns}"


def _list(path: Path) -> NDArray[Any]:
    files = [file for file in members(0, path) if is_image(file.name)]
    rows = [(f.name.encode("utf-8", "surrogateescape")[-_NAME:], *f.place[1:], uniform(f.name)) for f in files]
    return np.array(rows, _ROW)
