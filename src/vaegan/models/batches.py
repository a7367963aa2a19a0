"""How a model computes: in evaluation mode, without gradients, some images at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

MOST_PIXELS = 2**18
"""Of the images that are computed at a time: hidden layers hold hundreds of numbers for each."""


def in_batches(
    module: nn.Module, function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], batch_size: int
) -> tuple[Tensor, ...]:
    """Return what a function gives for all inputs, `batch_size` rows of them at a time.

    Args:
        module: whose parts the function uses; in evaluation mode meanwhile, and inputs are moved to its device.
        function: inputs of some rows -> outputs of as many.
        inputs: tensors of equally many rows.
        batch_size: rows at a time.
    """
    like = next(module.parameters(), torch.empty(0))
    with _evaluating(module), torch.inference_mode():
        batches = zip(*(torch.split(each, batch_size) for each in inputs), strict=True)
        outputs = [function(*(each.to(like) for each in batch)) for batch in batches]
    # Joined outside of inference mode, the results are ordinary tensors that may enter later training.
    return tuple(torch.cat(chunks) for chunks in zip(*outputs, strict=True))


def normal(shape: tuple[int, ...], seed: int | None) -> Tensor:
    """Draw from N(0, 1) on the CPU, so that a seed means the same numbers on every device."""
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all inside it into evaluation mode, and afterwards each back into its own."""
    modes = [(inner, inner.training) for inner in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for inner, training in modes:
            inner.training = training
