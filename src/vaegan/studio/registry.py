"""The runs that a server was started with, by short names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi import Path as InPath

from ..config import DataSettings
from ..errors import UserError, nearest
from .batching import Batcher
from .http_errors import Refused
from .served_model import Opened


class Library(Mapping[str, Opened]):
    """Runs by name: that of their folder, with a number where several have the same.

    Args:
        runs: run folders, folders of saved models, or ids of models on the hub.
        data: where the images of each are; as many.
        device: where models are put.
        batcher: that computes; one of its own if None.

    Raises:
        UserError: if no run is named, or one is none.
    """

    def __init__(
        self,
        runs: Sequence[str],
        data: Sequence[DataSettings] | None = None,
        device: str = "cpu",
        batcher: Batcher | None = None,
    ) -> None:
        if not runs:
            raise UserError("no run is named; name one or more, such as runs/digits")
        self.batcher = batcher or Batcher()
        self._opened: dict[str, Opened] = {}
        for source, settings in zip(runs, data or [DataSettings(source="")] * len(runs), strict=True):
            name = self._new_name(source)
            self._opened[name] = Opened(name, source, settings, self.batcher, device)

    def _new_name(self, source: str) -> str:
        path = Path(source).expanduser()
        path = path.resolve() if path.is_dir() else path
        name = path.parent.name if path.name == "model" else path.name
        if name not in self._opened:
            return name
        return next(other for k in range(2, 10_000) if (other := f"{name}-{k}") not in self._opened)

    def __getitem__(self, name: str) -> Opened:
        """Return a run.

        Raises:
            Refused: with 404 if there is none of this name.
        """
        if name not in self._opened:
            hint = nearest(name, self._opened) or f"; there are {', '.join(self._opened)}"
            raise Refused(404, f"no model '{name[:100]}'{hint}")
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)


async def _find(
    request: Request, model: Annotated[str, InPath(description="name of a model, see /api/models")]
) -> Opened:
    library: Library = request.app.state.library
    return library[model]  # a look-up: as a coroutine it needs no thread


OfModel = Annotated[Opened, Depends(_find)]
"""The run that a request's path names."""
