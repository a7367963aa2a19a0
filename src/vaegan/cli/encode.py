"""``vaegan encode``: codes of a whole source, to a file or to shards."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import UserError
from ..settings import Count, PositiveInt
from .common import DataPictureOptions, TileSide, open_run, place_of, say_where
from .options import Arg

_ENDINGS = ("", ".npz", ".parquet")


class Options(DataPictureOptions):
    """Write the codes of all images of a source: mu, log variances where the encoder gives them, names, labels.

    Images are encoded in shards; after an interruption the same command resumes after the last finished shard. Memory
    use does not grow with the number of images. A model whose codes are maps takes any --data.size whose sides are
    multiples of its downsampling factor (4 for kl-f4); other models take only their own size.
    """

    out: Annotated[Path | None, Arg("FILE", default="RUN/pictures/codes.npz")] = None
    """.npz is one file of arrays, .parquet a table (extra 'parquet'), a name without extension a folder of shards."""
    num: PositiveInt | None = None  # type: ignore[assignment]  # wider than the base on purpose
    """Maximum number of images of each split, chosen by the seed; default: all."""
    split: Literal["all", "test", "train"] = "all"
    """All images, the held-out ones, or the training images."""
    scaled: bool = False
    """Codes for a diffusion model: maps, times the latent scale factor, with log variances to match."""
    tile: TileSide = None
    shard: Count = 8192
    """Images per shard; with a stream, each shard of images gives one shard of codes."""
    format: Annotated[Literal["safetensors"] | None, Arg(default="from the extension of --out")] = None
    """Write latents as a folder of safetensors shards, by one process or many (torchrun, a SLURM array)."""
    dtype: Annotated[Literal["fp32", "fp16", "bf16"] | None, Arg(default="fp32")] = None
    """Number format of the latents in safetensors shards."""
    flip: bool = False
    """Also write latents of the images mirrored left to right, in safetensors shards."""
    process: Annotated[str | None, Arg("R/N", default="from torchrun or SLURM")] = None
    """Run as process R of N: write only the safetensors shards i with i mod N = R."""


def run(options: Options) -> None:
    """Encode shard after shard; join them into the output file, unless shards are wanted."""
    from ..data.stream import StreamedData
    from ..latent.code_shards import encode_to_file, import_pyarrow, set_shards, stream_shards
    from ..latent.latent_shards import encode_to_shards

    out, overwrite = _output(options)
    process = _process(options) if options.format else (0, 1)
    if out.suffix == ".parquet":
        import_pyarrow()
        if options.scaled:
            raise UserError("scaled codes are maps and do not fit a table; end --out in .npz or nothing (a folder)")
    opened = open_run(options, any_size=True)
    if options.scaled:
        assert opened.model().scale_factor  # or say that there is none
    opened.check_encoder()
    data = opened.data()
    if out.suffix == ".parquet" and data.image_shape != opened.model().image_shape:
        raise UserError(
            "codes of images of other sizes are maps and do not fit a table; end --out in .npz or nothing (a folder)"
        )
    if isinstance(data, StreamedData):
        if options.num:
            raise UserError(f"--num {options.num}: a stream is encoded whole; leave it out, or name fewer shards")
        shards = stream_shards(data, options.split)
    else:
        whole = ("test",) if data.is_single else ("train", "test")
        splits = whole if options.split == "all" else (options.split,)
        sets = {name: opened.images(name, options.num, options.seed) for name in splits}
        shards = set_shards(sets, options.shard, {"data": data.fingerprint, "seed": options.seed})
    common: dict[str, Any] = {"scaled": options.scaled, "batch_size": options.batch_size, "watch": opened.watch}
    if options.format:
        fleet: dict[str, Any] = {"dtype": options.dtype or "fp32", "flip": options.flip, "process": process}
        num = encode_to_shards(opened.model(), shards, out, overwrite=overwrite, **fleet, **common)
    else:
        num = encode_to_file(opened.model(), shards, out, overwrite=options.overwrite, **common)
    say_where(num, "codes", out)


def _process(options: Options) -> tuple[int, int]:
    """Return (r, n), which process this is, and of how many; UserError if --process is not R/N."""
    from ..distributed import share_of_work

    if options.process is None:
        return share_of_work(os.environ)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", options.process)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--process {options.process}: give R/N with R from 0 to N - 1, such as 0/4")
    return int(match[1]), int(match[2])


def _output(options: Options) -> tuple[Path, bool]:
    """Return where codes go, and whether what is there may be replaced; UserError if they cannot go there."""
    from ..files import check_free
    from ..runs.run_folder import PICTURES
    from ..settings_io import number_in

    name = "latents" if options.format else "codes.npz"
    out, overwrite = place_of(options, f"{PICTURES}/{name}")
    if options.format and out.suffix:
        raise UserError(f"--out {out}: --format {options.format} writes a folder; give a name without an extension")
    if not options.format:
        for name in ("dtype", "flip", "process"):
            if getattr(options, name):
                raise UserError(f"--{name} applies to safetensors shards only; add --format safetensors")
        if number_in(os.environ, "WORLD_SIZE", 1, 1) > 1:
            raise UserError("several processes can write only safetensors shards; add --format safetensors")
    if out.suffix not in _ENDINGS:
        raise UserError(f"cannot tell from {out} what to write; end it in .npz, .parquet or nothing (a folder)")
    if out.is_dir() if out.suffix else out.is_file():
        raise UserError(f"{out} is a {'folder' if out.is_dir() else 'file'}; choose another name")
    if out.suffix:
        check_free(out, overwrite)
    return out, overwrite
