"""``vaegan studio``: a web page to explore models."""

from .common import RunNames
from .serve import ServerOptions, serve


class Options(ServerOptions):
    """Explore models on a web page; programs get the same as JSON (see /docs there).

    Samples by prior, label and seed; your own images with code, reconstruction and error; sliders for attributes and
    the leading dimensions of the code; interpolation; clusters and a projection of codes; losses and snapshots of a
    run, also during training. Each run uses the data named in its settings; --data overrides it.
    """

    runs: RunNames = ()


def run(options: Options) -> None:
    """Serve the page until Ctrl-C."""
    serve(options, options.runs, page=True)
