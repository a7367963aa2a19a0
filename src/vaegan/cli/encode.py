"""``vaegan encode``: codes of a whole source to a file."""

from pathlib import Path
from typing import Annotated, Literal

from ..config import Count, PositiveInt
from ..errors import UserError
from .common import DataPictureOptions, open_run, output_of, run_defaults, say_where
from .options import Arg

_ENDINGS = ("", ".npz", ".parquet")


class Options(DataPictureOptions):
    """Write the codes of all images of a source: mu, log variances where the encoder gives them, names, labels.

    Images are encoded in shards; after an interruption the same command resumes after the last finished shard. Memory
    use does not grow with the number of images.
    """

    out: Annotated[Path | None, Arg("FILE", default="RUN/pictures/codes.npz")] = None
    """.npz is one file of arrays, .parquet a table (extra 'parquet'), a name without extension a folder of shards."""
    num: PositiveInt | None = None  # type: ignore[assignment]  # wider than the base on purpose
    """Images of each split, at most, chosen by the seed; default: all."""
    split: Literal["all", "test", "train"] = "all"  # type: ignore[assignment]
    """All images, the held-out ones, or the training images."""
    scaled: bool = False
    """Codes for a diffusion model: maps in their shape, times the latent scale factor, log variances to match."""
    shard: Count = 8192
    """Images per shard."""


defaults = run_defaults


def run(options: Options) -> None:
    """Encode shard after shard, then join them into the output file."""
    from ..latent.code_shards import encode_to_file, import_pyarrow

    out = _output(options)
    if out.suffix == ".parquet":
        import_pyarrow()
        if options.scaled:
            raise UserError("scaled codes are maps, not a table; end --out in .npz or nothing (a folder)")
    opened = open_run(options)
    if options.scaled:
        assert opened.model().scale_factor  # or say that there is none
    splits = ("train", "test") if options.split == "all" else (options.split,)
    sets = {name: opened.images(name, options.num, options.seed) for name in splits}
    num = encode_to_file(
        opened.model(),
        {name: images for name, images in sets.items() if len(images)},
        out,
        source={"data": opened.data().fingerprint, "seed": options.seed},
        shard=options.shard,
        scaled=options.scaled,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        watch=opened.watch,
    )
    say_where(num, "codes", out)


def _output(options: Options) -> Path:
    from ..files import check_free

    out, overwrite = output_of(options, "codes.npz", is_view=False)
    if out.suffix not in _ENDINGS:
        raise UserError(f"cannot tell from {out} what to write; end it in .npz, .parquet or nothing (a folder)")
    if out.is_dir() if out.suffix else out.is_file():
        raise UserError(f"{out} is a {'folder' if out.is_dir() else 'file'}; choose another name")
    if out.suffix:
        check_free(out, overwrite)
    return out
