"""``vaegan reconstruct``: x beside x_tilde = Dec(mu(x))."""

from __future__ import annotations

from .pictures import (
    DataPictureOptions,
    choose_images,
    data_of_run,
    decode_to_bytes,
    load_model,
    output_of,
    say_where,
)


class Options(DataPictureOptions):
    """Show originals beside their reconstructions: by default held-out images of the data the run was trained on."""


def defaults(options: Options) -> Options:
    """Return options with the run's own data settings."""
    return Options(run=options.run, data=data_of_run(options))


def run(options: Options) -> None:
    """Write originals and reconstructions and say where they are."""
    from ..report.output import write_images

    out, overwrite = output_of(options, "reconstruct.png")
    model = load_model(options)
    images, chosen, x = choose_images(options, model, options.num)
    codes = model.encode(x, batch_size=options.batch_size)
    write_images(
        out,
        decode_to_bytes(model, codes, options.batch_size),
        originals=images.images[chosen],
        codes=codes,
        labels=None if images.labels is None else images.labels[chosen],
        names=[images.names[i] for i in chosen],
        overwrite=overwrite,
    )
    say_where(len(chosen), "originals and reconstructions", out)
