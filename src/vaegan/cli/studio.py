"""``vaegan studio``: a web page to look around in what models have learned."""

from __future__ import annotations

from typing import Annotated

from .options import Arg
from .server import ServerOptions, serve


class Options(ServerOptions):
    """Look around in what models have learned, on a web page; for programs, the same as JSON (see /docs there).

    New images by prior, label and seed; your own images with code, reconstruction and error; attributes and leading
    dimensions of the code on sliders; paths between images; clusters and a map of codes; losses and snapshots of a run,
    also while it goes on. Images of each run's data are shown where these are found; --data names them otherwise.
    """

    runs: Annotated[tuple[str, ...], Arg("RUN RUN ...", positional=True)] = ()
    """Run folders, folders of saved models, or ids of models on the hub."""


def run(options: Options) -> None:
    """Open the page until Ctrl-C."""
    serve(options, options.runs, page=True)
