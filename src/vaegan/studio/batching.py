"""Requests that arrive at the same time share one pass through the network.

One thread computes. Meanwhile requests queue up; then all that need the same function are joined to one batch, up to a
bound, and each gets its share of the output. So no request waits for others to arrive: a single one is computed at
once, and the more there are the larger the batches.

It is our own because frameworks for serving models bring a server of their own.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .http_errors import Refused

Outputs = tuple[Tensor, ...]
Function = Callable[..., Outputs]


@dataclass
class _Job:
    function: Function
    inputs: Outputs
    future: Future[Outputs] = field(default_factory=Future)

    def joins(self, other: "_Job") -> bool:
        return self.function == other.function and len(self.inputs) == len(other.inputs)


class Batcher:
    """A thread that computes, and its queue of at most ``max_waiting`` requests.

    A joint batch has at most ``max_rows`` rows, unless a single request has more; with 1, none are joined.
    """

    def __init__(self, max_rows: int = 64, max_waiting: int = 256) -> None:
        self.max_rows, self.max_waiting = max_rows, max_waiting
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="vaegan-batcher", daemon=True)
        self._thread.start()

    def submit(self, function: Function, *inputs: Tensor | None) -> Future[Outputs]:
        """Queue a function of independent rows, from tensors `(B, ...)` to such; Refused with 429 if too many wait.

        It is called without the inputs that are None.
        """
        job = _Job(function, tuple(each for each in inputs if each is not None))
        with self._changed:
            if not self._open or len(self._waiting) >= self.max_waiting:
                raise Refused(429, "too many requests are waiting; try again in a second")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Compute what is queued and end the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next():
            self._answer(group)
            del group  # frees the results before the next request arrives

    def _answer(self, group: list[_Job]) -> None:
        try:
            self._compute(group)
        except Exception as error:
            if len(group) == 1:
                group[0].future.set_exception(error)
            else:  # the error of one request must not fail the others
                for job in group:
                    self._answer([job])

    def _next(self) -> list[_Job]:
        """Wait, and return the jobs of the next pass: the first in the queue and those that join it."""
        with self._changed:
            while True:
                while not self._waiting and self._open:
                    self._changed.wait()
                group: list[_Job] = []
                rows, later = 0, deque[_Job]()
                while self._waiting:
                    job = self._waiting.popleft()
                    num = len(job.inputs[0])
                    fits = not group or (job.joins(group[0]) and rows + num <= self.max_rows)
                    if not fits:
                        later.append(job)
                    elif job.future.set_running_or_notify_cancel():
                        group.append(job)
                        rows += num
                self._waiting = later
                if group or not self._open:
                    return group

    def _compute(self, group: list[_Job]) -> None:
        columns = zip(*(job.inputs for job in group), strict=True)
        inputs = [torch.cat(column) if len(group) > 1 else column[0] for column in columns]
        outputs = group[0].function(*inputs)
        sizes = [len(job.inputs[0]) for job in group]
        shares = zip(*(torch.split(output, sizes) for output in outputs), strict=True)
        for job, share in zip(group, shares, strict=True):
            job.future.set_result(share)
