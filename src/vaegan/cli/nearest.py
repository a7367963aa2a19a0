"""``vaegan nearest``: are samples copies of training images?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from ..errors import UserError
from . import log
from .pictures import (
    DataPictureOptions,
    decode_to_bytes,
    encode_to_codes,
    load_model,
    open_images,
    output_of,
    run_defaults,
    say_where,
    some_of,
    watched,
)
from .table import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.dataset import ImageSet
    from ..models import Model

_log = logging.getLogger("vaegan")
_CHUNK = 2**26  # bytes of one chunk of references as floats


class Options(DataPictureOptions):
    """Show samples beside the training images nearest to them, in pixels and, where there is an encoder, in codes.

    Distances are root mean square. Held-out images are the measure: a share 'nearer' of samples that lie nearer to
    the training images than 95 % of the held-out images do is about 0.05 if nothing was copied; 'farther', the
    probability that a sample lies farther than a held-out image, is then about 0.5. C_T says the latter in standard
    deviations of chance: below -3 something was copied.
    """

    num: PositiveInt = 64
    """Samples to measure."""
    shown: PositiveInt = 8
    """Samples on the sheet, the ones nearest to a training image (in pixels) first."""
    k: PositiveInt = 4
    """Neighbours of each sample on the sheet."""
    held_out: PositiveInt = 256
    """Held-out images to measure, at most."""
    split: Literal["test", "train"] = "train"
    """Images to look for neighbours among; the others are the measure."""


defaults = run_defaults


def run(options: Options) -> None:
    """Find, show, tell."""
    import numpy as np
    import torch

    from ..files import write_json
    from ..metrics.memorisation import memorisation
    from ..report.sheet import write_sheet

    out, overwrite = output_of(options, "nearest.png")
    report = out.with_name(f"{out.stem}-distances.json")
    if report.exists() and not overwrite:
        raise UserError(f"{report} exists; choose another --out or allow it to be replaced (--overwrite)")
    model = load_model(options)
    data = open_images(options, model)
    references, others = (data.train, data.test) if options.split == "train" else (data.test, data.train)
    held_out = some_of(others, options.held_out, options.seed)
    codes, told = model.sample_codes(options.num, options.seed), model.condition_in_turn(options.num)
    samples = decode_to_bytes(model, codes, options.batch_size, told)
    both = torch.from_numpy(np.concatenate([samples, held_out.images]))
    found = {"pixels": _in_pixels(both, references, options)}
    if model.encoder is not None:
        found["codes"] = _in_codes(model, both, _both(told, model.condition_of(held_out)), references, options)
    order = found["pixels"][0][: options.num, 0].argsort(stable=True)[: options.shown].numpy()
    columns, sheet = ["sample"], [samples[order][:, None]]
    for space, (distances, indices) in found.items():
        sheet.append(np.stack([references.images[row] for row in indices.numpy()[order]]))
        columns += [f"{space} {i + 1}" for i in range(distances.shape[1])]
    write_sheet(out, np.concatenate(sheet, axis=1), columns, [str(i) for i in order], overwrite=overwrite)
    say_where(len(order), "samples and their neighbours", out)
    figures = {
        space: asdict(memorisation(distances[: options.num, 0], distances[options.num :, 0]))
        for space, (distances, _) in found.items()
    }
    write_json(report, {"figures": figures, "neighbours": _neighbours(found, options.num, references)})
    if log.is_first_process():
        rows = [[space, *(f"{value:.3g}" for value in values.values())] for space, values in figures.items()]
        print_table(["distance in", "samples", "held out", "nearer", "farther", "C_T"], rows)


def _in_pixels(both: Tensor, references: ImageSet, options: Options) -> tuple[Tensor, Tensor]:
    import numpy as np
    import torch

    from ..metrics.memorisation import find_nearest

    step = max(1, _CHUNK // (4 * references.images[0].size))
    starts = range(0, len(references), step)
    chunks: Iterator[Tensor] = (torch.from_numpy(np.array(references.images[i : i + step])) for i in starts)
    return find_nearest(both, watched(chunks, len(starts), "comparing"), options.k)


def _both(told: Tensor | None, held_out: Tensor | None) -> Tensor | None:
    """Return the conditions of samples and held-out images, one after another."""
    import torch

    return None if told is None or held_out is None else torch.cat([told, held_out])


def _in_codes(
    model: Model, both: Tensor, condition: Tensor | None, references: ImageSet, options: Options
) -> tuple[Tensor, Tensor]:
    import torch

    from ..latent.encoding import encode_images
    from ..metrics.memorisation import find_nearest

    z, _ = encode_images(model, both.numpy(), condition=condition, batch_size=options.batch_size)
    mu, _ = encode_to_codes(model, references, options.batch_size)
    return find_nearest(z, torch.split(mu, 2**14), options.k)


def _neighbours(found: dict[str, tuple[Tensor, Tensor]], num: int, references: ImageSet) -> list[dict[str, Any]]:
    """Return for each sample the names and distances of its neighbours."""
    return [
        {
            space: [
                {"name": references.names[i], "distance": distance}
                for i, distance in zip(indices[sample].tolist(), distances[sample].tolist(), strict=True)
            ]
            for space, (distances, indices) in found.items()
        }
        for sample in range(num)
    ]
