"""Counting the arithmetic of a piece of code: matrix products and convolutions, as they are dispatched.

Two operations (a product and a sum) for each multiply-add, as `torch.utils.flop_counter` counts; its own mode hooks
modules, which `torch.autograd.grad` on cut graphs does not allow, so this one counts operators alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which matrix products and convolutions are counted, forward and backward.

    Attributes:
        by_operator: operator name -> operations.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_operator: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Operations so far."""
        return sum(self.by_operator.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", func)
        if packet in flop_registry:
            self.by_operator[str(packet)] += int(flop_registry[packet](*args, **(kwargs or {}), out_val=out))
        return out


def count_operations(call: Callable[[], object]) -> int:
    """Return the operations of one call."""
    counter = OperationCounter()
    with counter:
        call()
    return counter.total
