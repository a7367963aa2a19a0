"""Images streamed from .tar shards, local or remote, which are fetched as they are needed and never all decoded.

Training reads its batches from the shards (`reader`, in the `order`). All else works on two samples of bounded size,
of training images and of held-out ones, which are copied into one .tar in the cache and decoded like any other source.
"""

import hashlib
import io
import logging
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...config import DataSettings
from ...errors import UserError
from ...files import MAX_FILE, written_beside
from ..cache import cache_folder
from ..dataset import ImageData, Progress, uniform
from ..decoded import prepare_data
from ..image_file import Target
from ..shards import content, list_shards, members, sample_of
from .index import ShardIndex, listed, load_listing, read_index
from .reader import ShardReader
from .store import ShardStore, Unavailable, is_remote, shown

log = logging.getLogger("vaegan")
NUM_TRAIN, NUM_TEST = 10_000, 2_000
"""Images, at most, of the two samples."""
_SPREAD = 4  # shards that a sample comes from at least, if there are so many
_BESIDE = ("cls", "json")


def open_stream(settings: DataSettings, on_progress: Progress | None = None) -> ImageData:
    """Open shards to be read while training; UserError if they cannot be had."""
    folder = cache_folder(settings.cache) / "streams"
    store = ShardStore(folder / "shards", settings.store_size * 1e9)
    index = read_index(settings, store)
    name = Path(shown(settings.source)).stem
    samples = replace(list_shards(_samples(index, store, folder)), name=name, where=shown(settings.source))
    data = prepare_data(samples, settings, on_progress)
    channels, height, width = data.image_shape
    target = Target(height, width, channels, settings.crop, settings.crop_size)
    fingerprint = hashlib.sha256(f"{index.fingerprint()} {data.fingerprint}".encode()).hexdigest()[:32]
    return replace(data, stream=ShardReader(index, store, target, settings), fingerprint=fingerprint)


def _samples(index: ShardIndex, store: ShardStore, folder: Path) -> Path:
    """Return a .tar with samples of both sides in its folders train and test, made if it is missing."""
    left = {"train": NUM_TRAIN, "test": NUM_TEST}
    counts = {"train": index.train, "test": index.test}
    chosen: list[tuple[int, dict[str, int]]] = []  # shards, and how many of each side
    for shard in sorted(range(len(index.urls)), key=lambda i: uniform(Path(shown(index.urls[i])).name)):
        most = {"train": -(-NUM_TRAIN // _SPREAD), "test": -(-NUM_TEST // _SPREAD)}
        nums = {side: int(min(left[side], most[side], counts[side][shard])) for side in left}
        left = {side: left[side] - nums[side] for side in left}
        if any(nums.values()):
            chosen.append((shard, nums))
    digest = hashlib.sha256(index.fingerprint().encode())
    for shard, nums in chosen:
        at = None if is_remote(index.urls[shard]) else Path(index.urls[shard]).stat()
        digest.update(f"{index.urls[shard]} {at and (at.st_size, at.st_mtime_ns)} {nums}".encode())
    path = folder / f"{digest.hexdigest()[:32]}.tar"
    if not path.is_file():
        log.info("%s: copying samples from %d of its shards", shown(index.urls[0]), len(chosen))
        with written_beside(path) as beside, tarfile.open(beside, "w") as out:
            names: set[str] = set()
            for shard, nums in chosen:
                _copy(index, store, shard, nums, out, names)
    return path


def _copy(
    index: ShardIndex, store: ShardStore, shard: int, nums: dict[str, int], out: tarfile.TarFile, names: set[str]
) -> None:
    """Copy so many images of each side of a shard, with what is beside them; ``names`` are taken."""
    try:
        path, listing = listed(store, index.urls[shard])
    except Unavailable as error:
        raise UserError(
            f"{shown(index.urls[shard])}: cannot be had ({error}); try again later or leave it out"
        ) from error
    files = {file.place[1]: file for file in members(0, path)}
    beside = {sample_of(file): file for file in files.values() if sample_of(file)[2] in _BESIDE}
    table = load_listing(listing)
    held_out = table["u"] < index.held_out if index.held_out else np.full(len(table), index.test[shard] > 0)
    for side, rows in (("train", table[~held_out][: index.train[shard]]), ("test", table[held_out])):
        for start in rows[np.argsort(rows["u"], kind="stable")]["start"][: nums[side]].tolist():
            _, key, _ = sample_of(files[start])
            own = [files[start], *(beside[0, key, suffix] for suffix in _BESIDE if (0, key, suffix) in beside)]
            taken = any(f"{side}/{file.name}" in names for file in own[:1])
            for file in own:
                head, slash, last = file.name.rpartition("/")
                info = tarfile.TarInfo(f"{side}/{head}{slash}{f'{shard}-' if taken else ''}{last}")
                info.size = file.place[2]
                names.add(info.name)
                out.addfile(info, io.BytesIO(content([path], file.place, MAX_FILE)))
