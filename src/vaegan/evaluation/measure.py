"""A model measured: samples of every prior, reconstructions, with the yardstick beside them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..data.dataset import ImageData
from ..errors import UserError, nearest
from ..metrics.extractors.features import FeatureExtractor, open_extractor
from ..models import Model
from ..version import __version__
from .code_metrics import code_figures
from .figures import Figures
from .image_metrics import reconstruction_figures, sample_figures, yardstick_figures
from .likelihood_metrics import likelihood_figures
from .reference import open_bench, priors_of, samples_of

log = logging.getLogger("vaegan")
FORMAT = 1


def evaluate(
    model: Model,
    data: ImageData,
    *,
    extractor: FeatureExtractor | None = None,
    num: int = 10_000,
    priors: Sequence[str] | None = None,
    split: str = "test",
    seed: int = 0,
    batch_size: int = 256,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Measure a model of any kind, as far as it has the parts.

    Args:
        model: to measure.
        data: real images, in the model's size.
        extractor: of features; the default of these data if None.
        num: samples, held-out images and images of the yardstick, at most.
        priors: names of those to sample from; all the model has if None.
        split: 'test' or 'train', what it is measured against.
        seed: of samples, choice of images and resampling.
        batch_size: images at a time.
        cache: folder for trained extractors and features of real images; ``~/.cache/vaegan`` if None.

    Returns:
        JSON-able: 'model', 'data', 'extractor', 'seed'; figures (see `Figure`) by name under 'yardstick',
        'reconstructions', and 'samples' by prior; 'left_out', what could not be measured and why; 'seconds'.

    Raises:
        UserError: if there is no prior of a name in `priors`, or the data do not fit.
    """
    start = time.perf_counter()
    chosen = _chosen_priors(model, priors)
    extractor = extractor or open_extractor(None, data, cache=cache)
    bench = open_bench(data, extractor, num=num, split=split, seed=seed, batch_size=batch_size, cache=cache)
    if bench.num_samples < num:
        log.info("there are %d other real images, so as many samples are measured, not %d", bench.num_samples, num)
    left_out = {} if chosen else {"samples": "this model has no prior to sample from"}

    def measured(name: str, make: Callable[[], Figures]) -> Figures:
        begin = time.perf_counter()
        try:
            figures = make()
        except UserError as error:
            left_out[name] = str(error)
            return {}
        log.info("%s measured in %.1f s", name, time.perf_counter() - begin)
        return figures

    def samples(prior: str) -> Figures:
        c = model.condition_of(bench.others)
        return sample_figures(samples_of(model, bench.num_samples, seed, prior, batch_size, c), bench)

    return {
        "format": FORMAT,
        "vaegan": __version__,
        "model": {"kind": model.kind, "latent_dim": model.latent_dim, "info": model.info, "digest": model.digest()},
        "data": {"name": data.name, "fingerprint": data.fingerprint, "split": split, "num": len(bench.images)},
        "extractor": {"name": extractor.name, "fingerprint": extractor.fingerprint},
        "seed": seed,
        "yardstick": measured("yardstick", lambda: yardstick_figures(bench)),
        "reconstructions": measured("reconstructions", lambda: reconstruction_figures(model, bench)),
        "likelihood": measured("likelihood", lambda: likelihood_figures(model, bench)),
        "codes": measured("codes", lambda: code_figures(model, bench)),
        "samples": {prior: measured(f"samples of {prior}", partial(samples, prior)) for prior in chosen},
        "left_out": left_out,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _chosen_priors(model: Model, names: Sequence[str] | None) -> list[str]:
    there = priors_of(model)
    for name in names or ():
        if name not in there:
            known = f"; there are {', '.join(there)}" if there else ", nor any other"
            raise UserError(f"this model has no prior '{name}'{nearest(name, there)}{known}")
    return there if names is None else list(names)
