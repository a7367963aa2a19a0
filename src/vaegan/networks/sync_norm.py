"""Batch norm over the batch of all processes (torch's own works on GPUs alone).

The mean and the mean square are averaged over processes in a differentiable all-reduce, whose backward sums the
cotangents of all processes; so the gradients, averaged over processes, are those of one process on the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """Sum over processes, forward, backward, and backward through that (the R1 penalty needs it)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.apply(gradients[0])  # type: ignore[no-any-return, no-untyped-call]


class SyncBatchNorm(_BatchNorm):
    """Batch norm of vectors (B, C) or maps (B, C, H, W), with the statistics of all processes' images."""

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.dim() in (2, 4)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input``; in evaluation as any batch norm."""
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        others = [d for d in range(x.dim()) if d != 1]
        count = torch.tensor([x.numel() / x.shape[1]], dtype=x.dtype, device=x.device)
        total = _Sum.apply(torch.cat([x.sum(others), x.square().sum(others), count]))  # type: ignore[no-untyped-call]
        num = total[-1]
        mean, square = total[: x.shape[1]] / num, total[x.shape[1] : -1] / num
        variance = (square - mean.square()).clamp(min=0.0)
        if self.track_running_stats and self.momentum:
            with torch.no_grad():
                assert self.running_mean is not None
                assert self.running_var is not None
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_((variance * num / (num - 1)).to(self.running_var.dtype), self.momentum)
        shape = [1, -1, *[1] * (x.dim() - 2)]
        out: Tensor = (x - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        out = out.to(input.dtype)
        return out


def synchronise_batch_norms(module: nn.Module) -> None:
    """Turn every batch norm of ``module`` into one over all processes, with the same weights and names."""
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.__class__ = SyncBatchNorm  # type: ignore[assignment]
