"""Device, precision and memory layout: what this machine computes fast."""

import contextlib
import logging
import os
import time
from pathlib import Path

import torch

from ..errors import UserError
from ..objectives.interface import Autocast
from ..settings_io import number_in

log = logging.getLogger("vaegan")


def pick_device(name: str) -> torch.device:
    """Return the device of ``name``, the best there is for ``auto``; of several GPUs this process's own."""
    # Which of this machine's processes this is, as torchrun and srun say.
    local_rank = number_in(os.environ, "LOCAL_RANK", number_in(os.environ, "SLURM_LOCALID", 0))
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank % torch.cuda.device_count())
        name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UserError(f"--device: {name!r} is not available; try cpu or auto") from error
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
    if device.type == "cpu":
        _leave_busy_cores()
    return device


def _leave_busy_cores() -> None:
    """Compute on the cores that other programs leave free, unless the user chose a number of threads.

    Torch's threads wait for the slowest of them, so a core shared with another program slows all (by 2 to 100 times:
    `benchmarks/beside.py`). One thread less leaves that core to it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    if "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() != cores:
        return
    busy = round(_busy_cores())
    if busy and cores > 1:
        torch.set_num_threads(max(1, cores - busy))
        log.info(
            "other programs use %d of %d cores: computing on %d; set OMP_NUM_THREADS to choose",
            min(busy, cores), cores, torch.get_num_threads(),
        )  # fmt: skip


def _busy_cores() -> float:
    """Cores that other programs use on average, of those this process may run on; 0 where the system does not say."""

    def used() -> float:
        own = os.times()
        ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.split(" ")[0] in ours]
        ticks = sum(sum(map(int, row[1:4] + row[6:9])) for row in rows)  # all but idle and waiting for a disk
        return ticks / os.sysconf("SC_CLK_TCK") - own.user - own.system

    try:
        before, begin = used(), time.perf_counter()
        time.sleep(0.2)
        return max(0.0, (used() - before) / (time.perf_counter() - begin))
    except OSError:
        return 0.0


def autocast_for(precision: str, device: torch.device) -> Autocast:
    """Make contexts for forward passes in ``precision``: ``fp32`` or ``bf16``."""
    if precision == "fp32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)


def layout_of(memory_format: str) -> torch.memory_format:
    """Torch's memory format by its name in settings."""
    return torch.channels_last if memory_format == "channels_last" else torch.contiguous_format


def tune_allocator() -> None:
    """Let glibc, if present, retain freed memory, since each step allocates the same sizes; a new page costs more."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too, not each time as new pages
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap is not handed back


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of the device's memory; of the machine's for a CPU, None where that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "cpu" and hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 arithmetic; a CPU without it emulates bf16, 10 to 100 times slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return True
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def number_format(precision: str, memory_format: str, network: str, device: torch.device) -> tuple[str, str]:
    """Return precision and memory format, with what ``auto`` means for a kind of network on this device.

    The same for each run, so that its seed decides the weights; benchmarks/README.md has the measurements behind it.
    """
    if precision == "auto":
        precision = "bf16" if device.type != "mps" and computes_bf16(device) else "fp32"
    if memory_format == "auto":
        memory_format = "channels_last" if precision == "bf16" and network == "conv" else "contiguous"
    return precision, memory_format
