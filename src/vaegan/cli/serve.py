"""``vaegan serve``: a model behind a JSON API, for programs."""

from __future__ import annotations

from typing import Annotated

from .options import Arg
from .server import ServerOptions, serve


class Options(ServerOptions):
    """Answer requests about a model as JSON, PNG, GIF or arrays: encode, decode, sample, edit, interpolate and more.

    Requests that come at the same time share one pass through the network. What can be asked for is listed at /docs,
    and as OpenAPI at /openapi.json.
    """

    run: Annotated[str, Arg("RUN", positional=True)]
    """Run folder, folder of a saved model, or id of a model on the hub."""


def run(options: Options) -> None:
    """Answer requests until Ctrl-C."""
    serve(options, [options.run], page=False)
