"""FLOPs and memory of a piece of code: matrix products, convolutions and new tensors, counted as they are dispatched.

Each multiply-add counts as two operations, as in `torch.utils.flop_counter`; its own mode hooks modules, which
`torch.autograd.grad` on cut graphs does not allow, so this one counts operators alone.
"""

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_counting: list["OperationCounter"] = []


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which matrix products and convolutions are counted, forward and backward, and tensors made in it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_operator: Counter[str] = Counter()  # operations
        self.num_calls = self.num_elements = 0  # of operators that made a new tensor, of these tensors
        self.num_bytes = self.most_bytes = 0  # of these tensors that exist now, at most at a time
        self._storages: dict[int, int] = {}  # their bytes
        self.counted_elsewhere = 0  # above 0 within `counted_as`

    def __enter__(self) -> "OperationCounter":
        _counting.append(self)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _counting.remove(self)

    @property
    def total(self) -> int:
        """Operations so far."""
        return sum(self.by_operator.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not any(returned.alias_info is not None for returned in func._schema.returns):  # neither view nor in place
            self.num_calls += 1
            for tensor in tree_leaves(out):
                if isinstance(tensor, Tensor):
                    self.num_elements += tensor.numel()
                    self._hold(tensor.untyped_storage())
        packet = getattr(func, "_overloadpacket", func)
        if packet in flop_registry and not self.counted_elsewhere:
            self.by_operator[str(packet)] += int(flop_registry[packet](*args, **(kwargs or {}), out_val=out))
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = storage.nbytes()
            self.num_bytes += storage.nbytes()
            self.most_bytes = max(self.most_bytes, self.num_bytes)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.num_bytes -= self._storages.pop(key)


@contextlib.contextmanager
def counted_as(name: str, operations: int) -> Iterator[None]:
    """Count this many operations for a block, instead of what it dispatches: those of the plain layer it replaces."""
    counters = list(_counting)
    for counter in counters:
        counter.by_operator[name] += operations
        counter.counted_elsewhere += 1
    try:
        yield
    finally:
        for counter in counters:
            counter.counted_elsewhere -= 1


def count_operations(call: Callable[[], object]) -> int:
    """Return the operations of one call."""
    counter = OperationCounter()
    with counter:
        call()
    return counter.total
