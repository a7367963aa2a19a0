"""Decoding many images, in chunks, in worker processes; the results come in order.

A worker is a fresh interpreter (spawn): nothing of the parent's threads or GPU state is copied. It ignores
Ctrl-C, which is the parent's to handle, and ends when the parent does, however that ends.
"""

from __future__ import annotations

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
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .dataset import Look
from .image_file import ChunkReader, Reader, Target, look_at, prepare

CHUNK = 64
FEW = 256  # fewer images than this are decoded here: starting workers would take longer

T = TypeVar("T")
_reader: Reader


@dataclass(frozen=True)
class Decoded:
    """A chunk of decoded images.

    Attributes:
        images: uint8 ``(n, H, W, C)``, those that could be read.
        kept: which of the chunk's keys these are.
        bad: the others, and why.
    """

    images: NDArray[np.uint8]
    kept: list[int]
    bad: list[tuple[int, str]]


def decode_chunk(reader: Reader | ChunkReader, keys: Sequence[Any], target: Target) -> Decoded:
    """Decode the images of ``keys``; one that cannot be read is told, not raised."""
    if isinstance(reader, ChunkReader):
        return Decoded(reader.read_chunk(keys, target), list(range(len(keys))), [])
    images = np.empty((len(keys), *target.shape), np.uint8)
    kept: list[int] = []
    bad: list[tuple[int, str]] = []
    with _quiet():
        for i, key in enumerate(keys):
            try:
                with reader.open(key) as image:
                    images[len(kept)] = prepare(image, target)
            except UserError:
                raise
            except Exception as error:  # damaged pictures make Pillow raise nearly anything
                bad.append((i, _reason(error)))
            else:
                kept.append(i)
    return Decoded(images[: len(kept)], kept, bad)


def look_chunk(reader: Reader, keys: Sequence[Any]) -> set[Look]:
    """Collect how the images of ``keys`` look by their headers; unreadable ones are passed over."""
    looks = set()
    with _quiet():
        for key in keys:
            with contextlib.suppress(Exception), reader.open(key) as image:
                looks.add(look_at(image))
    return looks


def in_order(
    work: Callable[..., T], reader: Reader, chunks: Sequence[Sequence[Any]], workers: int | None, *rest: Any
) -> Generator[T, None, None]:
    """Yield ``work(reader, chunk, *rest)`` for each chunk, in order, from several processes if there are many.

    Args:
        work: a function of a module, such as `decode_chunk`.
        reader: opens the images; pickled once for each worker.
        chunks: keys of the images.
        workers: processes; the number of cores if None.
        rest: further arguments.

    Raises:
        UserError: if a worker was killed.
    """
    num_workers = min(workers or _num_cores(), len(chunks))
    if num_workers == 1 or sum(map(len, chunks)) < FEW:
        yield from (work(reader, chunk, *rest) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, context, initializer=_start_worker, initargs=(reader,))
    try:
        waiting: deque[Future[T]] = deque()
        for chunk in chunks:
            with _without_main():
                waiting.append(pool.submit(_work_here, work, chunk, *rest))
            if len(waiting) > 2 * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process that decodes images was killed, perhaps for want of memory; try --data.workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _work_here(work: Callable[..., T], chunk: Sequence[Any], *rest: Any) -> T:
    return work(_reader, chunk, *rest)


def _start_worker(reader: Reader) -> None:
    global _reader
    _reader = reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, so that a worker that starts now does not run the user's script again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings; what matters of them ends as an exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
