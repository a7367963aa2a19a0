"""Which shards a stream has, and how many samples each: from a .json beside them, or counted once.

The .json is webdataset's ``index.json`` (``{"shardlist": [{"url": ..., "nsamples": ...}]}``) or ``sizes.json``
(``{"0000.tar": 10000}``). It counts samples but does not name them, so whole shards are held out. Where there is none
each shard is listed once, and images are held out by a hash of their names, like those of a folder.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import DataSettings
from ...errors import UserError
from ...files import written_beside
from ...progress import Beat
from ..cache import cache_folder
from ..dataset import hashed_split, uniform
from ..decode_pool import submit
from ..folder import is_image
from ..shards import expand, members, unbraced
from .store import ShardStore, Unavailable, is_remote, shown

log = logging.getLogger("vaegan")
_MOST = 10**7  # shards
_NAME = 64  # bytes of an image's name that a listing holds, for messages
FETCHES = 4
"""Shards that are fetched at the same time."""


@dataclass(frozen=True)
class ShardIndex:
    """The shards of a stream, by number.

    Attributes:
        urls: of S shards, addresses or paths.
        train: training images of each, int64 ``(S,)``; 0 of a shard that is held out.
        test: held-out images of each, int64 ``(S,)``.
        held_out: share of the images of each shard that is held out by their names; 0 where shards are held out.
    """

    urls: Sequence[str]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    held_out: float

    def fingerprint(self) -> str:
        """Return a hash of what decides the order; the same wherever the shards lie."""
        names = "\0".join(Path(shown(url)).name for url in self.urls)
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape") + repr(self.held_out).encode())
        return hashlib.sha256(digest.digest() + self.train.tobytes() + self.test.tobytes()).hexdigest()[:32]


def read_index(settings: DataSettings, store: ShardStore) -> ShardIndex:
    """Return the shards that a source names, counted if need be; UserError if they cannot be had or have no images."""
    source = settings.source
    known: NDArray[np.int64] | None
    if source.endswith(".json"):
        urls, known = _from_json(source, store)
    else:
        urls = _expanded(source)
        known = _beside(urls, store)
    by = settings.held_out_by if settings.held_out_by != "auto" else "name" if known is None else "shard"
    share = settings.held_out if by == "name" or len(urls) < 2 else 0.0
    counts, held_out = _counted(urls, settings, store) if known is None or share else (known, known)
    if not share:
        split = hashed_split([Path(shown(url)).name for url in urls], settings.held_out, shown(source))
        held_out = np.zeros_like(counts)
        held_out[split.test] = counts[split.test]
    train = counts - held_out
    if not train.sum() or not held_out.sum():
        what = "held-out" if train.sum() else "training"
        raise UserError(
            f"{shown(source)}: no {what} images among {counts.sum():,}; change --data.held-out or add shards"
        )
    if settings.limit is not None:
        before = np.cumsum(train) - train
        train = np.clip(settings.limit - before, 0, train)
    return ShardIndex(urls, train, held_out, share)


def _expanded(source: str) -> list[str]:
    if not is_remote(source):
        return [str(path) for path in expand(str(Path(source).expanduser()))]
    urls = list(itertools.islice(unbraced(source), _MOST + 1))
    if len(urls) > _MOST or "*" in source:
        raise UserError(f"{shown(source)}: name remote shards with braces, such as train-{{0000..0099}}.tar")
    return urls


def _beside(urls: Sequence[str], store: ShardStore) -> NDArray[np.int64] | None:
    """Return the samples of each shard as a .json beside the first one says; None if none does."""
    folder, slash, _ = shown(urls[0]).rpartition("/")
    if is_remote(urls[0]) and shown(urls[0]) != urls[0]:
        return None  # an address with a signature is of one file
    for name in ("index.json", "sizes.json"):
        try:
            _, counts, names = _parsed(folder + slash + name, store)
        except (Unavailable, UserError):  # there is none, or one of something else
            continue
        of = dict(zip(names, counts.tolist(), strict=True))
        if all(Path(url).name in of for url in urls):
            return np.array([of[Path(url).name] for url in urls], np.int64)
        log.info("%s does not list all shards; they are counted", shown(folder + slash + name))
    return None


def _from_json(source: str, store: ShardStore) -> tuple[list[str], NDArray[np.int64]]:
    try:
        urls, counts, _ = _parsed(str(source if is_remote(source) else Path(source).expanduser()), store)
    except Unavailable as error:
        raise UserError(f"{shown(source)}: {error}; give the index of shards, or the shards themselves") from error
    return urls, counts


def _parsed(at: str, store: ShardStore) -> tuple[list[str], NDArray[np.int64], list[str]]:
    """Return addresses of the shards in a .json, the samples of each, and their file names."""
    content, folder = store.read(at), at[: at.rfind("/") + 1]
    try:
        value: Any = json.loads(content)
        if isinstance(value, dict) and "shardlist" in value:
            base = value.get("base_path", "")
            pairs = [(base + shard["url"], shard["nsamples"]) for shard in value["shardlist"]]
        else:
            pairs = list(value.items())
        if not pairs or not all(isinstance(num, int) and 0 <= num < 2**40 for _, num in pairs):
            raise ValueError("numbers of samples are whole")
        urls = [url if "://" in url or url.startswith("/") else folder + url for url, _ in pairs]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f'{shown(at)}: not {{"shardlist": [{{"url": ..., "nsamples": ...}}]}}; write it again'
        ) from error
    return urls, np.array([num for _, num in pairs], np.int64), [Path(url).name for url in urls]


def _counted(
    urls: Sequence[str], settings: DataSettings, store: ShardStore
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images of each shard and how many are held out by name; each shard is listed once, and cached."""
    key = hashlib.sha256(repr((settings.source, settings.held_out)).encode()).hexdigest()[:32]
    cached = cache_folder(settings.cache) / "streams" / f"{key}.jsonl"
    before = {line["shard"]: line for line in _lines(cached)}
    counts = np.zeros((2, len(urls)), np.int64)
    beat, bad = Beat(f"counting {shown(settings.source)}", len(urls), "shards"), []
    cached.parent.mkdir(parents=True, exist_ok=True)

    def count(number: int) -> dict[str, Any]:
        url = urls[number]
        path = None if is_remote(url) else Path(url).stat()
        stamp = f"{path.st_size} {path.st_mtime_ns}" if path else ""
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        if (line := before.get(name, {})).get("stamp") == stamp:
            return line
        u = load_listing(listed(store, url)[1])["u"]
        return {"shard": name, "stamp": stamp, "images": len(u), "held_out": int((u < settings.held_out).sum())}

    with cached.open("a") as file, ThreadPoolExecutor(FETCHES) as pool:
        waiting: list[Any] = []
        try:
            for done in range(len(urls)):
                while len(waiting) < 2 * FETCHES and done + len(waiting) < len(urls):
                    waiting.append(pool.submit(count, done + len(waiting)))
                try:
                    line = waiting.pop(0).result()
                except Unavailable as error:
                    bad.append(f"{shown(urls[done])} ({error})")
                else:
                    counts[:, done] = line["images"], line["held_out"]
                    if line is not before.get(line["shard"]):
                        file.write(json.dumps(line) + "\n")
                beat(done + 1)
        finally:
            for future in waiting:
                future.cancel()
    if bad:
        raise UserError(
            f"{len(bad)} of {len(urls)} shards cannot be had: {', '.join(bad[:3])}; repair or leave them out"
        )
    return counts[0], counts[1]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what earlier runs counted; a line that a killed one left unfinished is skipped."""
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("{") and line.endswith("}\n"):
                    yield json.loads(line)


def listed(store: ShardStore, url: str, pool: Executor | None = None) -> tuple[Path, Path]:
    """Return the file of a shard and that of its listing, made if missing (in a pool); Unavailable if it is no .tar."""
    path = store.get(url)
    try:
        at = path.stat()
    except FileNotFoundError:  # just dropped to make room
        return listed(store, url, pool)
    stamp = hashlib.sha256(f"{path.resolve()} {at.st_size} {at.st_mtime_ns}".encode()).hexdigest()[:32]
    listing = path.with_suffix(".npy") if is_remote(url) else store.folder / f"{stamp}.npy"
    if not listing.is_file():
        try:
            table = submit(pool, _list, path).result() if pool else _list(path)
        except UserError as error:
            if not path.is_file():
                return listed(store, url, pool)
            if is_remote(url):
                path.unlink(missing_ok=True)
            raise Unavailable("not a readable .tar") from error
        with store.room(url, table.nbytes), written_beside(listing) as beside:
            np.save(beside, table)
    return path, listing


def _list(path: Path) -> NDArray[Any]:
    files = [file for file in members(0, path) if is_image(file.name)]
    rows = [(f.name.encode("utf-8", "surrogateescape")[-_NAME:], *f.place[1:], uniform(f.name)) for f in files]
    return np.array(rows, [("name", f"S{_NAME}"), ("start", "<i8"), ("size", "<i8"), ("u", "<f8")])


@lru_cache(8)
def training_images(listing: Path, held_out: float) -> NDArray[Any]:
    """Return name, first byte, number of bytes and hash of the name of a shard's training images, ``(n,)``."""
    table = load_listing(listing)
    return table[table["u"] >= held_out]


def load_listing(listing: Path) -> NDArray[Any]:
    """Return the same of all images of a shard."""
    table: NDArray[Any] = np.load(listing, allow_pickle=False)
    return table
