"""Figures of a model's codes: what they know of labels."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..errors import UserError
from ..latent.encoding import encode_images
from ..metrics.probes import linear_probe, neighbour_probe
from ..models import Model
from .figures import Figures, mean_figure
from .reference import Bench


def code_figures(model: Model, bench: Bench) -> Figures:
    """Return how often a linear probe and the nearest neighbours read the labels of the reference off its codes.

    They learn from the yardstick's images, `probe_chance` is the accuracy of always naming the most frequent label.

    Raises:
        UserError: if the model has no encoder, or no labels are known.
    """
    if bench.images.labels is None or bench.others.labels is None:
        raise UserError("no labels are known that could be read off the codes")
    z, z_test = (_codes(model, images, bench.batch_size) for images in (bench.others, bench.images))
    labels, labels_test = torch.from_numpy(bench.others.labels), torch.from_numpy(bench.images.labels)
    of = partial(mean_figure, seed=bench.seed)
    return {
        "linear_probe": of(linear_probe(z, labels, z_test, labels_test).double()),
        "neighbour_probe": of(neighbour_probe(z, labels, z_test, labels_test).double()),
        "probe_chance": of((labels_test == labels.mode().values).double()),
    }


def _codes(model: Model, images: ImageSet, batch_size: int) -> Tensor:
    return encode_images(model, images.images, condition=model.condition_of(images), batch_size=batch_size)[0]
