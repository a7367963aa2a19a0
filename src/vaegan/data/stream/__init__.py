"""Images streamed from .tar shards, local or remote, which are fetched as they are needed and never all decoded.

Training reads its batches from the shards (`reader`, in the `order`). All else works on two subsets of bounded size, of
training images and of held-out ones, which are copied into one .tar in the cache and decoded like any other source.
"""

import contextlib
import logging
import tarfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import UserError, printable, shown
from ...files import short_hash, written_beside
from ...pixels import PixelFormat
from ...settings import DataSettings
from ..cache import cache_folder
from ..dataset import Collection, ImageData, Progress, uniform
from ..decoded import prepare_data
from ..folder import common_folder, split_folders
from ..image_file import Target
from ..shards import BESIDE, check_beside, list_shards, members, read_at, sample_of
from .index import ShardIndex, naming, read_index, shard_name, using
from .reader import ShardReader
from .store import ShardStore, Unavailable, is_remote

log = logging.getLogger("vaegan")
NUM_TRAIN, NUM_TEST = 10_000, 2_000
"""Maximum numbers of images in the two subsets."""
_SPREAD = 4  # at most one part in so many of a maximum is from one shard


@dataclass(frozen=True)
class StreamedData(ImageData):
    """A data set whose training images are streamed: ``train`` and ``test`` are subsets of bounded size."""

    stream: ShardReader = field(kw_only=True)

    @property
    def num_train(self) -> int:
        """Number of images to train on."""
        return self.stream.num_images

    def summary(self) -> tuple[str, str]:
        """Return two lines on what the data are."""
        images, labels = super().summary()
        num = len(self.stream.index.urls)
        shards = f"streamed from {num:,} shard{'s' * (num > 1)}"
        return f"{images}; {shards}; priors, scores and views use {len(self.train):,} of them", labels


def open_stream(
    settings: DataSettings, on_progress: Progress | None = None, pixels: PixelFormat | None = None
) -> StreamedData:
    """Open shards that are read during training; UserError if they are unavailable."""
    folder = cache_folder(settings.cache) / "streams"
    store = ShardStore(folder / "shards", settings.store_size * 1e9)
    store.make_folder()
    index, where = read_index(settings, store), shown(settings.source)
    samples = _compared(_samples(index, store, folder, where), index, where)
    data = prepare_data(samples, settings, on_progress, pixels)
    channels, height, width = data.image_shape
    target = Target(height, width, channels, settings.crop, settings.crop_size, data.pixels, settings.range)
    fingerprint = short_hash(f"{index.fingerprint()} {data.fingerprint}")
    own = {"stream": ShardReader(index, store, target, settings), "fingerprint": fingerprint}
    return StreamedData(**vars(data) | own)


def _samples(index: ShardIndex, store: ShardStore, folder: Path, where: str) -> Collection:
    """List a .tar with the subsets in its folders train and test, made if it is missing or cannot be used."""
    left, counts = {"train": NUM_TRAIN, "test": NUM_TEST}, {"train": index.train, "test": index.test}
    most = {side: -(-num // _SPREAD) for side, num in left.items()}
    chosen: list[tuple[int, dict[str, int]]] = []  # shards, and how many of each side

    def named(name: str) -> str:
        """Return SHARD.tar/NAME of the image that `_copy` has called SIDE/NAME, with the shard's number in it."""
        folders, _, last = name.rpartition("/")
        shard, _, last = last.partition("-")
        return "/".join([shard_name(index.urls[int(shard)]), *folders.split("/")[1:], last])

    for shard in sorted(range(len(index.urls)), key=lambda i: uniform(shard_name(index.urls[i]))):
        nums = {side: int(min(left[side], most[side], counts[side][shard])) for side in left}
        left = {side: left[side] - nums[side] for side in left}
        if any(nums.values()):
            chosen.append((shard, nums))
    facts = [(index.urls[shard], nums) for shard, nums in chosen]
    stamps = [Path(url).stat().st_mtime_ns for url, _ in facts if not is_remote(url)]
    path = folder / f"{short_hash(repr([index.fingerprint(), facts, stamps]))}.tar"
    with contextlib.suppress(UserError):  # missing or damaged
        return _listed(path, where, named)
    log.info("copying images for priors, scores and views from %d of %d shards", len(chosen), len(index.urls))
    with written_beside(path) as beside, tarfile.open(beside, "w") as out:
        for shard, nums in chosen:
            try:
                _copy(index, store, shard, nums, out)
            except Unavailable as error:
                raise UserError(f"{error}; try again later, or leave this shard out of --data") from error
    return _listed(path, where, named)


def _listed(path: Path, where: str, named: Callable[[str], str]) -> Collection:
    """Return the samples in a shard of the cache, which is called as the user calls them."""
    with naming(path, where):
        samples = list_shards(path, named)
    notes = tuple(note.replace(str(path), where) for note in samples.notes)
    return replace(samples, name=Path(where).stem, where=where, notes=notes)


def _compared(samples: Collection, index: ShardIndex, where: str) -> Collection:
    """Return the subsets, with a note if other images may be held out without a stream.

    Raises UserError if their folders are a split: images of its held-out folders would be trained on.
    """
    names = [name.partition("/")[2] for name in samples.names]  # without the shard
    outer = common_folder(names)
    if sides := split_folders([name.removeprefix(outer) for name in names]):
        remedy = "leave it out, or give only shards with images to train on"
        raise UserError(f"{where}: --data.stream does not keep the split of its folders {', '.join(sides)}; {remedy}")
    if not index.held_out or not (outer or len(set(names)) < len(names)):
        return samples
    why = f"its images lie in a folder {printable(outer)}" if outer else "some of its images have the same name"
    note = f"{where}: {why}, so without --data.stream other images may be held out"
    return replace(samples, notes=(*samples.notes, note))


def _copy(index: ShardIndex, store: ShardStore, shard: int, nums: dict[str, int], out: tarfile.TarFile) -> None:
    """Copy some images of each side of a shard, with their .cls and .json, under names that no other shard has."""
    file, table, files = using(store, index.urls[shard], lambda path, table: (path.open("rb"), table, members(0, path)))
    sides: dict[int, str] = {}  # of images, by first byte
    for side, rows in index.sides(shard, table).items():
        chosen = rows[np.argsort(rows["u"], kind="stable")][: nums[side]]
        sides |= dict.fromkeys(chosen["start"].tolist(), side)
    of_sample = defaultdict[str, set[str]](set)  # the sides of its images
    for member in files:
        if member.place[1] in sides:
            of_sample[sample_of(member)[1]].add(sides[member.place[1]])
    with file:
        for member in files:
            start, (_, key, suffix) = member.place[1], sample_of(member)
            for side in sorted(of_sample[key]) if suffix in BESIDE else [sides[start]] if start in sides else []:
                head, slash, last = member.name.rpartition("/")
                info = tarfile.TarInfo(f"{side}/{head}{slash}{shard}-{last}")
                info.size = member.place[2]
                if suffix in BESIDE:
                    check_beside(suffix, partial(read_at, file), member.place, f"{shown(index.urls[shard])}/{key}")
                file.seek(member.place[1])
                out.addfile(info, file)
