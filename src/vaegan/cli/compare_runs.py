"""The runs that are compared: opened, checked to fit each other, named, measured."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import KINDS, Config, DataSettings
from ..errors import UserError
from ..settings_io import load_yaml

if TYPE_CHECKING:
    from ..data.dataset import ImageData
    from ..evaluation.comparison import ComparedModel
    from ..metrics.extractors.features import FeatureExtractor
    from ..models import Model

_log = logging.getLogger("vaegan")
_WHERE = {"root", "workers", "cache", "max_unreadable"}  # settings that do not decide what the images are


@dataclass(frozen=True)
class Opened:
    """One run.

    Attributes:
        where: as the user named it.
        name: of its folder.
        model: trained.
        config: its settings, if it is a run's folder.
    """

    where: str
    name: str
    model: Model
    config: Config | None

    @property
    def images(self) -> int | None:
        """Images it has seen."""
        seen: int | None = self.model.info.get("images")
        return seen

    @property
    def stage(self) -> int | str | None:
        """What the model is of its run: after so many images, or the best one, whenever that was."""
        return "best" if Path(self.where).name == "best" else self.images

    @property
    def prior(self) -> str | None:
        """The prior that it draws from if none is named."""
        return self.model.default_prior if self.model.prior_names else None


def shared_data(runs: Sequence[str]) -> tuple[DataSettings, str]:
    """Return the data settings of runs that were trained on the same images.

    Returns:
        The settings, with source '' if none tells them or they differ; and what differs, in words.

    Raises:
        UserError: if a config.yaml cannot be read.
    """
    told = [_told(Path(run)) for run in runs]
    settings = next((about["settings"] for about in told if about["settings"]), None)
    unknown = DataSettings(source="")
    for what in ("name", "opening", "fingerprint"):
        first: tuple[str, Any] | None = None
        for run, about in zip(runs, told, strict=True):
            if about[what] is None:
                continue
            if first is not None and about[what] != first[1]:
                words = f"{first[0]} was trained on {first[1]}, {run} on {about[what]}"
                same = f"{first[0]} and {run} were trained on different images of {about['name'] or 'one source'}"
                return unknown, words if what == "name" else same
            first = first or (run, about[what])
    return settings or unknown, "" if settings else "none of these says what it was trained on"


def _told(run: Path) -> dict[str, Any]:
    """Return what a run tells of its data, as far as it does, without loading it."""
    folder = _folder(run)
    path = folder / "config.yaml"
    settings = load_yaml(path).data if path.is_file() else None
    model = _json(run / "model" / "config.json") or _json(run / "config.json")
    return {
        "settings": settings,
        "opening": settings and {name: v for name, v in settings.opening().items() if name not in _WHERE},
        "fingerprint": _json(folder / "data.json").get("fingerprint"),
        "name": model.get("info", {}).get("data"),
    }


def _folder(run: Path) -> Path:
    """Return the folder of the run that a model is in, or what was given."""
    return run.parent if run.name in ("model", "best") else run


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def open_runs(runs: Sequence[str], device: str) -> list[Opened]:
    """Load all models.

    Raises:
        UserError: if there are fewer than two, one is named twice, cannot be loaded, or images differ in shape.
    """
    from ..loading import load
    from ..training.device import pick_device

    places = [str(Path(run).resolve()) if Path(run).exists() else run for run in runs]
    twice = [run for run, place in zip(runs, places, strict=True) if places.count(place) > 1]
    if twice:
        raise UserError(f"{twice[-1]} is named twice; name each run once")
    if len(runs) < 2:
        raise UserError("name two runs at least: vaegan compare RUN RUN ...; one alone is for `vaegan evaluate`")
    target = pick_device(device)
    opened = []
    for run, name in zip(runs, _names(places), strict=True):
        path = _folder(Path(run)) / "config.yaml"
        opened.append(Opened(run, name, load(run, device=target), load_yaml(path) if path.is_file() else None))
    first = opened[0]
    for other in opened[1:]:
        if other.model.image_shape != first.model.image_shape:
            a, b = (" x ".join(map(str, one.model.image_shape)) for one in (first, other))
            raise UserError(f"{first.where} makes images of {a}, {other.where} of {b}; compare models of one shape")
    return opened


def _names(places: Sequence[str]) -> list[str]:
    """Return a short name of each place: its last part, with as many before it as make it unlike the others."""
    parts = [Path(place).parts for place in places]
    parts = [words[:-1] if words[-1] == "model" and len(words) > 1 else words for words in parts]
    longest = max(map(len, parts))
    for num in range(1, longest):
        names = ["/".join(words[-num:]) for words in parts]
        if len(set(names)) == len(names):
            return names
    return list(places)


def open_data_of(runs: Sequence[Opened], settings: DataSettings) -> ImageData:
    """Open the images, prepared as the models want them.

    Raises:
        UserError: if they cannot be opened.
    """
    from ..data import open_data

    return open_data(settings.for_shape(runs[0].model.image_shape))


def name_groups(groups: Sequence[Sequence[Opened]]) -> list[str]:
    """Return a name of each group: its kind, with recipe or run only where kinds are alike."""
    kinds = [KINDS[group[0].model.kind].title for group in groups]
    recipes = [f"{kind} {group[0].config.recipe}" if group[0].config else kind for kind, group in _zip(kinds, groups)]
    runs = [f"{kind} {_name_of(group)}" for kind, group in _zip(kinds, groups)]
    alike = Counter(kinds), Counter(recipes)
    return [
        kind if alike[0][kind] == 1 else recipe if alike[1][recipe] == 1 else run
        for kind, recipe, run in zip(kinds, recipes, runs, strict=True)
    ]


def _name_of(group: Sequence[Opened]) -> str:
    """Return what the names of a group's runs begin with alike: of way-0 and way-1 it is way."""
    names = sorted(run.name for run in group)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(names[0], names[-1], strict=False))
    return "".join(letter for letter, _ in alike).rstrip("-_./ ") or names[0]


def _zip(kinds: Sequence[str], groups: Sequence[Sequence[Opened]]) -> list[tuple[str, Sequence[Opened]]]:
    return list(zip(kinds, groups, strict=True))


def measure(
    groups: Sequence[Sequence[Opened]],
    data: ImageData,
    extractor: FeatureExtractor,
    *,
    prior: str,
    num: int,
    seed: int,
    batch_size: int,
    cache: Path | None,
) -> list[ComparedModel]:
    """Measure all runs, those anew that have no evaluation of just this.

    Raises:
        UserError: if no model has a prior of that name.
    """
    from ..evaluation.comparison import ComparedModel, MeasuredRun
    from ..evaluation.kept import NAME, kept_evaluation
    from ..evaluation.measure import evaluate
    from ..evaluation.reference import priors_of
    from ..runs.files import RunFolder
    from ..training.profiling import cost_of

    wanted = None if prior == "all" else prior.split(",")
    known = list(dict.fromkeys(name for group in groups for run in group for name in priors_of(run.model)))
    for name in wanted or ():
        if name not in known:
            raise UserError(f"no model here has a prior '{name}'; there are {', '.join(known) or 'none'}")

    def evaluation(run: Opened) -> dict[str, Any]:
        priors = [name for name in priors_of(run.model) if wanted is None or name in wanted]
        kept = kept_evaluation(Path(run.where), run.model, data, extractor, num=num, seed=seed, priors=priors)
        if kept is not None:
            _log.info("%s: figures of its %s", run.where, NAME)
            return kept
        _log.info("measuring %s", run.where)
        return evaluate(
            run.model, data, extractor=extractor, num=num, priors=priors, seed=seed, batch_size=batch_size, cache=cache
        )

    def member(run: Opened) -> MeasuredRun:
        records = list(RunFolder(_folder(Path(run.where))).records())
        trained = run.config.seed if run.config else run.model.info.get("seed")
        found = evaluation(run)
        prior = run.prior if run.prior in found["samples"] else None
        return MeasuredRun(run.name, trained, found, cost_of(run.model, run.config, records), prior)

    names = name_groups(groups)
    return [ComparedModel(name, [member(run) for run in group]) for name, group in zip(names, groups, strict=True)]
