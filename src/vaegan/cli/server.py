"""What ``vaegan studio`` and ``vaegan serve`` share: options, and how a server is started."""

from __future__ import annotations

import importlib.util
import logging
import secrets
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PositiveInt

from ..config import DataSettings, Settings
from ..errors import UserError
from .pictures import DataPictureOptions, data_of_run

_log = logging.getLogger("vaegan")


class ServerOptions(Settings):
    """Options of every command that answers requests."""

    host: str = "127.0.0.1"
    """Address to answer at: by itself only this machine's own. '0.0.0.0' lets others in, who then need the token."""
    port: Annotated[int, Field(ge=0, lt=65536)] = 8000
    """Port to answer at; 0 takes one that is free."""
    token: Annotated[str, Field(min_length=8)] | None = None
    """What requests must bring along; made up and printed if not set, and on this machine alone not asked for."""
    device: str = "cpu"
    """'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best there is."""
    batch_size: PositiveInt = 64
    """Images of requests that come at the same time, computed in one pass."""
    data: DataSettings = DataSettings(source="")


def serve(options: ServerOptions, runs: Sequence[str], *, page: bool) -> None:
    """Open the runs and answer requests about them.

    Raises:
        UserError: if a run is none, the port is taken, or the extra is not installed.
    """
    for name in ("fastapi", "uvicorn", "python_multipart"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"this needs {name}: pip install 'vaegan[studio]'")

    from ..studio.app import create_app
    from ..studio.batching import Batcher
    from ..studio.guard import LOOPBACK, Door
    from ..studio.registry import Library
    from ..studio.server import address_of, bind, is_loopback, start
    from ..training.device import pick_device

    local = is_loopback(options.host)
    token = options.token or (None if local else secrets.token_urlsafe(16))
    listening = bind(options.host, options.port)
    batcher = Batcher(options.batch_size)
    library = Library(runs, [_data(options, run) for run in runs], str(pick_device(options.device)), batcher)
    app = create_app(library, Door(token, (*LOOPBACK, options.host) if local else None), page=page)

    def announce() -> None:
        address = address_of(listening, options.host)
        hash_ = f"#token={token}" if token and page else ""
        _log.info("%s: %s%s (Ctrl-C ends it)", ", ".join(library), address, hash_ if page else "docs")
        if token:
            _log.info("token: %s", token)

    start(app, listening, announce)


def _data(options: ServerOptions, run: str) -> DataSettings:
    """Return where a run's images are: as its settings say, but for what was given now."""
    own = data_of_run(DataPictureOptions(run=run, data=options.data))
    otherwise = DataSettings(source="")
    given = {name: getattr(options.data, name) for name in DataSettings.model_fields}
    return own.model_copy(update={name: value for name, value in given.items() if value != getattr(otherwise, name)})
