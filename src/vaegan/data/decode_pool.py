"""Decoding many images, in chunks, in worker processes; the results come in order.

A worker is a fresh interpreter (spawn): nothing of the parent's threads or GPU state is copied. It ignores
Ctrl-C, which is the parent's to handle, and ends when the parent does, however that ends.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from PIL import UnidentifiedImageError

from ..errors import UserError
from ..pixels import BYTES, Numbers
from .dataset import Items, Positions
from .image_file import ImageHeader, OutOfRangeError, Target, prepare, read_header

CHUNK = 64
_CHUNK_BYTES = 2**25  # of prepared images; the parent holds up to two chunks for each worker
_FEW = 256  # fewer images are decoded in this process: starting workers would take longer

T = TypeVar("T")
_items: Items | None
_one_hides = threading.Lock()


@dataclass
class DecodedChunk:
    """Images decoded together, ``(n, H, W, C)``, their positions, and why others cannot be read, or must not be."""

    images: Numbers
    positions: list[int]
    unreadable: list[tuple[int, str]]
    refused: list[tuple[int, OutOfRangeError]] = field(default_factory=list)  # outside of the range
    values: list[float] = field(default_factory=list)  # lowest and highest numbers of files, also of those refused
    num_deeper: int = 0  # images of more than 8 bits, of which 8 are kept


def chunks(positions: Positions, image_bytes: int = 1) -> list[Positions]:
    """Return positions in pieces that are decoded together, fewer of prepared images of many bytes each."""
    size = max(1, min(CHUNK, _CHUNK_BYTES // image_bytes))
    return [positions[i : i + size] for i in range(0, len(positions), size)]


def decode_chunk(items: Items, positions: Positions, target: Target) -> DecodedChunk:
    """Decode the images at ``positions``; those that cannot be read are listed, not raised."""
    if hasattr(items, "read_chunk") and target.channels in (1, 3):
        made = target.pixels.converted(items.read_chunk(positions, target), target.source("uint8"))
        return DecodedChunk(made, positions.tolist(), [])
    chunk = DecodedChunk(np.empty((len(positions), *target.shape), target.dtype), [], [])
    with warnings.catch_warnings(action="ignore"):  # Pillow's; what matters of them ends as an exception
        for i in positions.tolist():
            try:
                with items[i] as image:
                    chunk.num_deeper += target.pixels.dtype == BYTES.dtype and read_header(image).depth != BYTES.dtype
                    chunk.images[len(chunk.positions)] = prepare(image, target, chunk.values)
            except UserError:
                raise
            except OutOfRangeError as error:
                chunk.refused.append((i, error))
                chunk.values += [error.low, error.high]
            except Exception as error:  # damaged images make Pillow raise nearly anything
                reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
                chunk.unreadable.append((i, "not an image" if isinstance(error, UnidentifiedImageError) else reason))
            else:
                chunk.positions.append(i)
    chunk.images = chunk.images[: len(chunk.positions)]
    chunk.values = [min(chunk.values), max(chunk.values)] if chunk.values else []
    return chunk


def read_headers(items: Items, positions: Positions) -> set[ImageHeader]:
    """Return the different headers of the images at ``positions``; unreadable ones are skipped."""
    headers = set()
    with warnings.catch_warnings(action="ignore"):
        for i in positions.tolist():
            try:
                with items[i] as image:
                    headers.add(read_header(image))
            except UserError:  # a library is missing
                raise
            except Exception:  # damaged images make Pillow raise nearly anything
                continue
    return headers


def in_order(
    work: Callable[..., T], items: Items, chunks: Sequence[Positions], workers: int | None, *arguments: Any
) -> Generator[T, None, None]:
    """Yield ``work(items, chunk, *arguments)`` for each chunk, in order, from several processes if there are many.

    ``work`` is a function of a module, such as `decode_chunk`; items are pickled once for each worker. Raises
    UserError if a worker was killed.
    """
    num_workers = min(workers or num_cores(), len(chunks))
    if num_workers == 1 or sum(map(len, chunks)) < _FEW:
        yield from (work(items, chunk, *arguments) for chunk in chunks)
        return
    pool = start_pool(num_workers, items)
    try:
        with no_killed_worker():
            waiting: deque[Future[T]] = deque()
            for chunk in chunks:
                waiting.append(submit(pool, _work_here, work, chunk, *arguments))
                if len(waiting) > 2 * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def no_killed_worker() -> Iterator[None]:
    """Raise the UserError that a killed worker process means."""
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed, perhaps for lack of memory; try --data.workers 1") from error


def start_pool(num_workers: int, items: Items | None = None) -> ProcessPoolExecutor:
    """Return a pool whose processes start when work is submitted, and hold the items."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, context, initializer=_start_worker, initargs=(items,))


def submit(pool: Executor, work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Submit work to a pool, which may start a process."""
    with _without_main():
        return pool.submit(work, *arguments)


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _work_here(work: Callable[..., T], chunk: Positions, *arguments: Any) -> T:
    return work(_items, chunk, *arguments)


def _start_worker(items: Items | None) -> None:
    global _items
    _items = items
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # earlier it is blocked, except on Windows
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, so that a worker that starts now does not run the user's script again, and Ctrl-C."""
    with _one_hides:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        before = None if os.name == "nt" else signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
