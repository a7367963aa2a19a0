"""``vaegan serve``: a model as a JSON API, for programs; and what ``vaegan studio`` shares with it."""

import importlib.util
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Annotated
from urllib.parse import quote

from pydantic import Field

from ..errors import UserError
from ..progress import log
from ..runs.trained_on import data_of_model
from ..settings import Count, DataSettings
from .common import Device, RunName, ShownBands, with_explicit
from .options import CommandOptions


class ServerOptions(CommandOptions):
    """Options of the commands that start a server."""

    host: str = "127.0.0.1"
    """Address to listen on; the default accepts only this machine, '0.0.0.0' other machines too, with the token."""
    port: Annotated[int, Field(ge=0, lt=65536)] = 8000
    """Port to listen on; 0 picks a free one."""
    token: Annotated[str, Field(min_length=8)] | None = None
    """Token that requests need. Default: none on this machine; for other hosts a random one, which is printed."""
    device: Device = "cpu"
    batch_size: Count = 64
    """Maximum number of images in a forward pass that concurrent requests share."""
    bands: ShownBands = ()
    data: DataSettings = DataSettings(source="")


class Options(ServerOptions):
    """Serve a model as JSON, PNG, GIF or arrays: encode, decode, sample, edit, interpolate and more.

    Concurrent requests share one pass through the network. The API is documented at /docs, and as OpenAPI at
    /openapi.json.
    """

    run: RunName


def run(options: Options) -> None:
    """Serve until Ctrl-C."""
    serve(options, [options.run], page=False)


def serve(options: ServerOptions, runs: Sequence[str], *, page: bool) -> None:
    """Open the runs and serve them, with or without the web page."""
    for name in ("fastapi", "uvicorn", "python_multipart"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"this needs {name}: pip install 'vaegan[studio]'")

    from ..studio.app import create_app
    from ..studio.batching import Batcher
    from ..studio.guard import LOOPBACK, Access
    from ..studio.registry import Registry
    from ..studio.server import address_of, bind, is_loopback, start
    from ..training.device import pick_device

    local = is_loopback(options.host)
    token = options.token or (None if local else secrets.token_urlsafe(16))
    listening = bind(options.host, options.port)
    batcher = Batcher(options.batch_size)
    device = str(pick_device(options.device))
    data = [partial(_data_of, run, options) for run in runs]  # anew if a run is trained again
    registry = Registry(runs, data, batcher, device=device, bands=options.bands)
    app = create_app(registry, Access(token, (*LOOPBACK, options.host) if local else None), page=page)

    def announce() -> None:
        address = address_of(listening, options.host)
        fragment = f"#token={quote(token, safe='')}" if token and page else ""
        log.info("%s: %s%s (Ctrl-C to stop)", ", ".join(registry), address, fragment if page else "docs")
        if token:
            log.info("token: %s", token)

    start(app, listening, announce)


def _data_of(run: str, options: ServerOptions) -> DataSettings:
    return with_explicit(data_of_model(run), options)
