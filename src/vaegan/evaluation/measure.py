"""Evaluation of one model: samples of every prior and reconstructions beside the real-data baseline."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..data.dataset import ImageData
from ..distributed import ALONE, World
from ..errors import UserError, nearest
from ..metrics.extractors.features import FeatureExtractor, open_extractor
from ..metrics.figures import GROUPS, Figure, Figures, as_json, from_json, prior_in_words
from ..metrics.image_quality import BLURRED
from ..metrics.memorisation import in_words
from ..models import Model
from ..version import __version__
from .code_metrics import code_figures, likelihood_figures
from .image_metrics import Row, baseline_figures, reconstruction_figures, sample_figures
from .reference import NUM_COPIES, decoded, open_real_images, priors_of

log = logging.getLogger("vaegan")
FORMAT = 2  # raise it when figures change; in 1 distances of reconstructions had wider intervals
ENOUGH = 250
"""Real images that a distance needs: twice the 128 dimensions of the usual features. The real-data baseline grows with
fewer: digits with a 3x3 blur are 20 times as far as it from 1,800 others, 4 times from 250, 1.5 times from 60."""


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
    world: World = ALONE,
    published: Mapping[str, Any] = {},
    draws: int | None = None,
    on_values: Callable[[Row], object] = lambda values: None,
) -> dict[str, Any]:
    """Measure everything that the model's parts allow; of images of another size than its own, reconstructions.

    Args:
        model: to measure.
        data: real images, in the model's size or another one that it takes.
        extractor: of features; the default for these data if None.
        num: samples, held-out images and images of the baseline, at most.
        priors: names of priors to sample from; all the model has if None.
        split: 'test' or 'train', the reference to measure against.
        seed: of samples, choice of images and resampling.
        batch_size: images at a time.
        cache: folder for trained extractors and features of real images; ``vaegan`` in $XDG_CACHE_HOME or ~/.cache if
            None.
        world: of the processes that share the work; all get the same figures, whatever their number.
        published: networks that measure reconstructions, too, see `metrics.extractors.features.open_published`.
        draws: codes of each image for the importance-weighted bound; if None, 64 for 256 images.
        on_values: called with numbers `(N,)` of the reconstructions by name; see `reconstruction_figures`.

    Returns:
        JSON-able: 'model', 'data', 'extractor', 'published', 'seed', 'draws'; figures (`metrics.figures.Figure`) by
        name under 'yardstick' (the real-data baseline), 'reconstructions', 'likelihood', 'codes' and, by prior,
        'samples'; by prior the 'guidance' of those that have one; 'left_out', what could not be measured and why;
        'seconds'; 'conclusion' in words, of the 'default_prior'.

    Raises:
        UserError: if the model lacks a prior in `priors`, or the data do not fit.
    """
    start = time.perf_counter()
    data.check_held_out(data.name)
    is_own_size = data.image_shape == model.image_shape
    chosen = chosen_priors(model, priors) if is_own_size else []
    extractor = extractor or open_extractor(None, data, cache=cache)
    options: dict[str, Any] = {"num": num, "split": split, "seed": seed, "batch_size": batch_size, "cache": cache}
    real = open_real_images(data, extractor, world=world, published=published, **options)
    if real.num_samples < num:
        log.info(
            "the real-data baseline has only %d images: measuring that many samples, not %d", real.num_samples, num
        )
    of_own_size = "it is measured only at the model's own size, " + "x".join(map(str, model.image_shape[1:]))
    left_out = {} if chosen else {"samples": "this model has no prior to sample from" if is_own_size else of_own_size}
    if not data.pixels.cell:
        left_out["bits per dimension"] = "not defined for floats, which have no steps between them"

    def measured(name: str, make: Callable[[], Figures]) -> dict[str, dict[str, Any]]:
        begin = time.perf_counter()
        if name in ("likelihood", "codes") and not is_own_size:
            left_out[name] = of_own_size
            return {}
        try:
            figures = make()
        except UserError as error:
            left_out[name] = str(error)
            return {}
        log.info("%s measured in %.1f s", GROUPS.get(name, name), time.perf_counter() - begin)
        return as_json(figures)

    def samples(prior: str) -> Figures:
        c = model.condition_of(real.baseline_images)
        codes = model.sample_codes(real.num_samples, seed, prior, condition=c)
        return sample_figures(decoded(model, codes, batch_size, c, world), real)

    report = {
        "format": FORMAT,
        "vaegan": __version__,
        "model": {"kind": model.kind, "latent_dim": model.latent_dim, "info": model.info, "digest": model.digest()},
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "split": split,
            "num": len(real.images),
            "available": len(data.test if split == "test" else data.train),
        },
        "extractor": {"name": extractor.name, "fingerprint": extractor.fingerprint},
        "published": {name: network.fingerprint for name, network in published.items()},
        "seed": seed,
        "draws": draws,
        "default_prior": model.default_prior if chosen else None,
        "yardstick": measured("yardstick", lambda: baseline_figures(real)),
        "reconstructions": measured("reconstructions", lambda: reconstruction_figures(model, real, on_values)),
        "likelihood": measured("likelihood", lambda: likelihood_figures(model, real, draws)),
        "codes": measured("codes", lambda: code_figures(model, real)),
        "samples": {prior: measured(f"samples of {prior}", partial(samples, prior)) for prior in chosen},
        "guidance": {name: guidance for name in chosen if (guidance := model.prior_of(name).guidance) != 1.0},
        "left_out": left_out,
        "seconds": round(time.perf_counter() - start, 1),
    }
    return report | {"conclusion": conclusion(report)}


def conclusion(report: dict[str, Any]) -> str:
    """Say in one sentence how near samples, or else reconstructions, are to real images, and what else is wrong.

    Samples are those of the default prior, or of the nearest one if it was not measured.
    """
    unknown = Figure(math.nan)
    reconstructions, baseline = (from_json(report[name]) for name in ("reconstructions", "yardstick"))
    measured = {
        f"samples (prior {prior_in_words(name, report)})": from_json(figures)
        for name, figures in report["samples"].items()
        if figures
    }
    measured = measured or {"reconstructions": reconstructions}
    distances = {what: figures.get("frechet_distance", unknown).value for what, figures in measured.items()}
    default = f"samples (prior {prior_in_words(report.get('default_prior'), report)})"
    what = min(measured, key=lambda name: (name != default, math.isnan(distances[name]), distances[name]))
    figures, num, is_test = measured[what], report["data"]["num"], report["data"]["split"] == "test"
    those, others = ("held-out", "training") if is_test else ("training", "held-out")
    num_others = baseline.get("frechet_distance", unknown).num or num
    fewer = {"num": num_others, "split": "train" if is_test else "test"} if num_others < num else report["data"]
    parts = []
    if not math.isnan((ratio := figures.get("frechet_ratio", unknown)).value):
        how = "as near to" if ratio.low <= 1 else f"{ratio.value:.2g} times as far from"
        text = f"{what} are {how} {those} images as {others} images are, by the Fréchet distance"
        parts.append(too_few(fewer, f"say how near {what} are to real ones") or text)
    real, blurred = baseline.get("sharpness", unknown), []
    for each, of_each in {what: figures, "reconstructions": reconstructions}.items():
        if (own := of_each.get("sharpness", unknown)).high < BLURRED * real.low:
            blurred.append(each)
            parts.append(f"{each} are blurred: {own.value / real.value:.0%} of the sharpness of real images")
    if "missing_labels" in figures:
        missing = int(figures["missing_labels"].value)
        parts.append(f"{missing or 'no'} label{'s are' if missing > 1 else ' is'} missing")
    if copies := figures.get("copies_nearer"):
        score = figures["copies_score"].value
        num_held_out = min(NUM_COPIES, report["data"].get("available", num) if is_test else num_others)
        parts.append(in_words(copies.value, score, copies.num or 1, num_held_out, blurred=what in blurred))
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def too_few(data: Mapping[str, Any], to: str) -> str:
    """Say that an evaluation's 'data' are too few images to do something, and the remedy; '' if they are enough."""
    num, is_test = data["num"], data["split"] == "test"
    available = data.get("available", num)
    remedies = ["--num"] if available > num else []
    if available < ENOUGH:
        remedies.append("training with a larger --data.held-out" if is_test else "training on more images")
    text = f"{num} {'held-out' if is_test else 'training'} images are too few to {to}; take {ENOUGH} "
    return text + f"({' and '.join(remedies)})" if num < ENOUGH else ""


def chosen_priors(model: Model, names: Sequence[str] | None) -> list[str]:
    """Return the names, all the model has if None; UserError if it lacks one."""
    available = priors_of(model)
    for name in names or ():
        if name not in available:
            others = f"; available: {', '.join(available)}" if available else ", nor any other"
            raise UserError(f"this model has no prior '{name}'{nearest(name, available)}{others}")
    return available if names is None else list(names)
