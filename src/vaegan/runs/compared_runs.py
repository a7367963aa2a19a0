"""Several runs: opened, checked to fit each other, put together where they differ in their seed alone, and measured."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import Any

import torch

from ..config import Config
from ..data.dataset import ImageData
from ..errors import UserError
from ..evaluation.best_reconstructions import best_reconstructions
from ..evaluation.comparison import ComparedModel, FigureGroup, MeasuredRun, as_json, compare
from ..evaluation.image_metrics import Row, reconstruction_figures
from ..evaluation.measure import FORMAT, evaluate
from ..evaluation.reference import open_real_images, priors_of
from ..kinds import ended_in_pretraining
from ..metrics.extractors.features import FeatureExtractor
from ..progress import log
from ..settings import KINDS, DataSettings
from ..settings_io import load_yaml, setting_names, value_at
from ..training.profiling import cost_of
from ..training.resuming import MAY_CHANGE, OF_PLATEAUS
from .locate import PUBLISHED
from .locate import published as published_place
from .opened import OpenedRun
from .run_folder import EVALUATION, MODEL, SETTINGS

# Settings that do not make another model: chosen by the machine, or where files are. How long it trained does.
_IRRELEVANT = (MAY_CHANGE - {"train.epochs", "train.images"}) | {"format", "seed", "train.memory_format"}
Stage = int | str | None
"""How far the training of a model was: images seen, 'best', or unknown."""


@dataclass(frozen=True)
class Comparison:
    """Models, measured on the same images: the runs of each, the same measured, and all figures side by side."""

    data: ImageData
    runs: Sequence[Sequence[OpenedRun]]
    models: Sequence[ComparedModel]
    groups: Sequence[FigureGroup]
    answer: str  # which model reconstructs best, in words

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return as_json(self.models, self.groups) | {"answer": self.answer}


def open_runs(paths: Sequence[str], data: DataSettings, **options: Any) -> list[OpenedRun]:
    """Open two or more runs, under distinct names, to be measured on the same images; options as of `OpenedRun`.

    Models of different sizes are compared at the size of ``data``, else at the smallest that all accept. Raises
    UserError if there are fewer, one is named twice or cannot be loaded, or there is no such size.
    """
    places = [str(Path(path).resolve()) if Path(path).exists() else path for path in paths]
    twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise UserError(f"{twice[-1]} is given twice; name each run once")
    if len(paths) < 2:
        raise UserError("name at least two runs: vaegan compare RUN RUN ...; for a single run use `vaegan evaluate`")
    runs = [OpenedRun(path, data=data, **options) for path in paths]
    size = _common_size(runs, data.height_width)
    for run, name in zip(runs, distinct_names(places), strict=True):
        run.name, run.size = name, size
    return runs


def _common_size(runs: Sequence[OpenedRun], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Return the height and width in which all models are measured: ``wanted``, or the smallest of their own."""
    models = [run.model() for run in runs]
    own = sorted({model.image_shape[1:] for model in models}, key=prod)
    is_new = wanted is not None and wanted not in own
    sizes = [size for size in ([wanted] if is_new else [wanted, *own]) if size]
    size = next((size for size in sizes if all(model.code_shape_of(size) for model in models)), None)
    if size is None or len({model.image_shape[0] for model in models}) > 1:
        for model in models if is_new else ():
            model.check_size(sizes[0])
        run, other = runs[0], next(run for run in runs if run.model().image_shape != models[0].image_shape)
        a, b = (" x ".join(map(str, each.model().image_shape)) for each in (run, other))
        raise UserError(
            f"{run.path} takes images of shape {a}, {other.path} of {b}; compare models with the same number of "
            "channels and compatible sizes"
        )
    if any(model.image_shape[1:] != size for model in models):
        log.info("all models are measured on images of %dx%d; --data.size sets another size", *size)
    return size


def distinct_names(places: Sequence[str]) -> list[str]:
    """Return a short name of each path: its last part, with as many before it as make all different."""
    parts = [Path(place).parts for place in places]
    parts = [words[:-1] if words[-1] == MODEL and len(words) > 1 else words for words in parts]
    for num in range(1, max(map(len, parts))):
        names = ["/".join(words[-num:]) for words in parts]
        if len(set(names)) == len(names):
            return names
    return list(places)


def common_priors(runs: Sequence[OpenedRun], prior: str) -> list[str]:
    """Return the priors that ``prior`` means, 'all' or names with commas; UserError if no model has one."""
    available = list(dict.fromkeys(name for run in runs for name in priors_of(run.model())))
    wanted = available if prior == "all" else prior.split(",")
    for name in wanted:
        if name not in available:
            raise UserError(f"no model here has a prior '{name}'; available: {', '.join(available) or 'none'}")
    return wanted


def compare_runs(
    runs: Sequence[OpenedRun],
    extractor: FeatureExtractor,
    *,
    priors: Sequence[str],
    num: int = 10_000,
    seed: int = 0,
    cache: Path | None = None,
    published: Mapping[str, Any] = {},
) -> Comparison:
    """Measure all runs (see `open_runs`), unless their evaluation.json is of the same, and put them side by side.

    ``priors`` are those of `common_priors`; the rest is as in `measure.evaluate`.
    Where a file says what was measured, images are reconstructed again, as the answer compares them one by one.
    """
    data = runs[0].data()
    values: dict[str, Row] = {}
    shared: dict[str, Any] = {"extractor": extractor, "num": num, "seed": seed, "cache": cache, "published": published}

    def measured(run: OpenedRun) -> MeasuredRun:
        model, keep = run.model(), partial(values.__setitem__, run.name)
        own_priors = [name for name in priors_of(model) if name in priors]
        evaluation = _current_evaluation(run, data, own_priors, shared)
        if evaluation is None:
            log.info("measuring %s", run.path)
            evaluation = evaluate(model, data, priors=own_priors, batch_size=run.batch_size, on_values=keep, **shared)
        else:
            log.info("%s: metrics from its %s", run.path, EVALUATION)
            if evaluation["reconstructions"]:
                real = open_real_images(data, batch_size=run.batch_size, **shared)
                reconstruction_figures(model, real, keep)
        own = model.default_prior if model.prior_names else None
        trained_with = run.config.seed if run.config else model.info.get("seed")
        cost = cost_of(model, run.config, run.records(), data.image_shape[1:])
        return MeasuredRun(run.name, trained_with, evaluation, cost, own if own in evaluation["samples"] else None)

    def stage(run: OpenedRun) -> Stage:
        return "best" if run.place.which == "best" else run.model().info.get("images")

    groups = [[runs[i] for i in group] for group in group_by_seed([(run.config, stage(run)) for run in runs])]
    models: list[ComparedModel] = []
    for name, group in zip(group_names(groups), groups, strict=True):
        of_runs = [measured(run) for run in group]
        rows = [values[run.name] for run in group if run.name in values]
        means = {key: torch.stack([row[key] for row in rows]).mean(0) for key in (rows[0] if rows else ())}
        models.append(ComparedModel(name, of_runs, means, published_place(group[0].path) is not None))
    return Comparison(data, groups, models, compare(models), best_reconstructions(models, seed))


def _current_evaluation(
    run: OpenedRun, data: ImageData, priors: Sequence[str], how: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what was measured of these weights and priors, if `evaluate` would measure the same now."""
    evaluation = run.evaluation()
    if evaluation is None:
        return None
    try:
        is_same = (
            evaluation["format"] == FORMAT
            and evaluation["data"]["fingerprint"] == data.fingerprint
            and evaluation["data"]["split"] == "test"
            and evaluation["data"]["num"] == min(how["num"], len(data.test))
            and evaluation["yardstick"]["frechet_distance"]["num"] == min(how["num"], len(data.train))
            and evaluation["extractor"]["fingerprint"] == how["extractor"].fingerprint
            and evaluation.get("published", {}) == {name: each.fingerprint for name, each in how["published"].items()}
            and evaluation["seed"] == how["seed"]
            and evaluation.get("draws") is None  # of the default, as all are measured here
            and all(evaluation["samples"].get(name) for name in priors)
        )
    except (KeyError, TypeError, AttributeError):  # not written by us
        return None
    return evaluation | {"samples": {name: evaluation["samples"][name] for name in priors}} if is_same else None


def group_names(groups: Sequence[Sequence[OpenedRun]]) -> list[str]:
    """Return a distinct name of each group: its kind, with recipe or runs only where kinds are the same."""
    kinds = [_kind_of(group[0]) for group in groups]
    pairs = list(zip(kinds, groups, strict=True))
    recipes = [f"{kind} {group[0].config.recipe}" if group[0].config else kind for kind, group in pairs]
    runs = [f"{kind} {_common_start([run.name for run in group])}" for kind, group in pairs]
    num_kinds, num_recipes = Counter(kinds), Counter(recipes)
    names = [
        kind if num_kinds[kind] == 1 else recipe if num_recipes[recipe] == 1 else run
        for kind, recipe, run in zip(kinds, recipes, runs, strict=True)
    ]
    whole = [f"{kind} {', '.join(run.name for run in group)}" for kind, group in pairs]
    names = [name if names.count(name) == 1 else whole[i] for i, name in enumerate(names)]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _kind_of(run: OpenedRun) -> str:
    """Return the kind of a run's model, and of which place it is, or was fine-tuned from: last folders, or hub id."""
    info, title, config = run.model().info, KINDS[run.model().kind].title, run.config
    if ended_in_pretraining(info):
        return f"AE (pre-training of {title})"
    start = str(run.path) if published_place(run.path) is not None else config.init_from if config else None
    if start is None:
        return title
    prefix = PUBLISHED if published_place(start) is not None else ""
    place = prefix + "/".join(Path(start.removeprefix(prefix)).parts[-2:])
    what = "" if config is None else "decoder fine-tuned from " if config.is_frozen("encoder") else "fine-tuned from "
    return f"{title} ({what}{place})"


def _common_start(names: Sequence[str]) -> str:
    """Return what names start with in common: of way-0 and way-1 it is way."""
    first, last = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same).rstrip("-_./ ") or first


def group_by_seed(runs: Sequence[tuple[Config | None, Stage]]) -> list[list[int]]:
    """Return the positions of runs that differ in the seed alone, by group; one without settings stays alone."""
    groups: list[tuple[Any, list[int]]] = []
    seeds = [None if config is None else config.seed for config, _ in runs]
    for i, (config, stage) in enumerate(runs):
        key = None if config is None else (_relevant_settings(config), stage)
        for other, members in groups:
            if key is not None and other == key and seeds[i] not in [seeds[j] for j in members]:
                members.append(i)
                break
        else:
            groups.append((key, [i]))
    return [members for _, members in groups]


def _relevant_settings(config: Config) -> dict[str, Any]:
    """Return what makes the model, name by name; in place of a run that it builds on, the settings of that one."""
    irrelevant = _IRRELEVANT - (OF_PLATEAUS if config.optim.schedule == "plateau" else set())
    values = config.model_dump(mode="json")
    settings = {name: value_at(values, name) for name in setting_names() if name not in irrelevant}
    metric = Path(config.loss.metric) / SETTINGS if config.loss.metric else None
    if metric is not None and metric.is_file():
        with contextlib.suppress(UserError):  # if it cannot be read any more, its name must do
            settings["loss.metric"] = _relevant_settings(load_yaml(metric))
    return settings
