"""Blocks that hold only their input for the backward pass and compute the rest again there (arXiv:1604.06174).

They compute again in each backward pass, with the same numbers, bit for bit on a CPU: dropout masks and autocast are
those of the forward pass, and batch norms do not record the batch a second time.
"""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A module of one argument; subclasses define `compute`."""

    recomputes = False

    def forward(self, x: Tensor) -> Tensor:
        """Return `compute` of ``x``."""
        if not (self.recomputes and torch.is_grad_enabled()):
            return self.compute(x)
        times = itertools.count()

        def compute(x: Tensor) -> Tensor:
            with frozen_statistics(self, counts=False) if next(times) else contextlib.nullcontext():
                return self.compute(x)

        out: Tensor = checkpoint(compute, x, use_reentrant=False)
        return out

    def compute(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        raise NotImplementedError


def recompute_activations(network: nn.Module) -> None:
    """Make the blocks of a network compute again, except those with spectral norm, whose weights change each time."""
    for block in network.modules():
        if isinstance(block, Recomputable):
            block.recomputes = not any(parametrize.is_parametrized(m) for m in block.modules())


@contextlib.contextmanager
def frozen_statistics(module: nn.Module, *, counts: bool = True) -> Iterator[None]:
    """Run a block of code in which batch norms use the batch's statistics and record at most that there was a batch.

    The authors' code keeps the decoder's running statistics those of reconstructions alone.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, before, strict=True):
        norm.momentum, norm.num_batches_tracked = 0.0, count if counts else None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
