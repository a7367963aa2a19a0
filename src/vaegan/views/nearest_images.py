"""Samples beside their nearest training images: a memorisation check."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..latent.encoding import encode_images
from ..metrics.image_quality import BLURRED, laplacian_variance
from ..metrics.memorisation import find_nearest, in_words, memorisation
from ..runs.opened import OpenedRun
from .view import View

_CHUNK = 2**26  # bytes of one chunk of references as floats

Neighbours = dict[str, tuple[Tensor, Tensor]]
"""Distances and indices, each `(N, k)`, by the space they are measured in: 'pixels', 'codes'."""


def nearest_images(
    run: OpenedRun, references: ImageSet, held_out: ImageSet, *, num: int, num_rows: int, k: int, seed: int
) -> tuple[View, dict[str, Any]]:
    """Return samples with their k nearest references, a row each; and what was measured.

    Of ``num`` samples the ``num_rows`` nearest in pixels are shown. The second value is JSON-able: ``figures`` of
    samples and held-out images (see `metrics.memorisation`), and ``neighbours`` of each sample.
    """
    model = run.model()
    c = model.condition_in_turn(num)
    samples = run.decode(model.sample_codes(num, seed, condition=c), c)
    both = replace(held_out, images=np.concatenate([samples, run.originals(held_out)]), pixels=model.pixels)
    neighbours: Neighbours = {"pixels": _in_pixels(run, _rows(both), references, k)}
    if model.encoder is not None:
        c_held_out = model.condition_of(held_out)
        condition = None if c is None or c_held_out is None else torch.cat([c, c_held_out])
        z, _ = encode_images(model, both.images, condition=condition, batch_size=run.batch_size)
        neighbours["codes"] = find_nearest(z, torch.split(run.encode(references)[0], 2**14), k)
    order = neighbours["pixels"][0][:num, 0].argsort(stable=True)[:num_rows].numpy()
    columns, images = ["sample"], [samples[order][:, None]]
    for space, (distances, indices) in neighbours.items():
        images.append(np.stack([run.originals(references.take(row)) for row in indices.numpy()[order]]))
        columns += [f"{space} {i + 1}" for i in range(distances.shape[1])]
    view = View(np.concatenate(images, axis=1), shown=run.shown, columns=columns, rows=[str(i) for i in order])
    figures = {
        space: memorisation(distances[:num, 0], distances[num:, 0]) for space, (distances, _) in neighbours.items()
    }
    sharpness = laplacian_variance(both.unit())
    blurred = bool(sharpness[:num].mean() < BLURRED * sharpness[num:].mean())
    words = in_words(figures["pixels"]["nearer"], figures["pixels"]["c_t"], num, len(held_out), blurred=blurred)
    measured = {"figures": figures, "conclusion": words[0].upper() + words[1:]}
    return view, measured | {"neighbours": _named(neighbours, num, references)}


def _rows(images: ImageSet, rows: slice = slice(None)) -> Tensor:
    """Return images as float in [0, 1], `(n, H, W, C)`."""
    return images.pixels.unit(torch.from_numpy(np.array(images.images[rows])))


def _in_pixels(run: OpenedRun, both: Tensor, references: ImageSet, k: int) -> tuple[Tensor, Tensor]:
    step = max(1, _CHUNK // (4 * references.images[0].size))
    starts = range(0, len(references), step)
    chunks: Iterator[Tensor] = (_rows(references, slice(i, i + step)) for i in starts)
    return find_nearest(both, run.watch(chunks, len(starts), "comparing"), k)


def _named(neighbours: Neighbours, num: int, references: ImageSet) -> list[dict[str, Any]]:
    """Return for each sample the names and distances of its neighbours."""
    return [
        {
            space: [
                {"name": references.names[i], "distance": distance}
                for i, distance in zip(indices[sample].tolist(), distances[sample].tolist(), strict=True)
            ]
            for space, (distances, indices) in neighbours.items()
        }
        for sample in range(num)
    ]
