"""What TensorBoard shows of a run: scalars of each record, histograms of weights and gradients at snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

MOST_VALUES = 2**14


def open_tensorboard(folder: Path, images: int) -> Any:
    """Return a TensorBoard writer that goes on after ``images``, hiding what is there of later ones.

    None where the extra is not installed.
    """
    with contextlib.suppress(ImportError):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder), purge_step=images + 1)
    return None


def write_scalars(tensorboard: Any, record: dict[str, Any]) -> None:
    """Write a record's losses, gradients, routes and scores as scalars."""
    for part, terms in record["losses"].items():
        for name, value in terms.items():
            tensorboard.add_scalar(f"{part}/{name}/{record['split']}", value, record["images"])
    for group in ("gradients", "routes", "scores"):
        for name, value in record.get(group, {}).items():
            tensorboard.add_scalar(f"{group}/{name}", value, record["images"])


def write_histograms(
    tensorboard: Any, parts: Mapping[str, nn.Module], gradients: Mapping[str, Sequence[Tensor]], images: int
) -> None:
    """Write a histogram of each weight, and of the gradient that its optimiser got last.

    Of a tensor of more than `MOST_VALUES` numbers every k-th one is counted, so that a snapshot stays quick.

    Args:
        tensorboard: writer.
        parts: name -> network.
        gradients: part -> a gradient per trainable weight, in the order of ``parameters()``; a part may be missing.
        images: images seen.
    """
    for part, network in parts.items():
        weights = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        for name, weight in weights:
            tensorboard.add_histogram(f"{part}/{name}/weight", some_values(weight), images)
        for (name, _), gradient in zip(weights, gradients.get(part, ()), strict=False):
            tensorboard.add_histogram(f"{part}/{name}/gradient", some_values(gradient), images)


def some_values(tensor: Tensor) -> Tensor:
    """Return evenly spread numbers of a tensor, at most `MOST_VALUES`, as float32 `(N,)` on the CPU."""
    flat = tensor.detach().flatten()
    return flat[:: -(-len(flat) // MOST_VALUES)].float().cpu()
