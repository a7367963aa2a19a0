"""``vaegan evaluate``: metrics of a model, as a table and as JSON."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import UserError
from ..metrics.figures import BETTER, GROUPS, SHARE_OF, info_of, plain, prior_in_words, shown_in
from ..progress import log
from ..settings import Count
from .common import DataPictureOptions, open_run, place_of
from .console import show, show_table
from .options import Arg, CommandOptions


class MetricOptions(CommandOptions):
    """Options of commands that measure models."""

    prior: str = "all"
    """Prior to sample from: a name such as 'normal', several separated by commas, or 'all'."""
    extractor: Literal["classifier", "rotations", "inception", "dinov2", "pixels"] | None = None
    """Features that images are compared by; default: 'classifier' with labels or attributes, else 'rotations'."""
    published: Literal["auto", "download", "none"] = "auto"
    """Also measure reconstructions by LPIPS and Inception's Fréchet distance (rFID): 'auto' does if the weights are in
    the cache, 'download' downloads them."""
    weights: Path | None = None
    """File with the weights of inception or dinov2, or folder with those of published networks; default: the cache."""

    def networks(self, data: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Return the extractor and the published networks for an `ImageData`.

        UserError if no image is held out, or --weights fit neither network.
        """
        from ..metrics.extractors.features import open_extractor, open_published

        data.check_held_out(data.name)  # before a network is trained on a single image
        options["weights"] = weights = self.weights
        if weights is not None and not weights.exists():
            raise UserError(f"--weights {weights}: no such file or folder; correct it, or leave it out")
        if weights is not None and weights.is_file() and self.extractor not in ("inception", "dinov2"):
            what = "a file serves only --extractor inception or dinov2; add one of them, or name the folder"
            raise UserError(f"--weights {weights}: {what}")
        extractor = open_extractor(self.extractor, data, **options)
        return extractor, open_published(self.published, data, extractor.name, **options)


class Options(MetricOptions, DataPictureOptions):
    """Evaluate a model: samples of each prior and reconstructions against held-out images.

    Prints a table (all metrics of the default prior, the main ones of others) and a summary, and writes all as JSON.
    The real-data baseline is training images measured in place of samples: samples can hardly come closer to held-out
    images. Intervals are 95 %. Metrics from different extractors or numbers of images cannot be compared.
    """

    out: Annotated[Path | None, Arg("FILE", default="RUN/evaluation.json")] = None
    """File for the JSON."""
    num: Count = 10_000
    """Maximum number of samples, of held-out images and of training images."""
    draws: Annotated[int, Field(gt=0, le=100_000)] | None = None
    """Codes drawn for each image for the importance-weighted bound of its likelihood, which papers report with 5000.
    Default: 64 for 256 of the images."""
    split: Literal["test", "train"] = "test"
    """Reference to measure against: held-out ('test') or training images ('train')."""


def run(options: Options) -> None:
    """Measure, write, print; several processes (torchrun) share the work, and the first writes."""
    from ..distributed import joined
    from ..evaluation.measure import chosen_priors, evaluate
    from ..files import write_json

    out = _output(options)
    opened = open_run(options)
    before = opened.evaluation() if options.out is None and not options.overwrite else None
    _refuse_to_lose(out, before, partial(_more_metrics, options))
    cache, device = options.data.cache, opened.device
    with joined(device) as world:
        data = world.once_per_machine(opened.data)
        _refuse_to_lose(out, before, partial(_other_images, data.fingerprint))
        how = {"cache": cache, "device": device, "bands": opened.shown.bands}
        priors = None if options.prior == "all" else chosen_priors(opened.model(), options.prior.split(","))
        extractor, published = world.once_per_machine(lambda: options.networks(data, **how))
        _refuse_to_lose(out, before, partial(_other_networks, extractor.fingerprint, published))
        report = evaluate(
            opened.model(),
            data,
            extractor=extractor,
            num=options.num,
            priors=priors,
            split=options.split,
            seed=options.seed,
            batch_size=options.batch_size,
            cache=cache,
            world=world,
            published=published,
            draws=options.draws,
        )
        world.first(lambda: write_json(out, report))
    head = ("measured on", "metric", "better", "value", "95 % interval", "real data", "images")
    show_table(head, list(_rows(report)))
    show(f"{report['conclusion'] or 'Nothing could be measured'}.")
    for what, why in report["left_out"].items():
        log.info("%s not measured: %s", what, why)
    log.info("measured in %.0f s, extractor %s: %s", report["seconds"], report["extractor"]["name"], out)


def _output(options: Options) -> Path:
    """Return where the JSON goes; UserError if it is no .json, or exists and may not be replaced."""
    from ..files import check_free
    from ..runs.run_folder import EVALUATION

    out, overwrite = place_of(options, EVALUATION)
    if out.suffix != ".json":
        raise UserError(f"--out {out}: this command writes JSON; give a name that ends in .json")
    check_free(out, overwrite)
    return out


def _refuse_to_lose(out: Path, before: Any, lost: Callable[[Any], str]) -> None:
    """Raise UserError if metrics of this very model would be lost; ``lost`` says which, or nothing."""
    with contextlib.suppress(KeyError, TypeError):  # there are none, or they are not ours
        if what := lost(before):
            raise UserError(f"{out} has {what}; choose another --out or allow it to be replaced (--overwrite)")


def _more_metrics(options: Options, before: Any) -> str:
    """Say what was measured if it is more than what is to be measured now, or of the other split."""
    baseline = before["yardstick"]["frechet_distance"]["num"]
    num, split, draws = before["data"]["num"], before["data"]["split"], before.get("draws") or 0
    priors = set(before["samples"]) if options.prior != "all" else set()
    is_less = options.num < max(num, baseline) or (options.draws or 0) < draws
    if not (is_less or options.split != split or priors - set(options.prior.split(","))):
        return ""
    those, others = ("held-out", "training") if split == "test" else ("training", "held-out")
    what = f"{num} {those} images, {baseline} {others} images as baseline"
    what += f", samples of {', '.join(sorted(priors))}" if priors else ""
    what += f", a bound of {draws} draws" if draws else ""
    return f"{'more' if options.split == split else 'other'} metrics: {what}"


def _other_images(fingerprint: str, before: Any) -> str:
    """Say what was measured of other images."""
    data = before["data"]
    return "" if data["fingerprint"] == fingerprint else f"metrics of other images ({data['name']})"


def _other_networks(fingerprint: str, published: Collection[str], before: Any) -> str:
    """Say what was measured with other features, or with more published networks."""
    extractor, missing = before["extractor"], set(before.get("published", ())) - set(published)
    if extractor["fingerprint"] != fingerprint:
        return f"other metrics: features of {extractor['name']}"
    titles = {"lpips": "LPIPS", "inception": "rFID"}
    return f"more metrics: {' and '.join(titles.get(name, name) for name in sorted(missing))}" if missing else ""


def _rows(report: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row for each figure beside the real-data baseline; of priors but the default only the main figures."""
    default = report["default_prior"]
    groups = {GROUPS[name]: report[name] for name in ("reconstructions", "likelihood", "codes")}
    for prior in sorted(report["samples"], key=lambda prior: prior == default):
        figures = report["samples"][prior]
        shown = figures if prior == default or len(report["samples"]) == 1 else shown_in("summary", "samples")
        groups[f"samples, {prior_in_words(prior, report)}"] = {name: figures[name] for name in shown if name in figures}
    for group, figures in groups.items():
        for name, figure in figures.items():
            if not name.startswith(SHARE_OF):
                info, real = info_of(name), report["yardstick"].get(name) if group != "likelihood" else None
                value, low, high = (_number(figure[key]) for key in ("value", "low", "high"))
                interval = "–" if figure["low"] is None else f"{low} to {high}"
                baseline = _number(real["value"]) if real else "–"
                yield [group, info.title, BETTER[info.better], value, interval, baseline, str(figure["num"])]


def _number(value: float | None) -> str:
    return "–" if value is None else plain(value)
