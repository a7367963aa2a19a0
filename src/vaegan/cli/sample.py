"""``vaegan sample``: z ~ N(0, I), decoded."""

from __future__ import annotations

from .pictures import PictureOptions, decode_to_bytes, load_model, output_of, say_where


class Options(PictureOptions):
    """Draw new images from the prior of a trained model."""


def run(options: Options) -> None:
    """Write new images and say where they are."""
    from ..report.output import write_images

    out, overwrite = output_of(options, "sample.png")
    model = load_model(options)
    codes = model.sample_codes(options.num, options.seed)
    images = decode_to_bytes(model, codes, options.batch_size)
    write_images(out, images, codes=codes, overwrite=overwrite)
    say_where(options.num, "images", out)
