"""What a model costs: time and arithmetic of its training, arithmetic of one image, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from ..config import PARTS, Config
from ..models import Model
from ..operations import count_operations
from ..report.page.timing import speeds, window_seconds
from .expected import work_of_step


def cost_of(
    model: Model, config: Config | None = None, records: Sequence[Mapping[str, Any]] = ()
) -> dict[str, float | None]:
    """Return what is known of a model's cost; None where the model lacks a part, or nothing is recorded.

    Args:
        model: trained.
        config: settings of its run, if it has one.
        records: of the run's `metrics.jsonl`.

    Returns:
        'training_seconds', without snapshots; 'images_per_second', 'images_seen'; 'training_operations' per image
        (products and convolutions, two operations a multiply-add; see `operations`), 'reconstruction_operations' and
        'sample_operations' likewise; and 'encoder_parameters' and so on.
    """
    line = speeds(records)
    seconds = None if line is None else float(window_seconds(line).sum())
    seen = None if line is None else float(line[0][-1])
    parameters = {name: float(sum(p.numel() for p in part.parameters())) for name, part in model.parts.items()}
    encoding, decoding = _operations_of_parts(model)
    both = None if encoding is None or decoding is None else encoding + decoding
    return {
        "training_seconds": seconds,
        "images_per_second": seen / seconds if seen and seconds else None,
        "images_seen": seen,
        "training_operations": _training_operations(model, config),
        "reconstruction_operations": both,
        "sample_operations": decoding,
        **{f"{part}_parameters": parameters.get(part) for part in PARTS},
    }


def _training_operations(model: Model, config: Config | None) -> float | None:
    if config is None or model.architecture is None:
        return None
    work = work_of_step(config, model.image_shape, model.architecture)
    return work.operations / config.train.batch_size


def _operations_of_parts(model: Model) -> tuple[float | None, float | None]:
    """Return the operations of encoding and of decoding one image.

    The parts are called by themselves: in the inference mode of `Model` dense layers are not dispatched as products.
    """
    x = torch.zeros(1, *model.image_shape, device=model.device)
    z = torch.zeros(1, model.latent_dim, device=model.device)
    c = model.condition_in_turn(1)
    given = () if c is None else (c.to(model.device),)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = [
            None if part is None else float(count_operations(partial(part, value, *given)))
            for part, value in ((model.encoder, x), (model.decoder, z))
        ]
    model.train(was_training)
    return found[0], found[1]
