"""``vaegan encode``: codes of a whole source to a file."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import PositiveInt

from ..errors import UserError
from .options import Arg
from .pictures import DataPictureOptions, load_model, open_images, run_defaults, say_where, some_of, watched

if TYPE_CHECKING:
    from ..data.dataset import ImageData, ImageSet
    from ..models import Model

_log = logging.getLogger("vaegan")
_ENDINGS = ("", ".npz", ".parquet")


class Options(DataPictureOptions):
    """Write the codes of all images of a source: mu, log variances where the encoder gives them, names, labels.

    Images are encoded in shards; when something stops the work, the same command again goes on behind the last
    finished one. Memory does not grow with the number of images.
    """

    out: Annotated[Path | None, Arg("FILE", default="RUN/pictures/codes.npz")] = None
    """.npz is one file of arrays, .parquet a table (extra 'parquet'), a name without ending a folder of shards."""
    num: PositiveInt | None = None  # type: ignore[assignment]  # wider than the base on purpose
    """Images of each split, at most, chosen by the seed; all if not set."""
    split: Literal["all", "test", "train"] = "all"  # type: ignore[assignment]
    """All images, those held out, or those trained on."""
    scaled: bool = False
    """Codes for a diffusion model: maps in their shape, times the latent scale factor, log variances to match."""
    shard: PositiveInt = 8192
    """Images of a shard."""


defaults = run_defaults


def run(options: Options) -> None:
    """Encode shard after shard, then join them to the file that is asked for."""
    from ..latent.code_shards import import_pyarrow, open_shards
    from ..latent.encoding import encode_images

    out = _output(options)
    if out.suffix == ".parquet":
        import_pyarrow()
    model = load_model(options)
    if options.scaled:
        assert model.scale_factor  # or say that there is none
        if out.suffix == ".parquet":
            raise UserError("codes for a diffusion model make no table; end --out in .npz or nothing (a folder)")
    data = open_images(options, model)
    sets = [(name, images) for name, images in _sets(options, data) if len(images)]
    index = {
        "model": _digest(model),
        "data": data.fingerprint,
        "sets": {name: len(images) for name, images in sets},
        "seed": options.seed,
        "shard": options.shard,
        "scale": model.scale_factor if options.scaled else None,
        "label_names": list(data.train.label_names),
        "attribute_names": list(data.train.attribute_names),
    }
    first = sets[0][1]
    one = slice(1)
    encode_images(model, first.images[one], condition=model.condition_of(first, one))  # or leave no folder behind
    folder = out if out.suffix == "" else out.with_name(f".{out.name}.shards")
    open_shards(folder, index, restart=folder != out or options.overwrite)
    shards = _encode(options, model, sets, folder)
    _join(out, shards, data)
    if folder != out:
        shutil.rmtree(folder)
    say_where(sum(index["sets"].values()), "codes", out)  # type: ignore[attr-defined]


def _output(options: Options) -> Path:
    out = options.out or (Path(options.run) if Path(options.run).is_dir() else Path()) / "pictures" / "codes.npz"
    if out.suffix not in _ENDINGS:
        raise UserError(f"cannot tell from {out} what to write; end it in .npz, .parquet or nothing (a folder)")
    if out.is_dir() if out.suffix else out.is_file():
        raise UserError(f"{out} is a {'folder' if out.is_dir() else 'file'}; choose another name")
    if out.is_file() and not options.overwrite and options.out is not None:
        raise UserError(f"{out} exists; choose another name or allow it to be replaced (--overwrite)")
    return out


def _sets(options: Options, data: ImageData) -> Iterator[tuple[str, ImageSet]]:
    for name, images in (("train", data.train), ("test", data.test)):
        if options.split in (name, "all"):
            yield name, images if options.num is None else some_of(images, options.num, options.seed)


def _digest(model: Model) -> str:
    """Return a hash of what decides a code: the encoder's weights and the range of its images."""
    digest = hashlib.sha256(repr(tuple(model.image_range)).encode())
    for name, tensor in model.state_dict().items():
        if name.startswith("encoder."):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _encode(options: Options, model: Model, sets: list[tuple[str, ImageSet]], folder: Path) -> list[Path]:
    """Write the shards that are missing and return them all."""
    from ..latent.code_shards import shard_path, write_shard

    jobs = [(name, images, start) for name, images in sets for start in range(0, len(images), options.shard)]
    paths = [shard_path(folder, number) for number in range(len(jobs))]
    if found := sum(path.is_file() for path in paths):
        _log.info("%d of %d shards are there already", found, len(jobs))
    for (name, images, start), path in watched(zip(jobs, paths, strict=True), len(jobs), "encoding"):
        if not path.is_file():
            write_shard(path, _shard(options, model, name, images, slice(start, start + options.shard)))
    return paths


def _shard(options: Options, model: Model, name: str, images: ImageSet, part: slice) -> dict[str, Any]:
    import numpy as np

    from ..latent.encoding import encode_images

    c = model.condition_of(images, part)
    mu, logvar = encode_images(model, images.images[part], condition=c, batch_size=options.batch_size)
    if options.scaled:
        scale = model.scale_factor
        mu, logvar = model.maps(scale * mu), None if logvar is None else model.maps(logvar + 2.0 * math.log(scale))
    return {
        "codes": mu.numpy(),
        "logvar": None if logvar is None else logvar.numpy(),
        "names": np.asarray(images.names[part], np.str_),
        "split": np.full(len(mu), name),
        "labels": None if images.labels is None else images.labels[part],
        "attributes": None if images.attributes is None else images.attributes[part],
    }


def _join(out: Path, shards: list[Path], data: ImageData) -> None:
    import numpy as np

    from ..latent.code_shards import join_npz, join_parquet

    known = {"label_names": data.train.label_names, "attribute_names": data.train.attribute_names}
    if out.suffix == ".npz":
        join_npz(shards, out, {name: np.asarray(names, np.str_) for name, names in known.items() if names})
    elif out.suffix == ".parquet":
        join_parquet(shards, out, **known)
