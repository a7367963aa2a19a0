"""The models that a server was started with, by short names, and as parameters of its routes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Request
from fastapi import Path as InPath
from starlette.concurrency import run_in_threadpool

from ..errors import UserError, nearest, printable
from ..runs.locate import run_name
from ..runs.trained_on import data_of_model
from .batching import Batcher
from .http_errors import Refused
from .served_model import ModelVersion, ServedModel, Where


class Registry(dict[str, ServedModel]):
    """Models by the name of their folder, with a number where several have the same.

    Each of the runs (folders or ids on the hub) has data settings of its own, by default those that it was trained
    with; options as of `OpenedRun`. Raises UserError if no run is named, or one is none.
    """

    def __init__(
        self,
        runs: Sequence[str],
        data: Sequence[Where] | None = None,
        batcher: Batcher | None = None,
        **options: Any,
    ) -> None:
        if not runs:
            raise UserError("no run is named; name one or more, such as runs/digits")
        super().__init__()
        self.batcher = batcher or Batcher()
        for source, settings in zip(runs, data or [partial(data_of_model, run) for run in runs], strict=True):
            name = self._new_name(source)
            self[name] = ServedModel(name, source, settings, self.batcher, **options)

    def _new_name(self, source: str) -> str:
        name = printable(run_name(source).rpartition("/")[2]) or "model"
        if name not in self:
            return name
        return next(other for k in range(2, 10_000) if (other := f"{name}-{k}") not in self)

    def __missing__(self, name: str) -> NoReturn:
        """Raise Refused with 404: there is no model of this name."""
        hint = nearest(name, self) or f"; available: {', '.join(self)}"
        raise Refused(404, f"no model '{name[:100]}'{hint}")


# Both are coroutines: a look-up needs no thread, and nobody waits for a model that is being read.
async def _served(
    request: Request, model: Annotated[str, InPath(description="name of a model, see /api/models")]
) -> ServedModel:
    registry: Registry = request.app.state.registry
    return registry[model]


async def _version(served: Annotated[ServedModel, Depends(_served)]) -> ModelVersion:
    current = served.current_version()
    return await run_in_threadpool(served.version) if current is None else current


Served = Annotated[ServedModel, Depends(_served)]
"""The model that a path names, whether it has been saved yet or not."""
Version = Annotated[ModelVersion, Depends(_version)]
"""Its version of now, to be used throughout the request."""
