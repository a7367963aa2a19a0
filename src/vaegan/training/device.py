"""Device, precision and memory layout: what this machine computes fastest."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import time
from collections.abc import Callable

import torch

from ..errors import UserError
from ..objectives.interface import Autocast

log = logging.getLogger("vaegan")

# The simplest first: it is used unless another is clearly faster.
FORMS = (("fp32", "contiguous"), ("fp32", "channels_last"), ("bf16", "contiguous"), ("bf16", "channels_last"))


def pick_device(name: str) -> torch.device:
    """Return the device of ``name``, the best there is for ``auto``; of several GPUs this process's own."""
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # torchrun's: which of this machine's processes this is
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UserError(f"--device: {name!r} is not available; try cpu or auto") from error
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
    return device


def describe_device(device: torch.device) -> str:
    """Return its display name: ``cpu``, ``mps``, or ``cuda`` with the name of the GPU."""
    return f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


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


def choose_form(
    precision: str, memory_format: str, make_step: Callable[[str, str], Callable[[], object]], *, has_maps: bool
) -> tuple[str, str]:
    """Choose precision and memory format; where ``auto`` leaves the choice, by timing a few steps.

    ``make_step`` makes, for a precision and a memory format, a training step to measure, on copies of the networks.
    Without maps the layout does not matter. The plain names are returned unless others are at least a tenth faster.
    """
    forms = [
        form
        for form in FORMS
        if precision in ("auto", form[0])
        and (memory_format in ("auto", form[1]) if has_maps or memory_format != "auto" else form[1] == "contiguous")
    ]
    if len(forms) == 1:
        return forms[0]
    seconds = {form: _seconds(make_step(*form)) for form in forms}
    best = min(forms, key=lambda form: seconds[form])
    chosen = best if seconds[best] < 0.9 * seconds[forms[0]] else forms[0]
    measured = ", ".join(f"{p} {m} {1e3 * seconds[p, m]:.3g} ms" for p, m in forms)
    log.info("time per step: %s; using %s %s", measured, *chosen)
    return chosen


def _seconds(step: Callable[[], object], *, tries: int = 5, at_most: float = 3.0) -> float:
    """The shortest of a few timed calls after one to warm up, in seconds."""
    start = time.perf_counter()
    step()
    shortest = float("inf")
    for _ in range(tries):
        begin = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        end = time.perf_counter()
        shortest = min(shortest, end - begin)
        if end - start > at_most:
            break
    return shortest


def copies(modules: dict[str, torch.nn.Module]) -> dict[str, torch.nn.Module]:
    """Copies of networks, for trial steps."""
    return {name: copy.deepcopy(module) for name, module in modules.items()}
