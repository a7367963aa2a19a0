"""Several processes, one training: ranks, averaging, batch norm, an orderly start and end.

Gradients are averaged per part in one flat all-reduce, explicitly. Wrappers that hook backward passes
(DistributedDataParallel, FSDP) expect one backward pass per step and would mix up the gradients of several.
"""

import contextlib
import gc
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import UserError, first_line
from .settings_io import number_in

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that train together."""

    rank: int = 0  # of this process, 0 writes files and logs
    size: int = 1  # number of processes
    local_rank: int = 0  # of this process on its machine; picks the GPU

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where tensors have to be that travel between processes."""
        return torch.device("cuda" if self.size > 1 and dist.get_backend() == "nccl" else "cpu")

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace floating-point tensors of any shapes by their means over all processes, in one all-reduce."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.detach().reshape(-1).to(tensors[0].dtype) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for t in tensors:
            t.detach().copy_(flat[start : start + t.numel()].view(t.shape))
            start += t.numel()

    def share_first(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        if self.size > 1:
            for t in tensors:
                dense = t.detach().contiguous()
                dist.broadcast(dense, 0)
                t.detach().copy_(dense)

    def share_bytes(self, data: bytes | None, of: int = 0) -> bytes:
        """Give the bytes of one process, the first if no other is named, to all; those of the others are unused."""
        own = data if self.rank == of else b""
        assert own is not None
        if self.size == 1:
            return own
        length = torch.tensor([len(own)], dtype=torch.int64, device=self.device)
        dist.broadcast(length, of)
        buffer = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        if own:
            buffer.copy_(torch.frombuffer(bytearray(own), dtype=torch.uint8))
        dist.broadcast(buffer, of)
        return buffer.cpu().numpy().tobytes()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        highest = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(highest, dist.ReduceOp.MAX)
        return bool(highest.item())

    def together(self, work: Callable[[], T]) -> T:
        """Run work that may raise a `UserError`; if it fails in one process, all raise one."""
        error = None
        try:
            result = work()
        except UserError as failed:
            error = failed
        if self.any(error is not None):
            raise error or UserError("stopped because another process failed; see its message")
        return result

    def first(self, work: Callable[[], T]) -> T | None:
        """Run work in the first process alone, and return None in the others; all raise a `UserError` of it.

        All processes call it; so ``work`` itself must not communicate.
        """
        return self.together(lambda: work() if self.is_first else None)

    def from_first(self, work: Callable[[], Any]) -> Any:
        """Run work in the first process alone, and give what it returns, which must be plain JSON, to all."""
        return json.loads(self.share_bytes(json.dumps(self.first(work)).encode()))

    def once_per_machine(self, open_: Callable[[], T]) -> T:
        """Open what is made on disk first; one process of each machine makes it, the others then read it."""
        makes = self.local_rank == 0
        opened = self.together(lambda: open_() if makes else None)
        return self.together(lambda: open_() if opened is None else opened)

    def own(self, steps: Sequence[T]) -> Sequence[T]:
        """Return this process's share of the steps of some work: those i with i mod size = rank."""
        return steps[self.rank :: self.size]

    def gathered(self, rows: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return what all computed, each process for its `own` steps: joined in the order of steps, on the CPU.

        So that the result does not depend on the number of processes, steps must not.
        """
        own = self.together(lambda: [{name: t.cpu() for name, t in row.items()} for row in rows])
        parts = [own]
        if self.size > 1:
            buffer = io.BytesIO()
            torch.save(own, buffer)
            parts = [load_bytes(self.share_bytes(buffer.getvalue(), rank)) for rank in range(self.size)]
        num = sum(map(len, parts))
        ordered = [parts[i % self.size][i // self.size] for i in range(num)]
        return {name: torch.cat([row[name] for row in ordered]) for name in ordered[0]}


ALONE = World()


@contextlib.contextmanager
def joined(device: torch.device | str) -> Iterator[World]:
    """Join torchrun's processes (read from the environment), by NCCL on GPUs and gloo elsewhere; leave in order.

    Raises UserError if they cannot be joined.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _, size = _torchrun(os.environ)
    if size == 1 or dist.is_initialized():
        yield current()
        return
    # The others wait while the first process decodes images, which may take long.
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=4))
        dist.barrier()  # one that leaves at once, by an error, breaks the start of those that are not yet connected
    except (ValueError, RuntimeError) as error:
        if dist.is_initialized():
            dist.destroy_process_group()
        why = f"cannot join the {size} processes of WORLD_SIZE ({first_line(error)})"
        how = "start all of them with torchrun, or unset it"
        if device.type == "cuda":  # NCCL connects them at the barrier, and refuses two on one GPU
            how += "; with --device cuda each has its own GPU if a machine has no more of them than GPUs"
        raise UserError(f"{why}; {how}") from error
    failed = True
    try:
        yield current()
        failed = False
    finally:
        # Gloo aborts now and then if tensors of pending work outlive the group.
        gc.collect()
        if not failed:
            dist.barrier()
        dist.destroy_process_group()


def current() -> World:
    """The world this process is in now."""
    if not dist.is_initialized():
        return World()
    return World(dist.get_rank(), dist.get_world_size(), number_in(os.environ, "LOCAL_RANK", dist.get_rank()))


def share_of_work(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return (r, n): which process this is, and of how many, of work that needs no communication.

    A SLURM array of n tasks, and the processes that torchrun or srun starts in each, all count. Raises UserError if a
    variable is not a number that fits, or the array's numbers are not evenly spaced.
    """
    number = partial(number_in, environment)
    first, step = number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_STEP", 1, 1)
    task, tasks = number("SLURM_ARRAY_TASK_ID", first), number("SLURM_ARRAY_TASK_COUNT", 1, 1)
    place, rest = divmod(task - first, step)
    if rest or not 0 <= place < tasks:
        raise UserError(f"the numbers of this SLURM array are not evenly spaced ({task}); set --process R/N")
    if "WORLD_SIZE" in environment:
        rank, size = _torchrun(environment)
    else:  # srun's; what sbatch says of its script is no sign of several processes
        size = number("SLURM_STEP_NUM_TASKS", 1, 1)
        rank = number("SLURM_PROCID", 0, 0, size) if size > 1 else 0
    return place * size + rank, tasks * size


def _torchrun(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return rank and number of torchrun's processes; UserError if its variables contradict each other."""
    size = number_in(environment, "WORLD_SIZE", 1, 1)
    if size == 1:
        return 0, 1
    if "RANK" not in environment:
        raise UserError(f"environment variable WORLD_SIZE is {size}, but RANK is missing; use torchrun, or unset it")
    number_in(environment, "LOCAL_RANK", 0, 0, number_in(environment, "LOCAL_WORLD_SIZE", size, 1, size + 1))
    return number_in(environment, "RANK", 0, 0, size), size


def load_bytes(data: bytes) -> Any:
    """Read what `torch.save` wrote, as plain data and tensors only: nothing is unpickled."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


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
    """Batch norm of vectors (B, C) or maps (B, C, H, W) over the batch of all processes (torch's needs GPUs).

    The mean and the mean square are averaged over processes in a differentiable all-reduce, whose backward sums the
    cotangents of all processes; so the gradients, averaged over processes, are those of one process on the whole batch.
    """

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
        return out.to(input.dtype)


def synchronise_batch_norms(module: nn.Module) -> None:
    """Turn every batch norm of ``module`` into one over all processes, with the same weights and names."""
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.__class__ = SyncBatchNorm  # type: ignore[assignment]
